"""What the verbs share: options that mean the same everywhere, and help that lists a verb's settings."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand


def words(metavar: str) -> Any:
    return typer.Argument(metavar=f"{metavar} [key.path=value]...".strip(), show_default=False)


Data = Annotated[list[str] | None, words("DATA")]
Model = Annotated[list[str] | None, words("MODEL")]
RecipeName = Annotated[list[str] | None, words("RECIPE")]
Study = Annotated[list[str] | None, typer.Argument(metavar="STUDY", show_default=False)]
Overrides = Annotated[list[str] | None, words("")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps", metavar="NAME")]
OtherTokenizer = Annotated[
    str | None, typer.Option("--tokenizer", help="for checkpoints that bring none; gpt2 or a folder", metavar="NAME")
]


Json = Annotated[bool, typer.Option("--json", help="one JSON object as the last line of standard output")]
Quiet = Annotated[bool, typer.Option("--quiet", help="say nothing but warnings and errors")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and stop")]


RECIPE = "one RECIPE"  # a file whose settings are a verb's, those at its top without a dot too


class _VerbWithSettings(TyperCommand):
    settings: tuple[tuple[str, str, str], ...] = ()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from gpt2lab.core.settings import describe

        super().format_help(ctx, formatter)
        rows = []
        for prefix, module, name in self.settings:
            rows += describe(getattr(importlib.import_module(module), name), f"{prefix}." if prefix else "")
        with formatter.section("Settings, as key.path=value"):
            formatter.write_dl([(f"{key}={default}", meaning) for key, default, meaning in rows])


def verb(**settings: str) -> dict[str, Any]:
    """For `@app.command(**verb(train="module:Class"))`: its help ends with these settings."""
    named = tuple((prefix, *place.split(":")) for prefix, place in settings.items())
    return {"cls": type("VerbWithSettings", (_VerbWithSettings,), {"settings": named})}


def prepare_console(json: bool, quiet: bool) -> None:
    from gpt2lab.core import console

    console.configure("json" if json else "quiet" if quiet else "normal")


def only_values(arguments: list[str] | None, wanted: str, count: int | None = 1) -> tuple[list[str], list[str]]:
    """(values, overrides), where a verb takes so many values and no more."""
    from gpt2lab.core.errors import UserError
    from gpt2lab.core.settings import UNDOTTED, split

    values, overrides = split(arguments or [])
    if wanted == RECIPE:
        overrides = [word for word in arguments or [] if word in overrides or UNDOTTED.match(word)]
        values = [word for word in values if word not in overrides]
    loose = next((value for value in values if UNDOTTED.match(value) and not Path(value).exists()), None)
    if loose or (count is not None and len(values) != count):
        found = " ".join(values) or "nothing"
        hint = f"settings have a dot: write {loose!r} as group.{loose}" if loose else f"give {wanted}"
        raise UserError(f"expected {wanted}, found {found}", way_out=f"{hint}; --help shows an example")
    return values, overrides


def refuse_settings(overrides: list[str]) -> None:
    """For verbs without settings: what is accepted must have an effect."""
    from gpt2lab.core.errors import UserError

    if overrides:
        raise UserError(f"there is no such setting here: {overrides[0]}", way_out="--help lists what there is")
