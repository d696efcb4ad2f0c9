"""`gpt2lab recipe`: the shipped recipes, to read, to copy and to edit."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from gpt2lab.cli.common import Json, prepare_console

app = typer.Typer(help="List, show and copy recipes.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_recipes(json: Json = False) -> None:
    """The recipes that ship with the package.

    Example: gpt2lab recipe list
    """
    from gpt2lab.core import console
    from gpt2lab.study import recipe
    from gpt2lab.text.synthesis import recipes

    prepare_console(json, False)
    rows = [(name, recipe.read(name, []).question) for name in recipe.shipped()]
    console.table("", ("recipe", "question"), rows)
    sets = [(name, recipes.read(name).purpose) for name in recipes.shipped()]
    console.table("", ("recipe of a data set", "what it is"), sets)
    console.next_command(f"gpt2lab run {rows[0][0]} --out STUDY")
    console.next_command(f"gpt2lab synthesize {sets[0][0]} --count 20 --out FILE.jsonl --backend builtin")
    console.result(
        [{"recipe": name, "question": question} for name, question in rows]
        + [{"recipe": name, "purpose": purpose} for name, purpose in sets]
    )


@app.command()
def show(name: str) -> None:
    """A recipe's text.

    Example: gpt2lab recipe show quickstart
    """
    sys.stdout.write(_find(name).read_text("utf-8"))


@app.command()
def copy(name: str, file: Annotated[Path, typer.Argument(help="where to put the copy")]) -> None:
    """A recipe as a file of your own.

    Example: gpt2lab recipe copy quickstart mine.yaml
    """
    from gpt2lab.core import console, files
    from gpt2lab.core.errors import UserError
    from gpt2lab.text.synthesis import recipes

    if file.exists():
        raise UserError("the file exists already", place=file, way_out="choose another name")
    files.write_text(file, _find(name).read_text("utf-8"))
    if name in recipes.shipped():
        console.next_command(f"gpt2lab synthesize {shlex.quote(str(file))} --count 20 --out FILE.jsonl")
    else:
        console.next_command(f"gpt2lab run {shlex.quote(str(file))} --out STUDY")


@app.command()
def schema(
    synthesis: Annotated[bool, typer.Option("--synthesis", help="of a recipe for `gpt2lab synthesize`")] = False,
) -> None:
    """The JSON schema of a recipe, for editors.

    Example: gpt2lab recipe schema > recipe.schema.json
    """
    import json

    from gpt2lab.study.recipe import Recipe
    from gpt2lab.text.synthesis.settings import SynthesisRecipe

    chosen = SynthesisRecipe if synthesis else Recipe
    sys.stdout.write(json.dumps(chosen.model_json_schema(), indent=2) + "\n")


def _find(name: str) -> Path:
    """Of a study, or of a data set."""
    from gpt2lab.study import recipe
    from gpt2lab.text.synthesis import recipes

    return recipes.find(name) if name in recipes.shipped() else recipe.find(name)
