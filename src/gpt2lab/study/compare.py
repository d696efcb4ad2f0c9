"""Runs that were made one by one become a report, as if they were a study's; nothing is copied."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from gpt2lab.core.errors import UserError
from gpt2lab.measure import comparison
from gpt2lab.study import report
from gpt2lab.study.report import facts as reading
from gpt2lab.study.report.columns import COSTS, columns
from gpt2lab.study.report.facts import Facts, Run


def compare(runs: Sequence[Path], out: Path) -> Path:
    """The address of the page. Runs that share no protocol are refused by the first field in which they differ."""
    if (out / "run.json").is_file() or (out / "study.json").is_file():
        raise UserError("a run or a study is here", place=out, way_out="choose another --out")
    facts = reading.of_runs(runs)
    refuse_unlike(facts)
    return report.write_comparison(facts, out)


def refuse_unlike(facts: Facts) -> None:
    """One protocol, on the same data with the same settings, has to be there for all."""
    for runs in facts.variants.values():
        if not any(run.records for run in runs):
            folder = runs[0].folder
            way_out = f"gpt2lab evaluate {shlex.quote(str(folder))} …"
            raise UserError("nothing was measured here", place=folder, way_out=way_out)
    if any(len(column.cells) == len(facts.variants) for column in columns(facts) if column.family not in COSTS):
        return
    first, *others = (runs[0] for runs in facts.variants.values())
    for other in others:
        for record in first.records:
            same = [one for one in other.records if one["protocol"] == record["protocol"]]
            for one in same:
                comparison.refuse_unlike(record, one)
    measured = "; ".join(f"{run.name}: {_names(run)}" for run in facts.runs)
    raise UserError(
        f"no protocol was measured on all of these runs: {measured}",
        way_out="gpt2lab evaluate measures each under the same protocol",
    )


def _names(run: Run) -> str:
    return ", ".join(sorted({str(record["protocol"]) for record in run.records})) or "none"
