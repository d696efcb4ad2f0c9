"""Mistakes that a user can repair, and the exit codes of the command line."""

from __future__ import annotations

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130


class UserError(Exception):
    """What is wrong, where, and the way out. Shown without a traceback; the process exits 2."""

    def __init__(self, cause: str, *, place: object = None, way_out: str | None = None) -> None:
        self.cause = cause
        self.place = None if place is None else str(place)
        self.way_out = way_out
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.cause]
        if self.place:
            lines.append(f"  where: {self.place}")
        if self.way_out:
            lines.append(f"  way out: {self.way_out}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, str | None]:
        return {"cause": self.cause, "place": self.place, "way_out": self.way_out}


class Failed(UserError):
    """What went wrong on the way, and what can be done. Shown like a user's mistake; the process exits 1."""


class Interrupted(Exception):
    """The user asked to stop; everything is saved. Shown with the command that continues; the process exits 130."""

    def __init__(self, saved: str, resume: str) -> None:
        super().__init__(saved)
        self.saved = saved
        self.resume = resume


def missing_extra(package: str, extra: str, purpose: str) -> UserError:
    return UserError(
        f"{purpose} needs the package {package}, which is not installed",
        way_out=f"pip install 'gpt2lab[{extra}]'",
    )
