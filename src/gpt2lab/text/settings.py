"""What people may say of preparing a corpus."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_validator

from gpt2lab.core.settings import AtCommas, Natural, Positive, PositiveFloat, Settings, Share

NullIsNone = BeforeValidator(lambda given: "none" if given is None else given)
HELD_OUT = 0.05  # of the documents, unless something else is said


class ColumnSettings(Settings):
    """Which columns of rows to read; unset, `text` or the only column of text."""

    text: Annotated[tuple[str, ...] | None, AtCommas] = None
    """One or more, joined by a line end."""
    label: str | None = None
    """The class of each text."""
    prompt: str | None = None
    """Read and never a target; goes with data.completion."""
    completion: str | None = None
    """What follows the prompt and is learned."""

    @field_validator("text", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return tuple(part.strip() for part in given.split(",")) if isinstance(given, str) else given


class PrepareSettings(Settings):
    validation: Share | Literal["first-shard"] = HELD_OUT
    """Share of documents kept from training, by a hash of their text; or `first-shard`, the first prepare.shard_tokens
    tokens, as published scripts do."""
    test: Share = 0.0
    """Share of documents kept apart for the end, chosen likewise; with validation less than 1."""
    vocabulary: Positive = 4096
    """Size of the tokenizer that `--tokenizer own` trains on the text, or `builtin` on Python's documentation."""
    shard_tokens: Positive = 100_000_000
    """Tokens a shard file."""
    detokenise: Annotated[Literal["none", "hyphen-only", "wikitext"], NullIsNone] = "none"
    """How WikiText's spaced-out text is brought back: not, `@-@` alone, or everything that the harness repairs."""
    minimum_length: Natural = 0
    """Documents with fewer characters are left out, and counted."""
    contamination: tuple[str, ...] = ()
    """Evaluation sets (DATA each): documents that share thirteen words in a row with them are counted and listed."""
    drop_contaminated: bool = False
    """Leave such documents out."""
    weights: Annotated[tuple[PositiveFloat, ...], AtCommas] = ()
    """Of several sources, in their order: how often training draws from each."""
    deduplicate: bool = False
    """Leave out documents whose text came before or is held out by the source, and count them."""


class Preparation(Settings):
    prepare: PrepareSettings = PrepareSettings()
    data: ColumnSettings = ColumnSettings()
