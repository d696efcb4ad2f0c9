"""Killed at any moment of a save, a model folder is whole or absent."""

import shutil

import pytest
import torch

from faults.deaths import KINDS, every_death
from gpt2lab.model.reading import read_model
from gpt2lab.model.writing import write_model
from models import language_model
from vocabularies import small


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
