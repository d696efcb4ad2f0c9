"""A study killed at any moment, with all it has started, and run again makes the report of one that was not."""

import random
import shutil
import time

import torch

from faults.studies import report, run, write_recipe

torch.set_num_threads(1)  # forked children cannot use a parent's threads
KILLS = 3


def test_killed_at_random_moments_the_report_is_the_same(tmp_path):
    recipe, study = write_recipe(tmp_path), tmp_path / "study"
    begin = time.perf_counter()
    assert run(recipe, study)
    span = time.perf_counter() - begin
    expected = report(study)
    assert "full" in expected
    shutil.rmtree(study)
    moments = random.Random("study")
    finished = [run(recipe, study, moments.uniform(0.1, 0.6) * span) for _ in range(KILLS)]
    assert not all(finished)
    assert run(recipe, study)
    assert report(study) == expected
