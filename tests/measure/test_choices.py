"""Multiple choice: the item, not the batch, decides; what cannot be measured is left out and said."""

import gzip
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gpt2lab.core.errors import UserError
from gpt2lab.measure import choices, hellaswag, lambada
from gpt2lab.text import items
from models import TINY, language_model
from vocabularies import SAMPLE, small

MODEL = language_model(replace(TINY, vocabulary=small().size, context=96))
RELEASED = {
    "ind": 4,
    "activity_label": "Removing ice from car",
    "ctx_a": "Then, the man writes over the snow [substeps] covering the window",
    "ctx_b": "the man",
    "ctx": "Then, the man writes over the snow [substeps] covering the window the man",
    "endings": [", the text is short.", " splits [title] Text  into pieces.", "is unknown.", "sits."],
    "label": "1",
}
CLEANED = {"activity_label": "Tokenising", "ctx": "A token is a piece. it", "label": 2,
           "endings": ["is text.", "is unknown to the text.", "splits.", "spells."]}  # fmt: skip


def written(tmp_path, rows, name="items.jsonl"):
    path = tmp_path / name
    lines = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    return str(path)


def several(count=12, seed=2):
    draw = np.random.default_rng(seed)
    words = SAMPLE.split()[:40]

    def some(low, high):
        return " ".join(draw.choice(words, draw.integers(low, high)))

    return [
        {"ctx": some(3, 20), "endings": [f"{some(1, 9)} {n}." for n in range(4)], "label": int(draw.integers(4))}
        for _ in range(count)
    ]


def measure(tmp_path, rows, *names, model=MODEL, **options):
    return choices.measure(names, model, small(), items.read(written(tmp_path, rows)), **options)


def alone(context, ending):
    """ΣLL of one ending by itself, the whole logits of one pass."""
    ids = torch.from_numpy(np.concatenate([context, ending]).astype("int64"))
    with torch.no_grad():
        log_p = MODEL(ids[None, :-1])[0, :, : small().size].double().log_softmax(-1)
    return sum(log_p[len(context) - 1 + n, id_].item() for n, id_ in enumerate(ending))


def test_both_hellaswag_protocols_are_each_ending_alone_and_both_kinds_of_accuracy(tmp_path):
    rows = several()
    harness, completion = measure(tmp_path, rows, "hellaswag/harness", "hellaswag/completion")
    right = {"harness": [0, 0], "completion": [0, 0]}
    for number, row in enumerate(rows):
        context = small().encode(row["ctx"])
        for name, record in (("harness", harness), ("completion", completion)):
            totals, sizes = [], []
            for ending in row["endings"]:
                whole = small().encode(f"{row['ctx']} {ending}")
                ids = whole[len(context) :] if name == "harness" else small().encode(f" {ending}")
                totals.append(alone(context, ids))
                sizes.append(len(ending) if name == "harness" else len(ids))
            found = record["items"][number]
            assert found["log_likelihoods"] == pytest.approx(totals, rel=1e-5)
            right[name][0] += int(np.argmax(totals)) == row["label"]
            right[name][1] += int(np.argmax(np.array(totals) / sizes)) == row["label"]
    for name, record in (("harness", harness), ("completion", completion)):
        assert record["protocol"] == f"hellaswag/{name}@1"
        assert record["accuracy"] == right[name][0] / len(rows)
        assert record["accuracy_normalised"] == right[name][1] / len(rows) == record["value"]
        assert record["accuracy_interval"]["low"] < record["accuracy"] < record["accuracy_interval"]["high"]
        assert record["counts"]["items"] == len(rows)


def test_permuting_the_endings_permutes_the_answer(tmp_path):
    rows, order = several(), [2, 0, 3, 1]
    turned = [
        {**row, "endings": [row["endings"][n] for n in order], "label": order.index(row["label"])} for row in rows
    ]
    names = ("hellaswag/harness", "hellaswag/completion")
    for before, after in zip(measure(tmp_path, rows, *names), measure(tmp_path, turned, *names)):
        assert after["accuracy"] == before["accuracy"]
        assert after["accuracy_normalised"] == before["accuracy_normalised"]
        for one, other in zip(before["items"], after["items"]):
            assert other["log_likelihoods"] == pytest.approx([one["log_likelihoods"][n] for n in order], rel=1e-5)
            assert order[other["chosen"]["accuracy"]] == one["chosen"]["accuracy"]


def test_a_tie_goes_to_the_first_ending(tmp_path):
    even = language_model(replace(TINY, vocabulary=small().size, context=96, tied_head=False))
    with torch.no_grad():
        even.lm_head.weight.zero_()
    row = {"context": "The text", "endings": [" a b", " b a"], "label": 1}
    (record,) = measure(tmp_path, [row], "choices", model=even)
    assert record["items"][0]["tokens"] == [2, 2]
    assert record["items"][0]["chosen"] == {"accuracy": 0, "accuracy_normalised": 0, "accuracy_per_token": 0}
    assert record["value"] == 0


def test_a_row_as_released_is_prepared_in_full_or_taken_raw():
    context, endings = hellaswag.prepared(RELEASED)
    assert context == "Removing ice from car: Then, the man writes over the snow covering the window The man"
    assert endings == [", the text is short.", "splits. Text into pieces.", "is unknown.", "sits."]
    assert hellaswag.raw(RELEASED) == (RELEASED["ctx"], RELEASED["endings"])
    assert hellaswag.prepared(CLEANED) == ("Tokenising: A token is a piece. it", CLEANED["endings"])
    assert hellaswag.prepared({"ctx": "It", "endings": ["is.", "was."]})[0] == "It"
    assert hellaswag.raw(CLEANED) == (CLEANED["ctx"], CLEANED["endings"])


@pytest.mark.parametrize(
    ("rows", "forms"),
    [([RELEASED], ["prepared", "raw"]), ([CLEANED], ["cleaned"] * 2), ([RELEASED, CLEANED], ["cleaned"] * 2)],
)
def test_the_form_of_the_text_is_stored_and_one_row_in_another_form_spoils_it(tmp_path, rows, forms):
    records = measure(tmp_path, rows, "hellaswag/harness", "hellaswag/completion")
    assert [record["settings"]["form"] for record in records] == forms


BAD = {
    "an ending is empty": {**CLEANED, "endings": ["a", " ", "c", "d"]},
    "two of its endings are the same": {**CLEANED, "endings": ["a", "b", "b", "d"]},
    "its label is 4, and its endings are 0 to 3": {**CLEANED, "label": 4},
    "its label is -1, and its endings are 0 to 3": {**CLEANED, "label": -1},
    "it has no label": {**CLEANED, "label": ""},
    "it has no list of endings": {"ctx": "The text", "label": 0},
    "it has no context": {"endings": ["a", "b"], "label": 0},
    "its context is empty": {**CLEANED, "activity_label": "", "ctx": " "},
    "it has fewer than two endings": {**CLEANED, "endings": ["a"], "label": 0},
    "not a JSON object": "no json\n",
    "an ending of 145 tokens; the model sees 96": {**CLEANED, "endings": ["a", " 7" * 72, "c", "d"]},
}


def test_what_cannot_be_measured_is_left_out_counted_and_said(tmp_path, capsys):
    rows = [CLEANED, *BAD.values(), CLEANED]
    (record,) = measure(tmp_path, rows, "hellaswag/harness")
    assert record["counts"]["items"] == 2
    assert record["counts"]["items_left_out"] == len(BAD)
    assert {entry["reason"] for entry in record["left_out"]} == set(BAD)
    assert record["left_out"][0]["place"].startswith("items.jsonl, row ")
    assert [item["item"] for item in record["items"]] == [0, len(rows) - 1]
    assert f"{len(BAD)} of {len(rows)} items left out" in capsys.readouterr().err


@pytest.mark.parametrize("row", [BAD["it has no label"], BAD["not a JSON object"]])
def test_where_no_item_can_be_measured_the_first_reason_is_told(tmp_path, row):
    with pytest.raises(UserError, match="no item can be measured under hellaswag/harness@1") as raised:
        measure(tmp_path, [row], "hellaswag/harness")
    assert "row 1" in raised.value.place


def test_a_context_that_does_not_fit_is_cut_on_its_left_and_counted(tmp_path):
    long = {**CLEANED, "ctx": "The text 7 " * 60 + CLEANED["ctx"]}
    (record,) = measure(tmp_path, [CLEANED, long], "hellaswag/harness")
    assert record["counts"]["items_with_context_cut"] == 1
    kept = small().encode(f"Tokenising: {long['ctx']}")
    ending = small().encode(" is text.")
    assert record["items"][1]["log_likelihoods"][0] == pytest.approx(
        alone(kept[-(97 - len(ending)) :], ending), rel=1e-5
    )


def test_fewer_tokens_in_sight_are_a_setting_that_is_stored(tmp_path):
    (record,) = measure(tmp_path, [CLEANED], "hellaswag/harness", context=12)
    assert record["settings"]["context"] == 12
    assert record["counts"]["items_with_context_cut"] == 1


def test_choices_joins_with_a_space_only_where_there_is_none(tmp_path):
    rows = [
        {"context": "The text", "endings": ["splits.", " splits?"], "label": 0},
        {"context": "The text\n", "endings": ["splits.", "spells."], "label": 0},
    ]
    (record,) = measure(tmp_path, rows, "choices")
    first, second = record["items"]
    assert first["log_likelihoods"][0] == pytest.approx(
        alone(small().encode("The text"), small().encode(" splits.")), rel=1e-5
    )
    assert second["log_likelihoods"][0] == pytest.approx(
        alone(small().encode("The text"), small().encode("The text\nsplits.")[len(small().encode("The text")) :]),
        rel=1e-5,
    )


def test_the_built_in_choices_can_be_measured():
    found = items.read("builtin:choices", limit=6)
    (record,) = choices.measure(["choices"], MODEL, small(), found)
    assert record["counts"]["items"] + record["counts"]["items_left_out"] == 6
    assert record["data"]["data"] == "builtin:choices"


def test_compressed_files_lists_and_parquet_hold_the_same_items(tmp_path):
    import pyarrow
    from pyarrow import parquet

    rows = several(5)
    (tmp_path / "items.json").write_text(json.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "items.parquet")
    places = [written(tmp_path, rows), written(tmp_path, rows, "items.jsonl.gz")]
    places += [str(tmp_path / name) for name in ("items.json", "items.parquet")]
    for place in places:
        assert [row.values for row in items.read(place).rows] == rows
        assert len(items.read(place, limit=2).rows) == 2
    with pytest.raises(UserError, match="no items here"):
        items.read(written(tmp_path, []))
    with pytest.raises(UserError, match=r"items are read from \.jsonl"):
        items.read(written(tmp_path, ["a,b\n"], "items.csv"))


@pytest.mark.real_data
def test_hellaswag_by_its_name(real_data):
    found = items.read("hellaswag", real_data / "hellaswag", limit=3)
    assert [row.values["ind"] for row in found.rows] == [0, 1, 2]
    assert found.about["data"] == "hellaswag"


PASSAGES = ["The tokenizer splits text into pieces", "Pieces that are frequent become one token"]


def test_lambada_asks_for_the_last_word_and_takes_it_only_whole(tmp_path):
    rows = [{"text": text} for text in [*PASSAGES, "word", "", "ends in a space "]]
    record = lambada.measure(MODEL, small(), items.read(written(tmp_path, rows)))
    totals = []
    for text, item in zip(PASSAGES, record["items"], strict=True):
        context, _, word = text.rpartition(" ")
        totals.append(alone(small().encode(context), small().encode(f" {word}")))
        assert item["log_likelihood"] == pytest.approx(totals[-1], rel=1e-5)
    assert record["perplexity"] == pytest.approx(math.exp(-sum(totals) / 2), rel=1e-4)
    assert record["counts"]["items_left_out"] == 3
    assert record["accuracy"] == 0


def test_lambada_counts_a_word_that_the_model_would_say(tmp_path):
    context = small().encode("The tokenizer splits")
    with torch.no_grad():
        likeliest = MODEL(torch.from_numpy(context.astype("int64"))[None])[0, -1, : small().size].argsort(
            descending=True
        )
    words = [small().decode([int(number)]) for number in likeliest[:40]]
    said, other = (next((w for w in part if w[:1] == " " and w.strip()), None) for part in (words[:1], words[1:]))
    rows = [{"text": f"The tokenizer splits{word}"} for word in (said, other) if word]
    record = lambada.measure(MODEL, small(), items.read(written(tmp_path, rows)))
    assert [item["right"] for item in record["items"]] == [bool(said)] * bool(said) + [False]
