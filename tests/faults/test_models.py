"""Killed at any moment of a save, a model or checkpoint folder is whole or absent."""

import shutil

import pytest
import torch

from faults.deaths import KINDS, every_death
from gpt2lab.model.reading import read_model
from gpt2lab.model.writing import write_model
from gpt2lab.train import checkpoint
from gpt2lab.train.optimizer import adamw, groups
from gpt2lab.train.settings import TrainSettings
from models import language_model
from vocabularies import small

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_folder(tmp_path, kind):
    model, tokenizer = language_model(), small()
    expected = model(torch.arange(5)[None])

    def check():
        if (tmp_path / "model").exists():
            assert torch.equal(read_model(tmp_path / "model", vocabulary_multiple=64)(torch.arange(5)[None]), expected)
            shutil.rmtree(tmp_path / "model")

    assert every_death(kind, lambda: write_model(tmp_path / "model", model, tokenizer), check) >= 1
    check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_folder_and_the_one_before_it(tmp_path, kind):
    settings = TrainSettings(steps=3)
    model = language_model()
    mover = adamw(groups(model, settings), settings, CPU)
    model(torch.arange(5)[None])[..., :101].sum().backward()
    mover.step()
    checkpoint.save(tmp_path, 1, model, mover, {})

    def check():
        state = checkpoint.load_latest(tmp_path, model, mover)
        assert state is not None
        assert state["step"] in (1, 2)
        shutil.rmtree(tmp_path / "step-00000002", ignore_errors=True)

    assert every_death(kind, lambda: checkpoint.save(tmp_path, 2, model, mover, {}), check) >= 1
    assert checkpoint.load_latest(tmp_path, model, mover)["step"] == 2
