"""`gpt2lab recipe`: the shipped recipes, to read, to copy and to edit."""

from __future__ import annotations

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

    prepare_console(json, False)
    rows = [(name, recipe.read(name, []).question) for name in recipe.shipped()]
    console.table("", ("recipe", "question"), rows)
    console.next_command(f"gpt2lab run {rows[0][0]} --out STUDY")
    console.result([{"recipe": name, "question": question} for name, question in rows])


@app.command()
def show(name: str) -> None:
    """A recipe's text.

    Example: gpt2lab recipe show quickstart
    """
    from gpt2lab.study import recipe

    sys.stdout.write(recipe.find(name).read_text("utf-8"))


@app.command()
def copy(name: str, file: Annotated[Path, typer.Argument(help="where to put the copy")]) -> None:
    """A recipe as a file of your own.

    Example: gpt2lab recipe copy quickstart mine.yaml
    """
    from gpt2lab.core import console, files
    from gpt2lab.core.errors import UserError
    from gpt2lab.study import recipe

    if file.exists():
        raise UserError("the file exists already", place=file, way_out="choose another name")
    files.write_text(file, recipe.find(name).read_text("utf-8"))
    console.next_command(f"gpt2lab run {file} --out STUDY")


@app.command()
def schema() -> None:
    """The JSON schema of a recipe, for editors.

    Example: gpt2lab recipe schema > recipe.schema.json
    """
    import json

    from gpt2lab.study.recipe import Recipe

    sys.stdout.write(json.dumps(Recipe.model_json_schema(), indent=2) + "\n")
