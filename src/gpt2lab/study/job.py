"""What one kind of training is: its data, its model, its task, and how it is written. The rest is the same for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2lab.core.errors import UserError
from gpt2lab.model.config import GPT2Config
from gpt2lab.study.settings import AnySettings
from gpt2lab.study.tasks import Task
from gpt2lab.text.corpus import Corpus
from gpt2lab.train.settings import GroupSettings


@dataclass(frozen=True)
class Job:
    corpus: Corpus
    config: GPT2Config
    block: int  # tokens a row
    task: Task
    make: Callable[[], Any]  # the model, the same each time, with what is frozen marked as such
    write: Callable[[Path, Any], None]  # the finished model's folder
    groups: tuple[GroupSettings, ...] | None = None  # what the method says of parameters, beside the user's own
    untrained: bool = False  # its first loss must be near ln(vocabulary)
    lineage: dict[str, Any] | None = None  # what it began from


def block_of(settings: AnySettings, window: int) -> int:
    """Tokens a row: what the settings say, or all that the model sees."""
    if window < 1:
        raise UserError("soft tokens leave no room for text", place="prompt.tokens", way_out="take fewer")
    block = settings.train.block or window
    if block > window:
        raise UserError(f"train.block is {block}, and the model sees {window} tokens of text")
    return block
