"""GPT-2 from the ground up, under transformers' module names.

Letters in tensor names: B batch, T new tokens, S tokens in sight (earlier ones included), C width, H heads,
D width of a head, V vocabulary.

Linear layers hold their weights as (out, in), which multiplies fastest and is what adapters expect; transformers stores
them the other way round, and reading and writing turn them (see `layout.py`).
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gpt2lab.core.errors import UserError
from gpt2lab.model.block import Block, Cache
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.dropout import Drop, Noise, dropout
from gpt2lab.model.masks import attention_mask, positions
from gpt2lab.model.unpadded import Unpadded, unpadded

VOCABULARY_MULTIPLE = 128  # tensor cores like it; 50,257 becomes 50,304


class Transformer(nn.Module):
    """Ids become hidden states: everything but the head."""

    def __init__(self, config: GPT2Config, padded_vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.recompute_activations = False  # trades a third more arithmetic for most of the activations' memory
        self.prompt: nn.Embedding | None = None  # soft tokens that stand before every text; see `prompt.py`
        self.wte = nn.Embedding(padded_vocabulary, config.width)
        self.wpe = nn.Embedding(config.context, config.width)
        self.h = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width, eps=config.norm_epsilon)

    def forward(
        self,
        ids_BT: Tensor,
        mask: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: Cache | None = None,
        wanted_N: Tensor | None = None,
    ) -> Tensor:
        """`mask` says which tokens are real (B, S) or who may look at whom (B, T, S); padding looks not even at itself.
        The past is always added. The answer is (B, T, C), or (N, C) for the wanted places alone, counted row after row:
        the last block then computes little for the others.

        Neither masks, positions nor the answer hold the soft prompt: everyone sees it, and the cache alone counts it.
        """
        past = cache.length if cache is not None else 0
        soft = self.soft_tokens if past == 0 else 0
        length = ids_BT.shape[1] + soft
        if past + length > self.config.context:
            raise ValueError(f"{past + length} tokens do not fit a context of {self.config.context}")
        if self.soft_tokens:
            mask, positions_BT = self._with_prompt(mask, positions_BT, soft)
        if positions_BT is None:
            positions_BT = positions(mask, past, length, ids_BT.device)
        if wanted_N is not None:
            wanted_N = wanted_N + soft * (1 + wanted_N // ids_BT.shape[1])
        real = unpadded(mask, self.config.heads) if cache is None else None
        seen, causal = (real, False) if real else attention_mask(mask, past, length, ids_BT.device)
        x = self._embedded(ids_BT, positions_BT, soft, real)
        if real and wanted_N is not None:
            wanted_N = real.numbers(wanted_N)
        for layer, block in enumerate(self.h, 1):
            wanted = wanted_N if layer == len(self.h) else None
            if self.recompute_activations and self.training:
                x = checkpoint(block, x, seen, causal, cache, wanted, use_reentrant=False)
            else:
                x = block(x, seen, causal, cache, wanted)
        if wanted_N is not None:
            return self.ln_f(x)
        if real:
            x = real.batch(x)
        return self.ln_f(x[:, soft:])

    def _embedded(self, ids_BT: Tensor, positions_BT: Tensor, soft: int, real: Unpadded | None) -> Tensor:
        """What enters the first block: of real tokens alone, one behind the other, where these are known."""
        if real and not soft:
            ids_BT, positions_BT = real.tokens(ids_BT), real.tokens(positions_BT.expand(ids_BT.shape))
        x = self.wte(ids_BT)
        if soft and self.prompt is not None:
            x = torch.cat([self.prompt.weight.expand(len(x), -1, -1), x], dim=1)
        x = x + self.wpe(positions_BT)
        if real and soft:
            x = real.tokens(x)
        x = x.to(self.ln_f.weight.dtype)  # embeddings may be kept in more precision than the blocks
        return dropout(x, Drop.when(self.training, self.config.embedding_dropout, Noise()))

    @property
    def soft_tokens(self) -> int:
        return 0 if self.prompt is None else self.prompt.num_embeddings

    @property
    def window(self) -> int:
        """The most tokens of text at once: what the context leaves beside the soft prompt."""
        return self.config.context - self.soft_tokens

    def _with_prompt(
        self, mask: Tensor | None, positions_BT: Tensor | None, new: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """Every text sees all of the prompt and counts on from it; among themselves soft tokens are a text like any."""
        soft = self.soft_tokens
        if mask is not None and mask.dim() == 2:
            mask = F.pad(mask.bool(), (soft, 0), value=True)
        elif mask is not None:
            mask = F.pad(mask.bool(), (soft, 0, new, 0), value=True)
        if positions_BT is not None:
            before = torch.arange(new, device=positions_BT.device).expand(*positions_BT.shape[:-1], -1)
            positions_BT = torch.cat([before, positions_BT + soft], dim=-1)
        return mask, positions_BT


class GPT2(nn.Module):
    """The language model. `forward` is the two halves after one another; scorers call the head where they score."""

    def __init__(self, config: GPT2Config, vocabulary_multiple: int = VOCABULARY_MULTIPLE) -> None:
        super().__init__()
        self.config = config
        padded = math.ceil(config.vocabulary / vocabulary_multiple) * vocabulary_multiple
        self.transformer = Transformer(config, padded)
        self.lm_head = nn.Linear(config.width, padded, bias=False)
        # Added to the logits inside the matrix product, at no cost: ids that pad the vocabulary get −∞.
        self.register_buffer("padding_bias", torch.empty(padded), persistent=False)
        self.padding_bias: Tensor
        self.reset_derived()

    def reset_derived(self) -> None:
        """What follows from the rest: the tied head and the bias that hides padded ids."""
        if self.config.tied_head:
            self.lm_head.weight = self.transformer.wte.weight
        self.padding_bias.zero_()
        self.padding_bias[self.config.vocabulary :] = -math.inf

    @property
    def window(self) -> int:
        """The most tokens of text at once."""
        return self.transformer.window

    def forward(
        self,
        ids_BT: Tensor,
        mask: Tensor | None = None,
        positions_BT: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        return self.logits(self.transformer(ids_BT, mask, positions_BT, cache))

    def logits(self, x_BTC: Tensor) -> Tensor:
        weight_VC = self.lm_head.weight.to(x_BTC.dtype)
        if len(weight_VC) == self.config.vocabulary:
            return F.linear(x_BTC, weight_VC)
        return F.linear(x_BTC, weight_VC, self.padding_bias.to(x_BTC.dtype))


class GPT2Classifier(nn.Module):
    """`GPT2ForSequenceClassification`: the class is read off the last real token, found by the mask.

    transformers looks for the last id that is not the padding id instead, so the two differ for a text that itself ends
    in the padding id; and it counts positions from the padding on the left. Ours never depends on the batch.
    """

    def __init__(self, config: GPT2Config, vocabulary_multiple: int = VOCABULARY_MULTIPLE) -> None:
        super().__init__()
        if len(config.labels) < 2:
            raise UserError(f"a classifier needs at least two classes, not {len(config.labels)}")
        self.config = config
        padded = math.ceil(config.vocabulary / vocabulary_multiple) * vocabulary_multiple
        self.transformer = Transformer(config, padded)
        self.score = nn.Linear(config.width, len(config.labels), bias=False)

    def reset_derived(self) -> None:
        pass

    @property
    def window(self) -> int:
        """The most tokens of text at once."""
        return self.transformer.window

    def forward(self, ids_BT: Tensor, mask_BT: Tensor | None = None, last_B: Tensor | None = None) -> Tensor:
        """Texts that stand on the left need no mask where it is known where they end, of all places flat."""
        if last_B is not None:
            return self.score(self.transformer(ids_BT, mask_BT, wanted_N=last_B))
        rows, length = ids_BT.shape
        place_B = torch.full((rows,), length - 1, device=ids_BT.device)
        if mask_BT is not None:
            places = torch.arange(length, device=ids_BT.device)
            place_B = torch.where(mask_BT.bool(), places, -1).amax(dim=1).clamp(min=0)
        wanted_B = place_B + length * torch.arange(rows, device=ids_BT.device)
        return self.score(self.transformer(ids_BT, mask_BT, wanted_N=wanted_B))


M = TypeVar("M", GPT2, GPT2Classifier)


def build(kind: type[M], config: GPT2Config, vocabulary_multiple: int = VOCABULARY_MULTIPLE) -> M:
    """An empty model in main memory, without the seconds that default initialisation takes."""
    with torch.device("meta"):
        model = kind(config, vocabulary_multiple)
    model.to_empty(device="cpu")
    model.reset_derived()
    return model


@torch.no_grad()
def initialise(model: GPT2 | GPT2Classifier, seed: int) -> None:
    """GPT-2's own start: normal weights, residual projections smaller by 1/√(2·layers). Same on every machine."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif ".ln_" in name:
            parameter.fill_(1.0)
        else:
            residual = name.endswith("c_proj.weight")
            std = config.initial_std / math.sqrt(2 * config.layers) if residual else config.initial_std
            rows = config.vocabulary if name.endswith(("wte.weight", "lm_head.weight")) else len(parameter)
            parameter.zero_()
            parameter[:rows] = torch.normal(0.0, std, (rows, *parameter.shape[1:]), generator=generator)


def check_ids(ids: Tensor, config: GPT2Config, place: object = None) -> None:
    """Ids from outside must exist: a padded vocabulary would take a wrong one in silence."""
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < config.vocabulary:
        wrong = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
        raise UserError(
            f"the token id {wrong} does not exist: the model's ids are 0 to {config.vocabulary - 1}",
            place=place,
            way_out="use the tokenizer that the model was trained with",
        )
