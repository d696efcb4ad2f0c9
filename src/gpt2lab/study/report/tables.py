"""The report's tables: rows of cells, laid out by the page, the Markdown and the CSV alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gpt2lab.measure import overfitting, showing
from gpt2lab.measure import published as lines_published
from gpt2lab.measure.intervals import over_seeds
from gpt2lab.study.report import against as comparing
from gpt2lab.study.report import how, numbers, uses
from gpt2lab.study.report.against import Against
from gpt2lab.study.report.columns import Column, around_seeds, is_exponential
from gpt2lab.study.report.facts import Facts, Run

UNITS = {"tokens_per_second": "tokens/s", "texts_per_second": "texts/s"}
AMOUNTS = ("documents", "tokens", "bytes")  # of a split


@dataclass(frozen=True)
class Cell:
    text: str
    number: bool = False
    measured: bool = False  # differs from run to run: times, memory, machines
    dots: list[float] = field(default_factory=list)  # 0 to 100, where each seed stands among all


@dataclass(frozen=True)
class Table:
    caption: str
    head: list[Cell]
    rows: list[list[Cell]]
    note: str = ""


def variants(facts: Facts, target: Column | None, against: Mapping[str, Against], forgetting: Column | None) -> Table:
    baseline = next(iter(against.values())).baseline if against else "the baseline"
    what = target.what if target else "result"
    rate = next((key for key in UNITS if any(run.about.get(key) for run in facts.runs)), "tokens_per_second")
    head = [
        Cell("variant"),
        Cell(what, True),
        Cell("95 % interval", True),
        Cell("over seeds", True),
        Cell("every seed"),
        Cell(f"against {baseline}"),
        Cell("p, Holm", True),
        Cell("forgetting, nats/token", True),
        Cell("trained parameters", True),
        Cell("peak memory", True, True),
        Cell("training", True, True),
        Cell(UNITS[rate], True, True),
    ]
    values = [value for name in (target.cells if target else ()) for value in (target.values(name) if target else ())]
    low, high = min(values, default=0.0), max(values, default=1.0)
    rows = []
    for name, runs in facts.variants.items():
        own = target.values(name) if target else []
        one = against.get(name)
        dots = [round(100 * (value - low) / ((high - low) or 1.0), 1) for value in own]
        rows.append(
            [
                Cell(name),
                Cell(numbers.value(what, target.mean(name) if target else None), True),
                Cell(_over_items(target, name), True),
                Cell(_over_seeds(what, own), True),
                Cell(", ".join(numbers.value(what, value) for value in own) or _why_not(runs), dots=dots),
                Cell(_change(name, one, own, baseline)),
                Cell(numbers.p_value(one.adjusted) if one else numbers.NOTHING, True),
                Cell(_forgetting(forgetting, name), True),
                Cell(numbers.count(uses.mean_of(facts, name, "trainable_parameters")), True),
                Cell(numbers.size(uses.mean_of(facts, name, "peak_memory")), True, True),
                Cell(numbers.seconds(uses.mean_of(facts, name, "training_seconds")), True, True),
                Cell(numbers.count(uses.mean_of(facts, name, rate)), True, True),
            ]
        )
    mean = "the exponential of their mean log perplexity" if is_exponential(what) else "their mean"
    note = (
        "The 95 % interval says how far other documents or items could move the value (of several "
        f"seeds, {mean}); the one over seeds (t), how far other seeds could. "
        "A difference is called one only if it stands out among the documents, among the seeds, and after Holm's "
        "correction. Times are of training steps alone, memory is that of one process; both depend on the machine."
        if target
        else ""
    )
    return Table(target.title if target else "nothing measured", head, rows, note)


def all_results(found: Sequence[Column]) -> Iterator[Table]:
    """One table a protocol, data and settings: what does not compare never shares a column."""
    for column in found:
        if column.family == "text-quality":
            continue
        rows = []
        for cell in column.cells.values():
            for run, record in cell:
                for _, what, value, around, better, count in showing.rows(record):
                    parts = (run.name, what, value, around, better, count)
                    rows.append([Cell(text, place in (2, 3)) for place, text in enumerate(parts)])
        heads = ("run", "what", "value", "95 % interval", "better", "of")
        yield Table(column.title, [Cell(name, place in (2, 3)) for place, name in enumerate(heads)], rows)


def published(facts: Facts, found: Sequence[Column]) -> Iterator[Table]:
    rows = []
    for column in found:
        _, record = next(iter(column.cells.values()))[0]
        for line in lines_published.beside(record):
            what = column.what if line.field == "value" else line.field.replace("_", " ")
            kind = "the same protocol" if line.comparable else "not comparable"
            parts = (column.title, line.model, numbers.value(what, line.value), what, line.source, kind)
            rows.append([Cell(text, place == 2) for place, text in enumerate(parts)])
    if rows:
        heads = ("beside", "model", "value", "what", "source", "")
        yield Table("Published values", [Cell(name, place == 2) for place, name in enumerate(heads)], rows)
    if claims := facts.recipe.get("published"):
        said = [[Cell(str(what)), Cell(str(text))] for what, text in claims.items()]
        note = "Under protocols that the write-up does not state: shown, and compared with nothing."
        yield Table("What the write-up says of itself", [Cell("what"), Cell("said")], said, note)


def looks(facts: Facts) -> Iterator[Table]:
    """When each training was best on validation, and what going on from there cost."""
    rows = []
    for run in facts.runs:
        decided = run.about.get("decided") or {}
        epoch = decided["rows"] / decided["batch_rows"] if decided.get("rows") and decided.get("batch_rows") else None
        found = overfitting.best_look(run.metrics, epoch or 1)
        if found is None:
            continue
        when = f"{found['epoch']:.2f}" if epoch else numbers.NOTHING
        rose = f"{found['after']:+.4f}" if found["after"] else "0"
        parts = (run.name, numbers.count(found["step"]), when, f"{found['validation_loss']:.4f}", rose)
        rows.append([Cell(text, place > 0) for place, text in enumerate(parts)])
    if rows:
        heads = ("run", "step", "epoch", "validation loss, nats", "from there to the end")
        yield Table("When validation was best", [Cell(name, place > 0) for place, name in enumerate(heads)], rows)


def making(facts: Facts) -> Iterator[Table]:
    names, rows = how.differences(facts)
    if rows and len(names) > 1:
        why = how.reasons(facts)
        said = [[Cell("why"), *(Cell(why.get(f"variants.{name}", "")) for name in names)]]
        said = said if any(cell.text for cell in said[0][1:]) else []
        yield Table(
            "What the variants differ in",
            [Cell("setting"), *(Cell(name) for name in names)],
            [*said, *([Cell(text) for text in row] for row in rows)],
        )
    if splits := (facts.corpus or {}).get("splits"):
        heads = [Cell("split"), *(Cell(what, True) for what in AMOUNTS)]
        rows = [
            [Cell(name), *(Cell(numbers.count(about.get(what)), True) for what in AMOUNTS)]
            for name, about in splits.items()
        ]
        yield Table("The data", heads, rows)
    if settings := how.settings(facts):
        heads = [Cell("setting"), Cell("value"), Cell("why")]
        yield Table("The recipe's settings", heads, [[Cell(text) for text in row] for row in settings])
    if lineage := how.lineage(facts):
        heads = [Cell("run"), Cell("tuned from"), Cell("its weights")]
        yield Table("Where each run came from", heads, [[Cell(text) for text in row] for row in lineage])
    if environments := how.environments(facts):
        cells = [[Cell(key), Cell(value, measured=True)] for key, value in environments]
        yield Table("Where it ran", [Cell("what"), Cell("is", measured=True)], cells)


def _over_items(target: Column | None, name: str) -> str:
    found = comparing.over_items(target, name)[0] if target and name in target.cells else None
    return numbers.interval(target.what, found.as_dict()) if target and found else ""


def _over_seeds(what: str, values: list[float]) -> str:
    found = around_seeds(what, values)
    return numbers.interval(what, found.as_dict()) if found else ""


def _change(name: str, one: Against | None, own: list[float], baseline: str) -> str:
    if one is not None:
        return one.wording()
    return "the baseline" if name == baseline else "not compared" if own else numbers.NOTHING


def _forgetting(column: Column | None, name: str) -> str:
    cell = column.cells.get(name) if column else None
    if not cell:
        return numbers.NOTHING
    values = [float(record["value"]) for _, record in cell]
    around = over_seeds(values)
    found = around.as_dict() if around else cell[0][1].get("interval")
    inside = f" [{found['low']:+.3f}, {found['high']:+.3f}]" if found else ""
    return f"{sum(values) / len(values):+.3f}{inside}"


def _why_not(runs: Sequence[Run]) -> str:
    other = "measured under other settings" if any(run.records for run in runs) else "not measured"
    return next((run.problem for run in runs if run.problem), other)
