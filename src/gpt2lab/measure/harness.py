"""Any task of lm-evaluation-harness, run on our engine; the task, its metrics and its version are the harness's own."""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.core.errors import UserError, missing_extra
from gpt2lab.measure import precision
from gpt2lab.measure.records import circumstances
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.tokenizer import Tokenizer

RESAMPLES = 1000  # for the standard error of metrics that have no formula
Z95 = 1.959964


def measure(
    tasks: Sequence[str],
    model: GPT2,
    tokenizer: Tokenizer,
    *,
    context: int | None = None,
    tasks_from: Path | None = None,
    limit: int | None = None,
    shots: int | None = None,
) -> list[dict[str, Any]]:
    """A record a task, also for those of a group. `tasks_from` is a folder with task files of one's own."""
    try:
        from lm_eval import simple_evaluate

        from gpt2lab.measure.harness_engine import Engine
    except ImportError as error:
        raise missing_extra("lm-eval", "harness", "a task of lm-evaluation-harness") from error
    manager = _manager(tasks, tasks_from)
    _check_names(tasks, manager.all_tasks, tasks_from)
    window = min(context or model.window, model.window)
    begin = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr), _explained(tasks):
        found = simple_evaluate(
            Engine(model, tokenizer, window),
            tasks=list(tasks),
            num_fewshot=shots,
            limit=limit,
            bootstrap_iters=RESAMPLES,
            task_manager=manager,
        )
    assert found is not None
    seconds = time.perf_counter() - begin
    settings = {"context": window, "limit": limit, "lm_eval": importlib.metadata.version("lm-eval")}
    return [_record(name, found, settings, model, seconds) for name in found["results"]]


def _manager(tasks: Sequence[str], tasks_from: Path | None) -> Any:
    """Reading the harness's own thousands of task files takes seconds: only where one of them is meant."""
    from lm_eval.tasks import TaskManager

    if tasks_from is not None:
        if not tasks_from.is_dir():
            raise UserError("there is no such folder of task files", place=tasks_from)
        own = TaskManager(include_path=str(tasks_from), include_defaults=False)
        if all(name in own.all_subtasks for name in tasks):
            return own
    return TaskManager(include_path=None if tasks_from is None else str(tasks_from))


def _check_names(tasks: Sequence[str], known: Sequence[str], tasks_from: Path | None) -> None:
    for name in tasks:
        if name not in known and "*" not in name:
            close = ", ".join(difflib.get_close_matches(name, known, n=3))
            raise UserError(
                f"lm-evaluation-harness has no task {name!r}",
                place=tasks_from,
                way_out=f"did you mean {close}?" if close else "`lm-eval ls tasks` lists them all",
            )


@contextlib.contextmanager
def _explained(tasks: Sequence[str]) -> Any:
    """A task's data that cannot be had is no fault of ours, and needs no traceback."""
    try:
        yield
    except Exception as error:
        origin = type(error).__module__.partition(".")[0]
        if origin in ("datasets", "huggingface_hub") or isinstance(error, ConnectionError | FileNotFoundError):
            raise UserError(
                f"the task's data cannot be had: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
                place=", ".join(tasks),
                way_out="the harness fetches its data from the Hub; a task file of your own can name local files",
            ) from error
        raise


def _record(name: str, found: dict[str, Any], settings: dict[str, Any], model: GPT2, seconds: float) -> dict[str, Any]:
    results = found["results"][name]
    metrics = {_plain(key): value for key, value in results.items() if "," in key and _is_number(value)}
    values = {key: value for key, value in metrics.items() if not key.split("/")[0].endswith("_stderr")}
    samples = found.get("samples", {}).get(name, [])
    first = _first_metric(name, found, values)
    intervals = {metric: _interval(metric, metrics, samples) for metric in values}
    interval, note = intervals.get(first, (None, "this group of tasks has no value of its own"))
    config = found.get("configs", {}).get(name, {})
    measured = circumstances(model.transformer.wte.weight.device, precision.of(model), seconds, 0)
    return {
        "protocol": f"harness:{name}@{found['versions'].get(name)}",
        "value": values.get(first),
        "value_is": first,
        "interval": interval,
        "interval_note": note,
        "metrics": metrics,
        "intervals": {metric: of_metric for metric, (of_metric, _) in intervals.items() if of_metric},
        "counts": {"items": len({sample["doc_id"] for sample in samples}) or results.get("sample_len", 0)},
        "data": {
            "data": config.get("dataset_path"),
            "split": config.get("test_split") or config.get("validation_split"),
            "hash": files.fingerprint(sorted(sample["doc_hash"] for sample in samples)),
        },
        "settings": {**settings, "shots": found.get("n-shot", {}).get(name)},
        "seconds": measured["seconds"],
        "circumstances": measured,
        "items": [_item(sample) for sample in samples],
    }


def _plain(key: str) -> str:
    """`acc,none` is `acc`; another filter than none stays in the name."""
    metric, _, kind = key.partition(",")
    return metric if kind in ("", "none") else f"{metric}/{kind}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first_metric(name: str, found: dict[str, Any], values: dict[str, float]) -> str:
    """The one that the task or the group names first."""
    listed = found.get("configs", {}).get(name, {}).get("metric_list") or []
    ordered = [key for entry in listed for key in values if key.split("/")[0] == entry.get("metric")]
    return (ordered or list(values) or [""])[0]


def _interval(
    metric: str, metrics: dict[str, float], samples: list[dict[str, Any]]
) -> tuple[dict[str, Any] | None, str | None]:
    """Wilson's where every item is right or wrong, else from the harness's standard error."""
    from gpt2lab.measure import bootstrap
    from gpt2lab.measure.intervals import wilson

    plain, _, kind = metric.partition("/")
    scores: list[Any] = [sample.get(plain) for sample in samples if sample["filter"] == (kind or "none")]
    if scores and all(score in (0, 1) for score in scores):
        return wilson(int(sum(scores)), len(scores)).as_dict(), None
    error = metrics.get(f"{plain}_stderr/{kind}" if kind else f"{plain}_stderr")
    if not error:
        return None, "the harness gives no standard error for this metric" if error is None else bootstrap.too_alike(
            "item"
        )
    value = metrics[metric]
    return {"low": value - Z95 * error, "high": value + Z95 * error, "level": 0.95}, "value ± 1.96 standard errors"


def _item(sample: dict[str, Any]) -> dict[str, Any]:
    scores = {key: sample[key] for key in sample.get("metrics", []) if _is_number(sample.get(key))}
    answers = [response[0] if isinstance(response, list | tuple) else response for response in sample["resps"]]
    return {"item": sample["doc_id"], "filter": sample.get("filter"), "target": sample.get("target"),
            "answers": answers, **scores}  # fmt: skip
