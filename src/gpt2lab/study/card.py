"""A model card: what the model is, how to use it, what was measured and how, what it was made of, and its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gpt2lab import __version__
from gpt2lab.core import console
from gpt2lab.measure import showing
from gpt2lab.model.config import describe
from gpt2lab.study import card_metadata
from gpt2lab.study.card_facts import Facts, data_name, of_record, split_of, without_places
from gpt2lab.study.runs import Run
from gpt2lab.text import named
from gpt2lab.text.corpus import is_corpus, open_corpus

ADAPTERS = {"LORA": "A low-rank adapter", "PROMPT_TUNING": "Soft tokens"}
HUB = "https://huggingface.co"
WRITE = """inputs = tokenizer("Once upon a time", return_tensors="pt")
written = model.generate(**inputs, max_new_tokens=40, do_sample=True)
print(tokenizer.decode(written[0]))"""
CLASSIFY = """inputs = tokenizer("A text to classify.", return_tensors="pt")
probabilities = model(**inputs).logits[0].detach().softmax(-1)
print({labels}[int(probabilities.argmax())], float(probabilities.max()))"""


def write(facts: Facts) -> str:
    head = yaml.safe_dump(card_metadata.of(facts), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{head}---", f"# {facts.name.rpartition('/')[2]}", _what_it_is(facts)]
    parts += ["## How to use it", _usage(facts), "## Results", _results(facts)]
    if facts.run:
        parts += ["## Data", _data(facts.run), "## Training", _training(facts.run)]
    parts += ["## Where it comes from", _lineage(facts), "## Limits", _limits(facts)]
    return "\n\n".join(parts) + "\n"


def _what_it_is(facts: Facts) -> str:
    aim = "names the class of a text" if facts.config.labels else "continues text"
    if facts.adapter:
        what = ADAPTERS.get(facts.adapter, f"An adapter ({facts.adapter})")
        return f"{what} for [{facts.base}]({HUB}/{facts.base}); together the model {aim}."
    return f"A GPT-2 that {aim}: {describe(facts.config)}."


def _usage(facts: Facts) -> str:
    labels = facts.config.labels
    auto = "AutoModelForSequenceClassification" if labels else "AutoModelForCausalLM"
    classes = f", num_labels={len(labels)}" if labels and facts.adapter else ""
    lines = [f"from transformers import {auto}, AutoTokenizer", ""]
    if facts.adapter:
        lines = ["from peft import PeftModel", *lines, f"base = {auto}.from_pretrained({facts.base!r}{classes})"]
        lines.append(f"model = PeftModel.from_pretrained(base, {facts.name!r}).eval()")
    else:
        lines.append(f"model = {auto}.from_pretrained({facts.name!r})")
    lines.append(f"tokenizer = AutoTokenizer.from_pretrained({facts.name!r})")
    lines.append(CLASSIFY.format(labels=list(labels)) if labels else WRITE)
    ours = f"gpt2lab predict {facts.name} --text" if labels else f"gpt2lab generate {facts.name} --prompt"
    return "```python\n" + "\n".join(lines) + f'\n```\n\nOr with gpt2lab: `{ours} "…"`.'


def _results(facts: Facts) -> str:
    if not facts.results:
        return "Nothing was measured."
    table = ["| protocol | what | value | 95 % interval | of | data | split |", "|---|---|---|---|---|---|---|"]
    notes = []
    for record in facts.results:
        data = f"{of_record(record)} ({str(record['data'].get('hash') or '')[:12]})"
        for protocol, what, value, interval, _, count in showing.rows(record):
            cells = (protocol, what, value, interval, count, data, split_of(record) or "")
            table.append(f"| {' | '.join(map(_cell, cells))} |")
        if record.get("interval") is None and record.get("interval_note"):
            notes.append(f"{record['protocol']}: no interval: {record['interval_note']}.")
    exact = [{"protocol": record["protocol"], **without_places(record["settings"])} for record in facts.results]
    alike = "Values compare only where protocol, data (by its hash) and these settings are the same:"
    return "\n\n".join(["\n".join(table), *notes, alike, _folded("settings of the measurements", exact)])


def _data(run: Run) -> str:
    source = str(run.settings["data"]["source"])
    name = data_name(source)
    told = [f"Trained on `{name}`."]
    if name in named.SETS:
        about = named.SETS[name]
        told = [f"Trained on [{name}]({HUB}/datasets/{about.hub}); licence: {about.licence}."]
    if is_corpus(Path(source)):
        splits = open_corpus(Path(source)).manifest.get("splits", {})
        told += [
            f"{split}: {console.counted(about['documents'], 'document')}, {console.counted(about['tokens'], 'token')}."
            for split, about in splits.items()
        ]
    return " ".join([*told, f"Hash of the corpus: `{run.record.get('corpus')}`."])


def _training(run: Run) -> str:
    record, method = run.record, run.settings.get("method")
    told = [f"{run.what}{f' by {method}' if method else ''}, {console.counted(record['steps'], 'step')}."]
    if record.get("trainable_parameters"):
        told.append(f"{record['trainable_parameters']:,} of {record['parameters']:,} parameters moved.")
    if record.get("best_step") is not None:
        told.append(f"The weights are those of step {record['best_step']:,}, the best by {run.watched}.")
    if record.get("training_seconds"):
        told.append(f"The steps took {console.duration(record['training_seconds'])} on {record['decided']['device']}.")
    return " ".join(told) + "\n\n" + _folded("all settings", without_places(run.settings))


def _lineage(facts: Facts) -> str:
    told, run = [], facts.run
    base = run.record.get("base") if run else None
    if base:
        known = f"[{facts.base}]({HUB}/{facts.base})" if facts.base else f"`{without_places(base['path'])}`"
        told.append(f"Tuned from {known}, weights `{base['weights']}`.")
    elif run:
        told.append("Trained from random weights.")
    if merged := facts.about.get("merged_from"):
        told.append(f"An adapter (`{merged['adapter']}`) merged into its base, stored in {merged['precision']}.")
    versions = run.record.get("environment", {}).get("versions", {}) if run else {"gpt2lab": __version__}
    made = ", ".join(f"{name} {versions[name]}" for name in ("gpt2lab", "torch") if name in versions)
    return " ".join([*told, f"Hash of the weights: `{facts.weights}`. Made with {made}."])


def _limits(facts: Facts) -> str:
    labels, run = facts.config.labels, facts.run
    told = [f"It sees at most {facts.config.context:,} tokens at once."]
    if labels:
        told.append(f"It says one of {', '.join(labels)} of every text, also of one that is about none of them.")
    else:
        told.append("It writes what is likely. Nothing makes it true, safe or fair.")
    if run:
        told.append(
            f"It is one training with one seed ({run.settings['train'].get('seed')}); another gives other values."
        )
        if run.record.get("best_step") is not None:
            told.append("Its step was chosen on the validation split, so values on that split flatter it.")
    if facts.about.get("quantised"):
        told.append(
            "It was tuned on a base quantised to four bits; in PEFT on the plain base its logits differ a little."
        )
    if not facts.results:
        told.append("How good it is was not measured.")
    return "\n".join(f"- {line}" for line in told)


def _folded(what: str, value: Any) -> str:
    said = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return f"<details><summary>{what}</summary>\n\n```yaml\n{said}```\n\n</details>"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
