"""Forgetting: the difference of what `bits-per-byte` sums for two models, document by document."""

from dataclasses import replace

import pytest

from command_line import gpt2lab, last_json
from corpora import SENTENCES
from gpt2lab.core import files
from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.measure import comparison, evaluate, forgetting, lineage, plans
from gpt2lab.measure import perplexity as perplexities
from gpt2lab.measure.settings import Evaluation
from gpt2lab.measure.texts import Texts
from gpt2lab.model.reading import weight_hash
from gpt2lab.model.writing import write_model
from models import TINY, language_model, lively
from vocabularies import small

CONFIG = replace(TINY, vocabulary=small().size)
BASE, TUNED = language_model(CONFIG), lively(language_model(CONFIG), 7)
TEXTS = Texts(SENTENCES[:12], "documents", "all", "texts", {})


def measured(tuned, base, *overrides, texts=TEXTS):
    return forgetting.measure(tuned, base, small(), texts, strict.resolve(Evaluation, overrides=overrides))


def test_it_is_the_difference_of_two_measurements_document_by_document():
    record = measured(TUNED, BASE)
    plan = plans.plan("bits-per-byte", TEXTS, small(), CONFIG.context, Evaluation())
    after, before = (perplexities.measure(model, plan) for model in (TUNED, BASE))
    for item, one, other in zip(record["items"], after["items"], before["items"], strict=True):
        assert (item["nll"], item["base_nll"], item["tokens"]) == (one["nll"], other["nll"], one["tokens"])
    tokens = after["counts"]["tokens_scored"]
    assert record["value"] == pytest.approx((after["sum_nll"] - before["sum_nll"]) / tokens)
    assert record["interval"]["low"] < record["value"] < record["interval"]["high"]
    assert record["kl"]["value"] > 0
    assert record["kl"]["tokens"] == sum(min(CONFIG.context, 1 + len(small().encode(text))) for text in SENTENCES[:12])


def test_a_model_against_itself_forgot_exactly_nothing():
    record = measured(BASE, BASE)
    assert (record["value"], record["kl"]["value"]) == (0, 0)
    assert record["wording"].startswith("no difference shown")


def test_swapping_the_two_turns_the_sign():
    assert measured(TUNED, BASE)["value"] == pytest.approx(-measured(BASE, TUNED)["value"])


def test_few_documents_have_no_interval_and_both_models_one_window():
    record = measured(TUNED, BASE, "evaluate.context=8", texts=TEXTS.first(3))
    assert record["interval"] is None
    assert "ten" in record["interval_note"] or "10" in record["interval_note"]
    assert record["settings"]["context"] == 8


def test_another_vocabulary_is_one_clear_line():
    with pytest.raises(UserError, match="name the base"):
        measured(language_model(), BASE)


@pytest.fixture
def folders(tmp_path):
    """A base, and a run that was tuned from it."""
    write_model(tmp_path / "base", BASE, small())
    write_model(tmp_path / "run" / "model", TUNED, small())
    about = {"path": str(tmp_path / "base"), "weights": weight_hash(tmp_path / "base")}
    files.write_json(tmp_path / "run" / "run.json", {"base": about})
    (tmp_path / "general.jsonl").write_text("".join(f'{{"text": "{text[:40]!r}"}}\n' for text in SENTENCES[:12]))
    return tmp_path


def test_the_command_finds_the_base_and_keeps_the_result(folders, capsys):
    line = ["evaluate", folders / "run", "--protocol", "forgetting", "--data", folders / "general.jsonl", "--json"]
    assert gpt2lab(*line) == 0
    found = last_json(capsys.readouterr().out)
    assert found["protocol"] == "forgetting@1"
    assert found["base"]["path"] == str(folders / "base")
    assert list((folders / "run" / "results").glob("forgetting-*.json"))
    assert gpt2lab(*line, "--base", folders / "run") == 0  # against itself: another question
    printed = capsys.readouterr()
    against_itself = last_json(printed.out)
    assert against_itself["value"] == 0
    assert "was not tuned from" in printed.err
    with pytest.raises(UserError, match="settings"):
        comparison.refuse_unlike(found, against_itself)
    assert gpt2lab(*line) == 0
    printed = capsys.readouterr()
    assert "already measured" in printed.err
    assert last_json(printed.out)["value"] == found["value"]


def test_lineage_is_checked_by_the_bases_weights(folders):
    assert lineage.base_of(folders / "run") == str(folders / "base")
    with pytest.raises(UserError, match="nothing here says"):
        lineage.base_of(folders / "base")
    write_model(folders / "other", TUNED, small())
    about = files.read_json(folders / "run" / "run.json")
    files.write_json(folders / "run" / "run.json", {"base": {**about["base"], "path": str(folders / "other")}})
    with pytest.raises(UserError, match="other weights"):
        lineage.base_of(folders / "run")
    files.write_json(folders / "run" / "run.json", {"base": {**about["base"], "path": str(folders / "gone")}})
    with pytest.raises(UserError, match="is not at"):
        lineage.base_of(folders / "run")


def test_a_base_that_no_protocol_uses_is_refused(folders):
    with pytest.raises(UserError, match="--base has no effect on bits-per-byte"):
        evaluate.evaluate(str(folders / "run"), ["bits-per-byte"], "x", Evaluation(), base="y")


def test_a_merged_model_without_a_base_is_one_clear_line(folders, capsys):
    write_model(folders / "merged", TUNED, small())
    files.write_json(folders / "merged" / "gpt2lab.json", {"merged_from": {"adapter": "x"}})
    line = ["evaluate", folders / "merged", "--protocol", "forgetting", "--data", folders / "general.jsonl"]
    assert gpt2lab(*line) == 2
    assert "name it with --base MODEL" in capsys.readouterr().err
    assert gpt2lab(*line, "--base", folders / "base") == 0
