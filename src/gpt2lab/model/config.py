"""The shape of a GPT-2, in our words and in `config.json`'s."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError

SizeName = Literal["small", "medium", "large", "xl"]
SIZES: dict[str, tuple[int, int, int]] = {  # layers, heads, width
    "small": (12, 12, 768),
    "medium": (24, 16, 1024),
    "large": (36, 20, 1280),
    "xl": (48, 25, 1600),
}
GPT2_VOCABULARY = 50257
ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu", "relu", "silu", "swish")


@dataclass(frozen=True)
class GPT2Config:
    layers: int
    heads: int
    width: int
    context: int = 1024
    vocabulary: int = GPT2_VOCABULARY
    inner: int | None = None  # width of the feed-forward layer; four times the width unless given
    activation: str = "gelu_new"
    embedding_dropout: float = 0.0
    attention_dropout: float = 0.0
    residual_dropout: float = 0.0
    norm_epsilon: float = 1e-5
    initial_std: float = 0.02
    tied_head: bool = True
    scale_attention: bool = True
    scale_attention_by_layer: bool = False
    start_of_text: int | None = None
    end_of_text: int | None = None
    padding: int | None = None
    labels: tuple[str, ...] = ()  # class names; a classifier has at least two

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "width", "context", "vocabulary"):
            if getattr(self, name) < 1:
                raise UserError(f"a GPT-2 with {name} = {getattr(self, name)} cannot exist")
        if self.width % self.heads:
            raise UserError(
                f"a width of {self.width} cannot be split over {self.heads} heads",
                way_out="choose a width that is a multiple of the heads; 64 a head is usual",
            )
        if self.activation not in ACTIVATIONS:
            raise UserError(
                f"the activation {self.activation!r} is not known", way_out=f"known: {', '.join(ACTIVATIONS)}"
            )

    @property
    def inner_width(self) -> int:
        return self.inner or 4 * self.width

    def with_dropout(self, rate: float) -> GPT2Config:
        return replace(self, embedding_dropout=rate, attention_dropout=rate, residual_dropout=rate)


def named_size(name: SizeName, **changes: Any) -> GPT2Config:
    layers, heads, width = SIZES[name]
    end = GPT2_VOCABULARY - 1
    config = GPT2Config(layers, heads, width, start_of_text=end, end_of_text=end)
    return replace(config, **changes)


def parameter_count(config: GPT2Config) -> int:
    """Counted from the shape alone; padding of the vocabulary and a tied head add nothing."""
    width, inner = config.width, config.inner_width
    norms = 2 * 2 * width
    attention = 4 * width * width + 4 * width
    feed_forward = 2 * width * inner + inner + width
    embeddings = (config.vocabulary + config.context) * width
    body = embeddings + config.layers * (norms + attention + feed_forward) + 2 * width
    if config.labels:
        return body + len(config.labels) * width
    return body if config.tied_head else body + config.vocabulary * width


def block_matrices(config: GPT2Config) -> int:
    """Their numbers: attention's and the MLP's weights, without biases."""
    return config.layers * (4 * config.width**2 + 2 * config.width * config.inner_width)


def flops_per_token(config: GPT2Config, block: int) -> int:
    """Arithmetic that training cannot do without: every matrix forward and twice backward, attention's causal half."""
    head = (len(config.labels) or config.vocabulary) * config.width
    return 6 * (block_matrices(config) + head) + 6 * config.layers * config.width * block


def describe(config: GPT2Config) -> str:
    head = f", {len(config.labels)} classes" if config.labels else ""
    return (
        f"{parameter_count(config):,} parameters: {counted(config.layers, 'layer')}, {counted(config.heads, 'head')}, "
        f"width {config.width}, context {config.context}, vocabulary {config.vocabulary:,}{head}"
    )


def from_huggingface(raw: Any, place: object) -> GPT2Config:
    """Read a `config.json`; only what is a GPT-2 is accepted, and every field that cannot be is named."""
    if not isinstance(raw, dict) or raw.get("model_type") != "gpt2":
        kind = raw.get("model_type") if isinstance(raw, dict) else None
        raise UserError(
            f"not a GPT-2: its model_type is {kind!r}", place=place, way_out="gpt2lab works on GPT-2 models"
        )
    if raw.get("add_cross_attention"):
        raise UserError("a GPT-2 with cross-attention is not supported", place=place)
    values = {ours: _one(raw.get(theirs, default), kind) for ours, (theirs, kind, default) in FIELDS.items()}
    wrong = [
        f"{theirs} = {values[ours]!r} is no {kind}"
        for ours, (theirs, kind, _) in FIELDS.items()
        if not IS[kind](values[ours])
    ]
    if wrong:
        raise UserError(f"config.json cannot be right: {'; '.join(wrong)}", place=place)
    classifies = any("SequenceClassification" in str(name) for name in raw.get("architectures") or ())
    return GPT2Config(**values, labels=_labels(raw, place) if classifies else ())


def _one(value: Any, kind: str) -> Any:
    """transformers takes several ids for an end of text; the first stands for them."""
    return value[0] if kind == "id or null" and isinstance(value, list) and value else value


def _is_int(value: Any) -> bool:
    return type(value) is int


IS = {
    "size": lambda value: _is_int(value) and value > 0,
    "size or null": lambda value: value is None or (_is_int(value) and value > 0),
    "id or null": lambda value: value is None or (_is_int(value) and value >= 0),
    "rate": lambda value: type(value) in (int, float) and 0 <= value <= 1,
    "positive number": lambda value: type(value) in (int, float) and value > 0,
    "true or false": lambda value: type(value) is bool,
    "name": lambda value: isinstance(value, str),
}
FIELDS: dict[str, tuple[str, str, Any]] = {  # ours: theirs, what it must be, transformers' default
    "layers": ("n_layer", "size", 12),
    "heads": ("n_head", "size", 12),
    "width": ("n_embd", "size", 768),
    "context": ("n_positions", "size", 1024),
    "vocabulary": ("vocab_size", "size", GPT2_VOCABULARY),
    "inner": ("n_inner", "size or null", None),
    "activation": ("activation_function", "name", "gelu_new"),
    "embedding_dropout": ("embd_pdrop", "rate", 0.1),
    "attention_dropout": ("attn_pdrop", "rate", 0.1),
    "residual_dropout": ("resid_pdrop", "rate", 0.1),
    "norm_epsilon": ("layer_norm_epsilon", "positive number", 1e-5),
    "initial_std": ("initializer_range", "positive number", 0.02),
    "tied_head": ("tie_word_embeddings", "true or false", True),
    "scale_attention": ("scale_attn_weights", "true or false", True),
    "scale_attention_by_layer": ("scale_attn_by_inverse_layer_idx", "true or false", False),
    "start_of_text": ("bos_token_id", "id or null", None),
    "end_of_text": ("eos_token_id", "id or null", None),
    "padding": ("pad_token_id", "id or null", None),
}


def to_huggingface(config: GPT2Config) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "architectures": ["GPT2ForSequenceClassification" if config.labels else "GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_ctx": config.context,
        **{theirs: getattr(config, ours) for ours, (theirs, _, _) in FIELDS.items()},
    }
    if config.labels:
        raw["id2label"] = {str(index): name for index, name in enumerate(config.labels)}
        raw["label2id"] = {name: index for index, name in enumerate(config.labels)}
        raw["problem_type"] = "single_label_classification"
    return raw


def _labels(raw: dict[str, Any], place: object) -> tuple[str, ...]:
    names = raw.get("id2label")
    if names is None:  # transformers' own default when a config.json names no classes
        count = raw.get("num_labels", 2)
        names = {str(index): f"LABEL_{index}" for index in range(count if _is_int(count) else 2)}
    numbers = [str(number) for number in range(len(names))]
    if not isinstance(names, dict) or sorted(names, key=str) != sorted(numbers):
        raise UserError("id2label must number its classes 0, 1, 2, …", place=place)
    return tuple(str(names[number]) for number in numbers)
