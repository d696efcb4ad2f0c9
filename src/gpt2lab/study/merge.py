"""`gpt2lab merge`: an adapter goes into the weights of its base, and it is said how far that moves the logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError
from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
from gpt2lab.model.reading import find_model, is_quantised, read_model, read_with_adapter, tokenizer_of, weight_hash
from gpt2lab.model.writing import default_card, write_side_files, write_weights

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ROWS, LENGTH = 8, 64  # of the texts that are compared
SEED = 1


def merge(source: str, out: Path, precision: str = "fp32", into_original: bool = False) -> dict[str, Any]:
    """Merged in fp32, then cast; the folder at `out` opens in transformers without PEFT.

    An adapter trained on quantised weights goes into what those stand for, which is exact; or `into_original`.
    """
    if precision not in DTYPES:
        raise UserError(f"{precision!r} is no precision", place="--precision", way_out=f"choose of {', '.join(DTYPES)}")
    if out.exists():
        raise UserError("something is here already", place=out, way_out="choose another --out")
    folder = find_model(source)
    if not (folder / "adapter_config.json").is_file():
        raise UserError(
            "this is no adapter, so there is nothing to merge", place=folder, way_out="it is a whole model already"
        )
    if into_original and not is_quantised(folder):
        raise UserError(
            "this adapter was tuned on the original weights, and is merged into these anyway",
            place="--into-original",
            way_out="leave it out",
        )
    apart = read_with_adapter(folder)
    if apart.transformer.prompt is not None:
        raise UserError(
            "soft tokens cannot become weights: a prompt-tuned model stays an adapter",
            place=folder,
            way_out="use it as it is, wherever a MODEL is wanted",
        )
    model = read_model(folder, into_original=into_original)
    into = "the original weights, not the packed ones that it was tuned on" if into_original else "its base"
    with files.new_folder(out) as beside:
        write_weights(beside / "model.safetensors", model, DTYPES[precision])
        write_side_files(beside, model, tokenizer_of(folder), _card(model, into, precision), DTYPES[precision])
        moved, weights = _moved(apart, read_model(beside)), weight_hash(beside)
        facts = {
            "adapter": weight_hash(folder), "into": into, "precision": precision, "logits_moved": moved,
            "weights": weights,
        }  # fmt: skip
        files.write_json(beside / "gpt2lab.json", {"merged_from": facts})
    console.say(
        f"merged in fp32 into {into}, stored in {precision}: on {ROWS} rows of random tokens logits moved by at most "
        f"{moved:.1e} of the largest"
    )
    return {**facts, "labels": list(model.config.labels)}


@torch.inference_mode()
def _moved(one: GPT2 | GPT2Classifier, other: GPT2 | GPT2Classifier) -> float:
    """The largest change of a logit, as a share of the largest logit, on random ids."""
    config = one.config
    ids = torch.randint(
        config.vocabulary, (ROWS, min(LENGTH, config.context)), generator=torch.Generator().manual_seed(SEED)
    )
    before, after = (model(ids)[..., : config.vocabulary] for model in (one, other))
    return float((before - after).abs().max() / before.abs().max())


def _card(model: GPT2 | GPT2Classifier, into: str, precision: str) -> str:
    return default_card(model) + f"\nAn adapter merged into {into} in fp32 and stored in {precision}.\n"
