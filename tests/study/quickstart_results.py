"""What `make quickstart` promises, read from the files of one that was made: GPT2LAB_QUICKSTART names its folder."""

import math
import os
from pathlib import Path

import pytest

from gpt2lab.core import files
from gpt2lab.study.report import against
from gpt2lab.study.report.columns import aim, columns, cost
from gpt2lab.study.report.content import baseline_of
from gpt2lab.study.report.facts import of_study

STUDY = Path(os.environ["GPT2LAB_QUICKSTART"])
FACTS = of_study(STUDY)
FOUND = columns(FACTS)
TARGET = aim(FOUND, FACTS)


def test_every_variant_was_trained_and_nothing_is_missing():
    seeds = {name: len(runs) for name, runs in FACTS.variants.items()}
    assert seeds == {"base": 1, "full": 3, "lora": 3, "prompt": 1, "partial": 1}
    assert not FACTS.missing


def test_the_base_has_learned():
    (base,) = FACTS.variants["base"]
    (record,) = [found for found in base.records if found["protocol"].startswith("perplexity/blocks")]
    vocabulary = files.read_json(base.folder / "model" / "config.json")["vocab_size"]
    assert math.log(record["value"]) <= 0.6 * math.log(vocabulary)


@pytest.mark.parametrize("variant", ["full", "lora"])
def test_tuning_gains_and_the_interval_leaves_out_0(variant):
    assert TARGET is not None
    assert baseline_of(FACTS, TARGET) == "base"
    gained = against.all_against(TARGET, "base")[variant]
    assert gained.better
    assert 0 not in gained.items.interval


def test_full_tuning_forgets_and_the_interval_leaves_out_0():
    forgetting = cost(FOUND, "forgetting", TARGET)
    assert forgetting is not None
    for _, record in forgetting.cells["full"]:
        assert record["value"] > 0
        assert record["interval"]["low"] > 0


def test_texts_lie_side_by_side_and_the_report_is_a_page():
    written = {run.name: [sample["prompt"] for sample in run.samples] for run in FACTS.runs}
    assert len({tuple(prompts) for prompts in written.values()}) == 1
    page = (STUDY / "report.html").read_text()
    assert all(f">{name}</h4>" in page for name in FACTS.variants)
    assert len(page) < 3e6
