"""What we predict, transformers' own pipeline predicts for each text alone: plain and tuned classifiers."""

from dataclasses import replace

import pytest
import transformers

from gpt2lab.measure import predicting
from gpt2lab.model.reading import read_model
from gpt2lab.model.writing import write_model
from gpt2lab.text.loose_texts import LooseText
from models import TINY, classifier
from vocabularies import SAMPLE, small

TEXTS = [SAMPLE[start : start + 2 + 5 * start] for start in range(12)]


def test_the_text_classification_pipeline_says_the_same(tmp_path):
    end = small().end_of_text
    config = replace(
        TINY, vocabulary=small().size, context=64, labels=("a", "b", "c"),
        start_of_text=end, end_of_text=end, padding=end,
    )  # fmt: skip
    write_model(tmp_path / "m", classifier(config), small())
    pipeline = transformers.pipeline("text-classification", model=str(tmp_path / "m"), top_k=None, device="cpu")
    ours = predicting.predict(read_model(tmp_path / "m"), small(), map(LooseText, TEXTS), predicting.Tally())
    for answer, text in zip(ours, TEXTS, strict=True):
        theirs = {found["label"]: found["score"] for found in pipeline([text])[0]}
        assert answer["probabilities"] == pytest.approx(theirs, abs=1e-5)
        assert answer["label"] == max(theirs, key=theirs.get)
