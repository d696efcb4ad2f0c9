"""A report's files: the page, the same as Markdown, its tables as CSV and its figures."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from gpt2lab.core import files
from gpt2lab.study.report import facts as reading
from gpt2lab.study.report.columns import columns
from gpt2lab.study.report.content import Content, gather
from gpt2lab.study.report.facts import Facts
from gpt2lab.study.report.tables import Table

CURVES = "accuracy_curves"  # a figure that also stands by itself, where people look for it


def write(study: Path) -> Path:
    """A pure function of the study's folder."""
    return _write(reading.of_study(study), study)


def write_comparison(facts: Facts, out: Path) -> Path:
    return _write(facts, out)


def _write(facts: Facts, out: Path) -> Path:
    content = gather(facts, out / "figures")
    for ending in ("html", "md"):
        pages = Environment(
            loader=PackageLoader("gpt2lab.study"), autoescape=ending == "html", trim_blocks=True, lstrip_blocks=True
        )
        pages.filters.update({"script": _script, "svg": Markup, "plain": plain, "fence": fence})
        text = pages.get_template(f"report.{ending}.jinja").render(content=content, rating=as_rating(content))
        files.write_text(out / f"report.{ending}", text)
    files.write_text(out / "report.csv", table(content.variants))
    files.write_text(out / "results.csv", results(facts))
    if any(chart.plot.name == CURVES for chart in content.charts["training"]):
        files.write_bytes(out / f"{CURVES}.png", (out / "figures" / f"{CURVES}.png").read_bytes())
    return out / "report.html"


def table(found: Table) -> str:
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow([cell.text + (" (measured)" if cell.measured else "") for cell in found.head])
    writer.writerows([cell.text for cell in row] for row in found.rows)
    return made.getvalue()


def results(facts: Facts) -> str:
    """Every result in full, a row each."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(["variant", "run", "seed", "protocol", "data", "split", "what", "value", "low", "high", "level"])
    for column in columns(facts):
        for variant, cell in column.cells.items():
            for run, record in cell:
                ends = record.get("interval") or {}
                about = (variant, run.name, run.seed, column.protocol, column.data, column.split, column.what)
                writer.writerow([*about, record.get("value"), ends.get("low"), ends.get("high"), ends.get("level")])
    return made.getvalue()


def plain(text: Any) -> str:
    """Text inside Markdown: nothing in it is markup, or ends a table's cell."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!$])", r"\\\1", " ".join(str(text).split()))


def fence(text: str) -> str:
    """A fence that no run of backticks in the text closes."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)


def _script(value: Any) -> Markup:
    """JSON inside a script element, where `</script>` must not stand."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def as_rating(content: Content) -> list[dict[str, Any]]:
    """What the page's rating form needs to say which text was whose."""
    return [
        {
            "prompt": row["prompt"],
            "sample": row["draw"],
            "texts": [{"variant": text.variant, "run": text.run} for text in row["texts"]],
        }
        for row in content.blind
    ]
