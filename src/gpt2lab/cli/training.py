"""What `pretrain` and `finetune` share: their options, several processes, and the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gpt2lab.core.settings import Settings

if TYPE_CHECKING:
    from gpt2lab.study.run_folder import Intent

S = TypeVar("S", bound=Settings)

Run = Annotated[Path | None, typer.Option("--out", help="the run folder to make")]
Corpus = Annotated[str | None, typer.Option("--data", help="the corpus folder")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with an unfinished run")]
Extend = Annotated[bool, typer.Option("--extend", help="prolong a finished run")]
AllowDifferent = Annotated[bool, typer.Option("--allow-different", help="resume on another machine: equal to rounding")]
Processes = Annotated[int, typer.Option("--processes", help="train with so many processes", min=1)]


def groups(**more: str) -> dict[str, str]:
    """The settings of every training, for its help, and more of its own."""
    shared = {name: f"gpt2lab.study.settings:{name.title()}Settings" for name in ("sample", "track")}
    return {"train": "gpt2lab.train.settings:TrainSettings", **more, **shared}


def place_of(out: Path | None, what: str = "run") -> Path:
    from gpt2lab.core.errors import UserError

    if out is None:
        raise UserError(f"where to put the {what} is missing", way_out="add --out FOLDER")
    return out


def as_address(data: str | None) -> str | None:
    """A path stays the same wherever the run is resumed from; names are no paths."""
    return str(Path(data).resolve()) if data and Path(data).exists() else data


def this_command() -> str:
    return shlex.join(["gpt2lab", *sys.argv[1:]])


def unless_auto(device: str) -> str | None:
    """What is not said does not replace what a run has stored."""
    return None if device == "auto" else device


def settings_of(
    kind: type[S], out: Path, given: dict[str, Any], overrides: list[str], goes_on: bool, read: dict[str, Any]
) -> S:
    """What was stored, then what was read from a file, then what was given as options, then overrides."""
    from gpt2lab.core import settings
    from gpt2lab.study.settings import resumed

    before = settings.merged(resumed(out).as_dict(), read) if goes_on else read
    found = settings.resolve(kind, values=settings.merged(before, _without_none(given)), overrides=overrides)
    return found.model_copy(update=_with_addresses(found))


def _with_addresses(found: Any) -> dict[str, Any]:
    """Wherever a path was written, in an option, an override or a file of settings."""
    data = {name: as_address(getattr(found.data, name, None)) for name in ("source", "local")}
    also = [as_address(one) for one in getattr(found.data, "also", ())]
    every = {**data, "also": tuple(also)}
    own = {"data": found.data.model_copy(update={k: v for k, v in every.items() if hasattr(found.data, k)})}
    return own | ({"base": as_address(found.base)} if hasattr(found, "base") else {})


def seeds_of(seeds: str) -> list[int]:
    """From `1,2,3`."""
    from gpt2lab.core.errors import UserError

    found = [part.strip() for part in seeds.split(",")]
    if not all(part.isdecimal() for part in found) or len(set(found)) < len(found):
        raise UserError(f"seeds are different whole numbers with commas, not {seeds!r}", place="--seeds")
    return [int(part) for part in found]


def carry_out(
    kind: str, train: Callable[[Intent], dict[str, Any]], out: Path, intent: Intent, processes: int
) -> dict[str, Any]:
    """With one process here, or several of this very command; nothing where others have reported."""
    from gpt2lab.study import launch, run_folder

    if processes > 1 and not launch.is_member():
        launch.processes(processes, run_folder.resume_command(kind, out, processes))
        return {}
    return train(intent)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    inner = {key: _without_none(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in inner.items() if value is not None and value != {}}
