"""`gpt2lab doctor`: what this machine is and can do, what works offline, what each extra would add."""

from __future__ import annotations

import typer

from gpt2lab.cli.common import Device, Json, prepare_console


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(device: Device = "auto", json: Json = False) -> None:
    """Look at this machine: what it is, how fast, what works offline, what extras would add.

    Example: gpt2lab doctor
    """
    from gpt2lab.core import console
    from gpt2lab.study import doctor as examination

    prepare_console(json, False)
    facts = examination.examine(device)
    for title, rows in facts.items():
        console.table(title, ("", ""), [(name, value) for name, value in rows.items()])
        console.say()
    console.next_command("gpt2lab quickstart")
    console.result(facts)
