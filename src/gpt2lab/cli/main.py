"""`gpt2lab`: the verbs, and what becomes of an error. Heavy packages are imported inside the verbs."""

from __future__ import annotations

import errno
import shlex
import sys
import traceback
from typing import Annotated, Any

import typer

from gpt2lab import __version__
from gpt2lab.cli import (
    compare,
    corpus,
    doctor,
    evaluate,
    export,
    finetune,
    generate,
    merge,
    predict,
    prepare,
    pretrain,
    recipe,
    run,
    runs,
    search,
    synthesize,
)
from gpt2lab.core.errors import BAD_INPUT, FAILED, INTERRUPTED, Failed, Interrupted, UserError

# typer carries its own click since 0.26; what both raise for a mistyped line is reached through what typer exports.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="gpt2lab",
    help="Build, tune, measure and compare GPT-2 models. Begin with: gpt2lab quickstart",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    run,
    compare,
    prepare,
    pretrain,
    finetune,
    search,
    merge,
    export,
    evaluate,
    predict,
    generate,
    synthesize,
    doctor,
):
    module.register(app)
app.add_typer(recipe.app, name="recipe")
app.add_typer(corpus.app, name="corpus")
app.add_typer(runs.app, name="runs")


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False
) -> None:
    if version:
        sys.stdout.write(f"gpt2lab {__version__}\n")
    elif context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def main() -> None:
    sys.exit(run_verb(sys.argv[1:]))


def run_verb(arguments: list[str]) -> int:
    """Do it and return the exit code: 0, 1 (failed), 2 (bad input) or 130 (interrupted, resumable)."""
    try:
        code = app(arguments, standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer makes this of Ctrl-C
            raise KeyboardInterrupt
    except UserError as error:
        return _report(arguments, str(error), error.as_dict(), FAILED if isinstance(error, Failed) else BAD_INPUT)
    except UsageError as error:
        verb = [name for name in arguments[:1] if not str(error).startswith("No such command")]
        mistake = UserError(str(error), way_out=" ".join(["gpt2lab", *verb, "--help"]))
        return _report(arguments, str(mistake), mistake.as_dict(), BAD_INPUT)
    except Interrupted as stop:
        facts = {"cause": stop.saved, "resume": stop.resume}
        return _report(arguments, f"{stop.saved}\nnext: {stop.resume}", facts, INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        again = shlex.join(["gpt2lab", *arguments])
        facts = {"cause": "interrupted; the same command goes on or begins again", "resume": again}
        return _report(arguments, f"{facts['cause']}\nnext: {again}", facts, INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody left to tell
        return FAILED
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not error.filename and not full:
            return _unexpected(arguments, error)
        way_out = (
            "free some space; the same command continues" if full else "choose another path, or make this one usable"
        )
        mistake = UserError(error.strerror or str(error), place=error.filename, way_out=way_out)
        return _report(arguments, str(mistake), mistake.as_dict(), BAD_INPUT)
    except Exception as error:
        return _unexpected(arguments, error)
    return code


def _unexpected(arguments: list[str], error: Exception) -> int:
    traceback.print_exc()
    return _report(arguments, "", {"cause": f"{type(error).__name__}: {error}"}, FAILED)


def _report(arguments: list[str], message: str, facts: dict[str, Any], code: int) -> int:
    from gpt2lab.core import console

    if message:
        console.error(message)
    if "--json" in arguments:
        console.result_line({"error": facts, "exit": code})
    return code
