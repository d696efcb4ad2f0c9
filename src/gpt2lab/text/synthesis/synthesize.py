"""`gpt2lab synthesize`: a recipe becomes a data set. Killed anywhere and run again, it continues."""

from __future__ import annotations

import asyncio
import contextlib
import math
import textwrap
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal

from gpt2lab.core import console, files, lock
from gpt2lab.core.errors import UserError
from gpt2lab.core.settings import differences
from gpt2lab.text.synthesis import journal as journals
from gpt2lab.text.synthesis import outputs
from gpt2lab.text.synthesis.announce import announce, report
from gpt2lab.text.synthesis.answers import Writer
from gpt2lab.text.synthesis.client import ApiWriter
from gpt2lab.text.synthesis.endpoint import endpoint, refuse_typed_keys
from gpt2lab.text.synthesis.grammar import GrammarWriter
from gpt2lab.text.synthesis.ledger import Ledger, Record
from gpt2lab.text.synthesis.outputs import Places
from gpt2lab.text.synthesis.settings import SynthesisRecipe
from gpt2lab.text.synthesis.work import Work

Backend = Literal["api", "builtin"]
SHOWN = 200  # characters of a difference: a prompt is long


def synthesize(
    recipe: SynthesisRecipe,
    out: Path,
    count: int,
    *,
    backend: Backend = "api",
    max_cost: float | None = None,
    keys: Sequence[str] = (),
    extend: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """The summary of the data set at `out`, written now or found finished. `keys` are HOST=VARIABLE."""
    if count < 1:
        raise UserError(f"--count is {count}", way_out="write one text or more")
    if max_cost is not None and not 0 <= max_cost < math.inf:
        raise UserError(f"--max-cost is {max_cost:g}", way_out="give an amount in the recipe's currency, or none")
    if backend == "api" and max_cost is not None and recipe.prices is None:
        raise UserError("a budget needs prices", place="--max-cost", way_out="prices.prompt=… prices.completion=…")
    refuse_typed_keys(keys)
    places = outputs.places(out)
    plan = _plan(recipe, backend)
    with contextlib.nullcontext() if dry_run else lock.locked(places.lock):
        records = journals.read(places.journal)
        if summary := _finished(places, records, plan, count, extend):
            return summary
        found = endpoint(recipe.model.address, keys, dry_run=dry_run) if backend == "api" else None
        ledger = Ledger(recipe, count)
        ledger.replay(records)
        announce(ledger, found, max_cost)
        if dry_run:
            return {"count": count, "missing": ledger.missing, "bill": ledger.bill.as_dict()}
        writer: Writer = ApiWriter(recipe, found) if found else GrammarWriter(recipe)
        with contextlib.closing(journals.Journal(places.journal, durable=writer.costs)) as journal:
            wanted = {"kind": "plan", "plan": plan, "count": count}
            if journals.last_plan(records) != wanted:
                journal.write(wanted)
            if ledger.missing:
                _run(_write(Work(recipe, ledger, journal, writer, max_cost)))
        summary = outputs.write(places, ledger, plan, _summary(places))
    report(summary)
    return summary


async def _write(work: Work) -> None:
    try:
        await work.run()
    finally:
        await work.writer.close()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Also where a loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _plan(recipe: SynthesisRecipe, backend: Backend) -> Record:
    """What the texts depend on. Where the model is, how fast it is asked and what it costs may change on the way."""
    settings = recipe.as_dict()
    for name in ("purpose", "requests", "prices"):
        del settings[name]
    del settings["model"]["address"]
    return {"backend": backend, **settings}


def _finished(places: Places, records: list[Record], plan: Record, count: int, extend: bool) -> Record | None:
    """The summary, when there is nothing to do. What is there and does not go with what is asked for is refused."""
    summary = _summary(places)
    there = journals.last_plan(records) or summary
    if there is None:
        if taken := next((path for path in (places.rows, places.texts) if path.exists()), None):
            raise outputs.changed(taken)
        return None
    changed = _changes(there["plan"], plan)
    more = [f"count: {there['count']:,} there, {count:,} asked for"] if there["count"] != count else []
    done = summary is not None and (summary["plan"], summary["count"]) == (there["plan"], there["count"])
    if done and (changed or (more and not (extend and count > there["count"]))):
        hint = "add --extend to write more; " if more and not changed and count > there["count"] else ""
        raise _other("another data set is here", changed + more, places, hint)
    if not done and not _began(records):
        return None
    if foreign := [line for line in changed if not line.startswith("checks.")]:
        raise _other("an unfinished data set with other settings is here", foreign, places)
    if done and not more and summary and outputs.whole(places, summary):
        console.say(f"{places.rows}: already written with these settings")
        return summary
    if not records:
        raise UserError(
            "the journal is gone, so what was paid for is not known",
            place=places.journal,
            way_out="choose another --out",
        )
    for line in changed + more:
        console.say(f"{line}: what was answered is judged again, and kept where it fits")
    return None


def _began(records: list[Record]) -> bool:
    """Something was answered, or may have been paid: a wrong key or a mistyped model leave nothing to keep."""
    kinds = Counter(record["kind"] for record in records)
    return kinds["answer"] > 0 or kinds["sent"] > sum(record.get("paid") is False for record in records)


def _changes(there: Record, wanted: Record) -> list[str]:
    return [textwrap.shorten(line, SHOWN, placeholder=" …") for line in differences(there, wanted)]


def _other(what: str, changed: list[str], places: Places, hint: str = "") -> UserError:
    return UserError(f"{what}: {'; '.join(changed)}", place=places.rows, way_out=f"{hint}choose another --out")


def _summary(places: Places) -> Record | None:
    return files.read_json(places.summary) if places.summary.exists() else None
