"""How each number came about: protocols, settings and their reasons, what the variants differ in, where it ran."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from gpt2lab.study import recipe as recipes
from gpt2lab.study.report import numbers
from gpt2lab.study.report.columns import Column
from gpt2lab.study.report.facts import Facts, Run

PROTOCOLS = {
    "perplexity/token-window": "One stream of tokens in windows that slide by the stride; every token but the first is "
    "scored once, and the value is exp(ΣNLL / tokens).",
    "perplexity/word": "Page by page behind an end-of-text, in disjoint windows; ΣNLL is divided by the words of the "
    "original page, as lm-evaluation-harness does.",
    "perplexity/blocks": "One stream with end-of-text between documents, in blocks; every target is scored, and the "
    "value is exp(ΣNLL / targets). It selects models inside one run.",
    "bits-per-byte": "Each document behind an end-of-text, in disjoint windows; ΣNLL / (ln 2 · bytes).",
    "hellaswag/harness": "Text prepared as lm-evaluation-harness does; the ending with the highest log-likelihood per "
    "character, or in sum, is the answer.",
    "hellaswag/completion": "The raw context and each ending by itself; the ending with the highest mean "
    "log-likelihood per token, or in sum, is the answer.",
    "choices": "The ending with the highest log-likelihood is the answer; ties go to the first.",
    "lambada": "The greedy last word, and the perplexity of the true one.",
    "labels": "The class with the highest probability at the last token that is no padding.",
    "forgetting": "Tuned minus base, in nats a token of text from the original domain, paired by document.",
    "text-quality": "Repetition, variety, copying and relevance to the prompt of what each variant wrote to the same "
    "prompts with the same draws.",
}
PLACES = ("data", "base", "track", "device", "sample", "probe")  # of settings: where things lie, not what was chosen
COMMENT = re.compile(r"\s#\s?(.*)$")


def protocols(found: Sequence[Column]) -> Iterator[dict[str, Any]]:
    for column in found:
        _, record = next(iter(column.cells.values()))[0]
        counts = {key: value for key, value in (record.get("counts") or {}).items() if isinstance(value, int)}
        yield {
            "protocol": column.title,
            "what": PROTOCOLS.get(column.family, "As the task of lm-evaluation-harness says."),
            "counts": ", ".join(f"{numbers.count(value)} {key.replace('_', ' ')}" for key, value in counts.items()),
            "settings": ", ".join(f"{key} {numbers.plain(value)}" for key, value in column.settings.items()),
            "interval": (record.get("interval") or {}).get("method") or record.get("interval_note") or "none",
            "data": str(record["data"].get("hash") or "")[:16],
        }


def differences(facts: Facts) -> tuple[list[str], list[list[str]]]:
    """(variants, rows of a setting and its value in each), where they are not the same for all."""
    chosen = {name: numbers.flat(_choices(runs[0])) for name, runs in facts.variants.items() if runs[0].settings}
    tuned = {name: values for name, values in chosen.items() if values.get("kind") == "finetune"}
    chosen = tuned or chosen
    keys = sorted({key for values in chosen.values() for key in values} - {"train.seed", "kind"})
    rows = [[key, *(numbers.plain(values.get(key)) for values in chosen.values())] for key in keys]
    return list(chosen), [row for row in rows if len(set(row[1:])) > 1]


def settings(facts: Facts) -> list[tuple[str, str, str]]:
    """(setting, value, reason) of the recipe."""
    why = reasons(facts)
    left_out = ("name", "question", "published", "prompts", "measures")
    values = numbers.flat({key: value for key, value in facts.recipe.items() if key not in left_out})
    return [
        (key, numbers.plain(value), why.get(key, "")) for key, value in values.items() if value not in (None, [], {})
    ]


def reasons(facts: Facts) -> dict[str, str]:
    """Dotted key → the comment beside it, in the recipe kept with the study or in the shipped one of its name.

    A value that was changed on the command line has lost its reason.
    """
    kept = facts.folder / "recipe.yaml"
    text = kept.read_text("utf-8") if facts.recipe and kept.is_file() else recipes.shipped().get(facts.name, "")
    if not text or not facts.recipe:
        return {}
    try:
        written = numbers.flat(recipes.Recipe.model_validate(yaml.safe_load(text)).as_dict())
    except (ValueError, yaml.YAMLError):
        return {}
    now = numbers.flat(facts.recipe)
    return {key: said for key, said in comments(text).items() if key not in written or written[key] == now.get(key)}


def comments(text: str) -> dict[str, str]:
    """Dotted key → the comment on its line. Flow groups such as `{rank: 8}` share theirs."""
    found: dict[str, str] = {}
    said = {
        number: match[1].strip() for number, line in enumerate(text.splitlines()) if (match := COMMENT.search(line))
    }
    for path, line in _lines(yaml.compose(text, Loader=yaml.SafeLoader), ()):
        if line in said:
            found.setdefault(path, said[line])
    return found


def environments(facts: Facts) -> list[tuple[str, str]]:
    """What all trainings ran on; where they differ, each of it."""
    rows: dict[str, list[str]] = {}
    for run in facts.runs:
        about, decided = run.about.get("environment") or {}, run.about.get("decided") or {}
        parts = {"python": about.get("python"), "platform": about.get("platform"), **(about.get("versions") or {})}
        parts |= {key: decided.get(key) for key in ("device", "precision", "threads", "processes", "compile")}
        for key, value in parts.items():
            if value is not None:
                rows.setdefault(key, []).append(numbers.plain(value))
    return [(key, " / ".join(dict.fromkeys(values))) for key, values in rows.items()]


def lineage(facts: Facts) -> list[tuple[str, str, str]]:
    """(run, base, hash of its weights)."""
    found = [(run.name, run.about.get("base")) for run in facts.runs]
    return [(name, own(facts, base.get("path")), str(base.get("weights", ""))[:16]) for name, base in found if base]


def own(facts: Facts, path: Any) -> str:
    """A path inside the study as the study sees it: the page is the same wherever the study lies."""
    text, here = str(path), str(facts.folder.resolve())
    return text.replace(here, "STUDY") if facts.recipe else text


def _choices(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.settings.items() if key not in PLACES}


def _lines(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            own_path = (*path, str(key.value))
            yield ".".join(own_path), key.start_mark.line
            yield from _lines(value, own_path)
