"""What a search varies: one setting, and its values or the ends of a range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import OVERRIDE, UNDOTTED, resolve
from gpt2lab.study.settings import TuneSettings, wanted_by

Point = dict[str, str]  # setting → value, as one would type it

# Trials are judged by one number, on the same held-out text, after the same budget, with the same order of rows.
COMMON = (
    "base", "task", "data", "prepare", "train.block", "train.watch", "train.validate_tokens", "train.seed",
    "train.steps", "train.tokens", "train.epochs", "train.minutes",
)  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """Values with commas, lists among them in brackets; or a range `1e-5..1e-2`, drawn on a logarithmic scale."""

    key: str
    text: str

    @property
    def values(self) -> tuple[str, ...]:
        return () if ".." in self.text else _parts(self.text)

    @property
    def ends(self) -> tuple[float, float]:
        low, _, high = self.text.partition("..")
        return float(low), float(high)

    @property
    def whole(self) -> bool:
        """Whether a range is of whole numbers."""
        return all(part.isdecimal() for part in self.text.split(".."))

    @property
    def samples(self) -> tuple[str, ...]:
        """What can be checked before anything is trained."""
        return self.values or tuple(self.text.split(".."))

    def holds(self, text: str | None) -> bool:
        """Whether all values of an earlier axis are among these."""
        earlier = Axis(self.key, text or "..").values
        return bool(earlier) and set(earlier) <= set(self.values)

    @property
    def is_number(self) -> bool:
        return all(_is_number(value) for value in self.samples)


def axis_of(text: str) -> Axis:
    """From `key.path=a,b,c` or `key.path=low..high`."""
    key, _, values = text.partition("=")
    found = Axis(key, values)
    if shared := next((name for name in COMMON if key == name or key.startswith(f"{name}.")), None):
        raise UserError(
            f"all trials of a search share {shared}, or it could not tell what made one better",
            place=f"--over {text}",
            way_out="a search, or a variant of a recipe, for each",
        )
    good = (OVERRIDE.match(text) or UNDOTTED.match(text)) and all(found.samples)
    if good and ".." in values:
        good = found.is_number and 0 < found.ends[0] < found.ends[1]
    if ".." in values and found.is_number and found.ends[0] > found.ends[1]:
        raise UserError(f"a range begins with its lower end: {text!r}", place="--over")
    if not good:
        raise UserError(
            f"what to search over is not understood: {text!r}", place="--over",
            way_out="train.learning_rate=1e-4,2e-4,4e-4 or train.learning_rate=1e-5..1e-2",
        )  # fmt: skip
    return found


def axes_of(texts: Sequence[str]) -> list[Axis]:
    """Each setting once."""
    found = [axis_of(text) for text in texts]
    keys = [axis.key for axis in found]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise UserError(f"{twice} stands twice", place="--over", way_out=f"all its values in one: {twice}=a,b,c")
    return found


def at(settings: TuneSettings, point: Point, said: str = "on the command line") -> TuneSettings:
    """The settings with a point's values. Another method brings its own defaults, where nothing else was said."""
    values = settings.as_dict()
    for key in wanted_by(settings.method).keys() - settings.train.model_fields_set:
        del values["train"][key]
    overrides = [f"{key}={value}" for key, value in point.items()]
    return resolve(TuneSettings, values=values, overrides=overrides, said=said)


def _parts(text: str) -> tuple[str, ...]:
    """At commas outside of brackets."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return tuple(part.strip() for part in found)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
