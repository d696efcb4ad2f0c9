"""What each protocol of perplexity scores and what it divides by, decided before a model is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError
from gpt2lab.measure import streams, windows
from gpt2lab.measure.settings import DataSettings, Evaluation, QualitySettings
from gpt2lab.measure.streams import Stream, Tokens
from gpt2lab.measure.texts import Texts
from gpt2lab.measure.windows import Window
from gpt2lab.text.batches import Integers
from gpt2lab.text.corpus import Split
from gpt2lab.text.tokenizer import Tokenizer

NAMES = ("perplexity/token-window", "perplexity/word", "perplexity/blocks", "bits-per-byte")
JOINED = {"file": "as it stands", "rows": "rows by a blank line", "documents": "documents by a blank line"}
OF_TEXTS = (*NAMES, "forgetting", "labels")
OF_LIKELIHOODS = (*OF_TEXTS, "choices", "hellaswag/harness", "hellaswag/completion", "lambada", "harness")
WHO_USES = {  # settings that not every protocol has a use for
    "evaluate.stride": ("perplexity/token-window",),
    "evaluate.compat": ("perplexity/token-window", "perplexity/blocks"),
    "evaluate.detokenise": ("perplexity/token-window", "perplexity/word"),
    "evaluate.context": OF_LIKELIHOODS,
    **{f"data.{key}": OF_TEXTS for key in DataSettings.model_fields},
    **{f"quality.{key}": ("text-quality",) for key in QualitySettings.model_fields},
}


@dataclass(frozen=True)
class Plan:
    protocol: str
    stream: Tokens
    windows: Callable[[], Iterator[Window]]
    per: Literal["tokens", "words", "bytes"]  # what the sum is divided by
    sizes: dict[str, Integers]  # words and bytes of each document, where they are known
    settings: dict[str, Any]  # all that moves the value, beside model and data
    left_out: dict[str, Any] = field(default_factory=dict)


def refuse_idle(settings: Evaluation, names: Sequence[str]) -> None:
    """What is accepted must have an effect."""
    for key, users in WHO_USES.items():
        group, _, field_ = key.partition(".")
        chosen = getattr(settings, group)
        if getattr(chosen, field_) != type(chosen).model_fields[field_].default and not any(
            uses(name, key) for name in names
        ):
            raise UserError(f"{key} has no effect on {', '.join(names)}", way_out=f"it is for {', '.join(users)}")


def uses(name: str, key: str) -> bool:
    """Whether a protocol has a use for a setting. All tasks of lm-evaluation-harness are alike."""
    return key not in WHO_USES or ("harness" if name.startswith("harness:") else name) in WHO_USES[key]


def plan(name: str, material: Texts | Split, tokenizer: Tokenizer, window: int, settings: Evaluation) -> Plan:
    """`window` is the most tokens that the model sees."""
    if name == "perplexity/blocks":
        return _blocks(material, tokenizer, window, settings)
    assert isinstance(material, Texts)
    make = {"perplexity/token-window": _token_window, "perplexity/word": _word, "bits-per-byte": _bits_per_byte}[name]
    return make(material, tokenizer, window, settings)


def token_window(stream: Stream, window: int, settings: Evaluation, about: dict[str, Any] | None = None) -> Plan:
    """Of any stream of tokens."""
    context = context_of(settings, window)
    stride, compat = settings.evaluate.stride or max(1, context // 2), settings.evaluate.compat
    if compat == "group_texts":
        raise UserError("evaluate.compat=group_texts is for perplexity/blocks", way_out="or say huggingface")
    _at_least_two(stream)
    cut = windows.as_huggingface if compat else windows.sliding
    return Plan(
        "perplexity/token-window@1",
        stream,
        lambda: cut(stream.tokens, context, stride),
        "tokens",
        _sizes(words=stream.words, bytes=stream.bytes),
        {"context": context, "stride": stride, "start_token": None, "compat": compat, **(about or {})},
    )


def blocks(stream: Tokens, block: int, about: dict[str, Any], compat: str | None = None) -> Plan:
    """Of a split, or of any stream with end-of-text before each document."""
    _at_least_two(stream)
    cut = windows.group_texts if compat else windows.blocks
    return Plan(
        "perplexity/blocks@1",
        stream,
        lambda: cut(stream.tokens, block),
        "tokens",
        _sizes_of(stream),
        {"block": block, "start_token": "end-of-text, in the stream", "compat": compat, **about},
    )


def context_of(settings: Evaluation, window: int) -> int:
    wanted = settings.evaluate.context or window
    if not 2 <= wanted <= window:
        raise UserError(f"evaluate.context is {wanted}, and this model can see 2 to {window} tokens")
    return wanted


def _token_window(texts: Texts, tokenizer: Tokenizer, window: int, settings: Evaluation) -> Plan:
    name, kept = settings.evaluate.detokenise, texts.first(settings.evaluate.limit)
    changed = kept.detokenise(name) if name and name != "none" else kept
    stream = streams.of_text(changed, tokenizer, settings.data.max_tokens)
    about = {"join": JOINED[texts.form], "detokenisation": changed.detokenised, **_chosen(texts, settings)}
    return _with(token_window(stream, window, settings, about), texts)


def _word(texts: Texts, tokenizer: Tokenizer, window: int, settings: Evaluation) -> Plan:
    _refuse_changed(texts, "perplexity/word")
    pages = texts.pages()[: settings.evaluate.limit]
    name = settings.evaluate.detokenise or "wikitext"
    scored = Texts(pages, "documents", texts.split, texts.place, {}).detokenise(name).documents
    stream = streams.of_documents(scored, tokenizer, settings.data.max_tokens, sizes_of=pages)
    kept = pages[: len(stream.starts)]
    sizes = {
        "words": np.array([len(re.split(r"\s+", page)) for page in kept], np.int64),
        "bytes": np.array([len(page.encode("utf-8")) for page in kept], np.int64),
    }
    about = {"documents": "pages" if texts.form != "documents" else "documents", "detokenisation": name}
    return _rolling("perplexity/word@2", "words", stream, sizes, texts, window, settings, about)


def _bits_per_byte(texts: Texts, tokenizer: Tokenizer, window: int, settings: Evaluation) -> Plan:
    _refuse_changed(texts, "bits-per-byte")
    documents = texts.pages() if texts.form == "rows" else texts.documents
    stream = streams.of_documents(documents[: settings.evaluate.limit], tokenizer, settings.data.max_tokens)
    about = {"documents": {"rows": "pages"}.get(texts.form, texts.form), "detokenisation": "none"}
    return _rolling("bits-per-byte@1", "bytes", stream, _sizes_of(stream), texts, window, settings, about)


def _rolling(
    protocol: str,
    per: Literal["words", "bytes"],
    stream: Stream,
    sizes: dict[str, Integers],
    texts: Texts,
    window: int,
    settings: Evaluation,
    about: dict[str, Any],
) -> Plan:
    context = context_of(settings, window)
    if not len(stream.starts):
        raise UserError(
            "no whole document is within data.max_tokens" if texts.documents else "there is no document to score",
            place=texts.place,
            way_out="give a larger data.max_tokens" if texts.documents else "name other data",
        )
    ends = [*stream.starts[1:].tolist(), stream.tokens]

    def cut() -> Iterator[Window]:
        for start, end in zip(stream.starts.tolist(), ends):
            for part in windows.rolling(end - start, context):
                yield Window(start + part.start, start + part.first, start + part.stop)

    stated = {"context": context, "start_token": "end-of-text", **about, **_chosen(texts, settings)}
    return _with(Plan(protocol, stream, cut, per, sizes, stated), texts)


def _blocks(material: Texts | Split, tokenizer: Tokenizer, window: int, settings: Evaluation) -> Plan:
    block, compat = context_of(settings, window), settings.evaluate.compat
    if compat == "huggingface":
        raise UserError("evaluate.compat=huggingface is for perplexity/token-window", way_out="or say group_texts")
    if isinstance(material, Texts):
        texts = material.first(settings.evaluate.limit)
        stream: Tokens = streams.of_documents(texts.documents, tokenizer)
        about = _chosen(texts, settings)
    else:
        texts, stream = None, material
        about = {"split": material.name, "max_tokens": settings.data.max_tokens, "limit": settings.evaluate.limit}
        stream = _Shortened(stream, _end_of(material, settings.evaluate.limit))
    stream = _Shortened(stream, min(stream.tokens, settings.data.max_tokens or stream.tokens))
    made = blocks(stream, block, about, compat)
    return _with(made, texts) if texts else made


@dataclass(frozen=True)
class _Shortened:
    """The first so many tokens of a stream."""

    whole: Tokens
    tokens: int

    @property
    def starts(self) -> Integers:
        starts = np.asarray(self.whole.starts)
        return starts[starts < self.tokens]

    def read(self, start: int, stop: int) -> Integers:
        return self.whole.read(start, min(stop, self.tokens))


def _end_of(split: Split, documents: int | None) -> int:
    return split.tokens if documents is None or documents >= len(split.starts) else int(split.starts[documents])


def _sizes_of(stream: Tokens) -> dict[str, Integers]:
    """Only of whole streams: words and bytes of a document that is cut are not known."""
    if isinstance(stream, Stream):
        return _sizes(words=stream.words, bytes=stream.bytes)
    if isinstance(stream, _Shortened):
        return _sizes_of(stream.whole) if stream.tokens == stream.whole.tokens else {}
    if isinstance(stream, Split):
        return {what: np.asarray(stream.of_documents(what)) for what in ("words", "bytes") if stream.has(what)}
    return {}


def _sizes(**known: Integers | None) -> dict[str, Integers]:
    return {what: sizes for what, sizes in known.items() if sizes is not None}


def _chosen(texts: Texts, settings: Evaluation) -> dict[str, Any]:
    return {"split": texts.split, "max_tokens": settings.data.max_tokens, "limit": settings.evaluate.limit}


def _with(made: Plan, texts: Texts) -> Plan:
    return Plan(made.protocol, made.stream, made.windows, made.per, made.sizes, made.settings, texts.left_out)


def _at_least_two(stream: Tokens) -> None:
    if stream.tokens < 2:
        raise UserError(
            f"the text has {counted(stream.tokens, 'token')}, and perplexity needs at least 2",
            way_out="use a longer text",
        )


def _refuse_changed(texts: Texts, name: str) -> None:
    if texts.detokenised != "none":
        raise UserError(
            f"{name} is defined on the original text, and this corpus was prepared with "
            f"prepare.detokenise={texts.detokenised}",
            place=texts.place,
            way_out="name the text the corpus was made from",
        )
