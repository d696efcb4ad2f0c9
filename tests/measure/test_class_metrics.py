"""Every figure about classes against scikit-learn, and the invariants that hold for any answers."""

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from gpt2lab.measure import class_metrics, labels


@st.composite
def answers(draw):
    classes, texts = draw(st.integers(2, 6)), draw(st.integers(1, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    sharpness = draw(st.sampled_from([0.3, 2.0, 4.0]))
    logits = generator.normal(size=(texts, classes)) * sharpness
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_p, generator.integers(0, draw(st.integers(1, classes)), texts)


def names_of(log_p):
    return [f"class {number}" for number in range(log_p.shape[1])]


@given(answers())
def test_scikit_learn_says_the_same(found):
    log_p, true = found
    classes, predicted = np.arange(log_p.shape[1]), log_p.argmax(axis=1)
    scores = labels.scores(log_p, true, names_of(log_p))
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
        true, predicted, labels=classes, zero_division=0
    )
    assert scores["value"] == sklearn.metrics.accuracy_score(true, predicted)
    assert scores["confusion"] == sklearn.metrics.confusion_matrix(true, predicted, labels=classes).tolist()
    assert scores["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(true, predicted, average="macro"))
    for key, theirs in {"precision": precision, "recall": recall, "f1": f1, "support": support}.items():
        assert [of_class[key] for of_class in scores["classes"]] == pytest.approx(theirs.tolist())
    assert scores["nll"] == pytest.approx(sklearn.metrics.log_loss(true, np.exp(log_p), labels=classes))


@given(answers())
def test_calibration_is_scikit_learns_curve(found):
    log_p, true = found
    confidence, right = np.exp(log_p.max(axis=1)), log_p.argmax(axis=1) == true
    ours = class_metrics.calibration(log_p, true)
    accuracy, mean_confidence = sklearn.calibration.calibration_curve(right, confidence, n_bins=class_metrics.BINS)
    assert [value for value in ours["accuracy"] if value is not None] == pytest.approx(accuracy.tolist())
    assert [value for value in ours["confidence"] if value is not None] == pytest.approx(mean_confidence.tolist())
    weights = np.array([count for count in ours["texts"] if count]) / len(true)
    assert ours["error"] == pytest.approx(float((weights * np.abs(accuracy - mean_confidence)).sum()))


@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_texts_changes_nothing(found, random):
    log_p, true = found
    order = random.sample(range(len(true)), len(true))
    before, after = (labels.scores(log_p[rows], true[rows], names_of(log_p)) for rows in (slice(None), order))
    assert before["confusion"] == after["confusion"]
    assert before["calibration"]["error"] == pytest.approx(after["calibration"]["error"])
    for key in ("value", "macro_f1", "nll"):
        assert before[key] == pytest.approx(after[key])


@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_classes_permutes_what_is_said_of_each(found, random):
    log_p, true = found
    order = np.array(random.sample(range(log_p.shape[1]), log_p.shape[1]))
    before = labels.scores(log_p, true, names_of(log_p))
    after = labels.scores(log_p[:, order], np.argsort(order)[true], [names_of(log_p)[place] for place in order])
    assert after["macro_f1"] == pytest.approx(before["macro_f1"])
    by_name = {of_class["name"]: of_class for of_class in before["classes"]}
    for of_class in after["classes"]:
        assert of_class == by_name[of_class["name"]]


def test_sure_and_right_is_perfect_and_sure_and_wrong_is_not():
    log_p = np.log(np.array([[1.0, 1e-300], [1e-300, 1.0]]))
    perfect, wrong = (labels.scores(log_p, np.array(true), ["a", "b"]) for true in ([0, 1], [1, 0]))
    assert (perfect["value"], perfect["macro_f1"], perfect["calibration"]["error"]) == (1, 1, 0)
    assert (wrong["value"], wrong["macro_f1"], wrong["calibration"]["error"]) == (0, 0, 1)
