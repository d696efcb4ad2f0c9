"""Perplexity against a brute force that knows nothing of windows in batches."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from corpora import corpus
from gpt2lab.core.errors import Failed, UserError
from gpt2lab.measure import overfitting, perplexity, plans, precision, streams
from gpt2lab.measure.settings import DataSettings, EvaluateSettings, Evaluation
from gpt2lab.measure.texts import Texts
from gpt2lab.model import prompt
from gpt2lab.model.settings import PromptSettings
from gpt2lab.text.batches import Blocks
from gpt2lab.train.validation import summed_loss
from models import TINY, language_model, random_ids
from vocabularies import SAMPLE, small

IDS = random_ids(1, 70)[0].numpy()
CONFIG = replace(TINY, vocabulary=small().size)
DOCUMENTS = [SAMPLE[start : start + 20 + 7 * start] for start in range(14)]


def asking(split=None, max_tokens=None, **evaluate):
    return Evaluation(evaluate=EvaluateSettings(**evaluate), data=DataSettings(split=split, max_tokens=max_tokens))


def nll(model, context, target):
    """Of one token after its context, alone."""
    with torch.no_grad():
        logits = model(torch.tensor(context)[None])[0, -1, : model.config.vocabulary].double()
    return -logits.log_softmax(-1)[target].item()


def of_documents(documents=DOCUMENTS, form="documents"):
    return Texts(documents, form, "all", "here", {})


def measured(name, texts, model, settings=None):
    settings = settings or asking()
    return perplexity.measure(model, plans.plan(name, texts, small(), model.window, settings))


@pytest.mark.parametrize("compat", [None, "huggingface"])
def test_what_is_stored_gives_the_value_again_and_the_gap_between_two_splits(compat):
    settings = asking(context=24, stride=12, compat=compat).evaluate
    train, validation = (
        perplexity.token_window(language_model(), random_ids(1, 70, seed=seed)[0].numpy(), settings) for seed in (3, 4)
    )
    for record in (train, validation):
        assert math.exp(record["sum_nll"] / record["sum_weights"]) == pytest.approx(record["value"])
    gap = math.log(validation["value"]) - math.log(train["value"])
    assert overfitting.gap(train, validation) == pytest.approx(gap)


@pytest.mark.parametrize("budget", [1, 60, 4096])
@pytest.mark.parametrize(("context", "stride"), [(24, 24), (24, 12), (24, 1), (7, 5), (2, 1)])
def test_token_window_equals_brute_force_for_any_batch_and_stride(context, stride, budget):
    model = language_model()
    record = perplexity.token_window(model, IDS, asking(context=context, stride=stride, token_budget=budget).evaluate)
    step, start, total, scored = min(stride, context - 1), 0, 0.0, 1
    while scored < len(IDS):
        stop = min(start + context, len(IDS))
        total += sum(nll(model, IDS[start:place], IDS[place]) for place in range(scored, stop))
        start, scored = start + step, stop
    assert record["counts"]["tokens_scored"] == len(IDS) - 1
    assert record["value"] == pytest.approx(math.exp(total / (len(IDS) - 1)), rel=1e-5)


def test_a_soft_prompt_takes_its_room_from_the_window_and_is_seen_by_every_token():
    model = language_model()
    prompt.add(model, PromptSettings(tokens=4), 1, np.empty(0, np.int64))
    record = perplexity.token_window(model, IDS, EvaluateSettings(stride=19))
    assert record["settings"]["context"] == TINY.context - 4
    total = sum(nll(model, IDS[(place - 1) // 19 * 19 : place], IDS[place]) for place in range(1, len(IDS)))
    assert record["value"] == pytest.approx(math.exp(total / (len(IDS) - 1)), rel=1e-5)


def test_documents_partition_the_scored_tokens_of_a_stream():
    model, texts = language_model(CONFIG), of_documents()
    record = measured("perplexity/token-window", texts, model, asking(stride=5))
    assert record["settings"]["join"] == "documents by a blank line"
    whole = "\n\n".join(DOCUMENTS)
    assert record["counts"]["tokens_scored"] == len(small().encode(whole)) - 1
    assert [item["bytes"] for item in record["items"]][:2] == [len(f"{text}\n\n".encode()) for text in DOCUMENTS[:2]]
    assert record["counts"]["bytes"] == len(whole.encode())
    assert sum(item["nll"] for item in record["items"]) == pytest.approx(record["sum_nll"])
    assert record["interval"]["low"] < record["value"] < record["interval"]["high"]
    alone = perplexity.token_window(model, small().encode(whole).astype(np.int64), asking(stride=5).evaluate)
    assert alone["value"] == pytest.approx(record["value"])
    assert alone["interval"] is None
    assert "1 document" in alone["interval_note"]


@pytest.mark.parametrize(("name", "per"), [("bits-per-byte", "bytes"), ("perplexity/word", "words")])
def test_each_document_is_read_after_end_of_text_in_rolling_windows(name, per):
    """The last window of a document has all the context that fits, the others one token."""
    model, tokenizer = language_model(CONFIG), small()
    record = measured(name, of_documents(), model, asking(detokenise="none" if per == "words" else None))
    for document, item in zip(DOCUMENTS, record["items"], strict=True):
        ids = [tokenizer.end_of_text, *tokenizer.encode(document).tolist()]
        total, scored = 0.0, 1
        while scored < len(ids):
            stop = min(scored + TINY.context, len(ids))
            begin = max(0, stop - 1 - TINY.context)
            total += sum(nll(model, ids[begin:place], ids[place]) for place in range(scored, stop))
            scored = stop
        assert item["nll"] == pytest.approx(total, rel=1e-5)
        assert item["tokens"] == len(ids) - 1
        assert item["bytes"] == len(document.encode())
    sizes = {"bytes": len("".join(DOCUMENTS).encode()), "words": sum(len(re.split(r"\s+", text)) for text in DOCUMENTS)}
    ratio = record["sum_nll"] / sizes[per]
    assert record["value"] == pytest.approx(ratio / math.log(2) if per == "bytes" else math.exp(ratio))
    assert record["also"]["perplexity_of_tokens"]["value"] == pytest.approx(
        math.exp(record["sum_nll"] / record["counts"]["tokens_scored"])
    )


def test_word_perplexity_scores_the_repaired_page_and_counts_the_words_of_the_original():
    page = " = Title = \n \n A guest @-@ starring role , in 2 @,@ 000 . \n"
    record = measured("perplexity/word", of_documents([page] * 10), language_model(CONFIG))
    repaired = " = Title =\n\nA guest-starring role, in 2,000.\n"
    assert record["items"][0]["tokens"] == len(small().encode(repaired))
    assert record["items"][0]["words"] == len(re.split(r"\s+", page))
    assert record["items"][0]["bytes"] == len(page.encode())
    assert record["settings"]["detokenisation"] == "wikitext"


def test_blocks_is_the_sum_that_training_validates_with(tmp_path):
    split = corpus(tmp_path / "c").split("validation")
    model = language_model(CONFIG)
    record = perplexity.blocks(model, split, 16)
    total, scored = summed_loss(model, Blocks(split, 16))
    assert record["counts"]["tokens_scored"] == scored == split.tokens - 1
    assert record["sum_nll"] == pytest.approx(total, rel=1e-6)
    starts = [*split.starts[1:].tolist(), split.tokens]
    assert record["counts"]["documents"] == len(split.starts)
    # The first end-of-text of all is the only token without a prediction.
    assert [item["tokens"] for item in record["items"]] == np.diff([1, *starts]).tolist()
    assert record["counts"]["words"] == split.manifest["words"]


def test_blocks_of_texts_are_those_of_the_corpus_that_they_would_be(tmp_path):
    texts = [f"{SAMPLE[start : start + 40]}{start}" for start in range(20)]
    made = corpus(tmp_path / "c", texts)
    model = language_model(CONFIG)
    kept = [text for number, text in enumerate(texts) if number % 10 != 9]
    there = perplexity.blocks(model, made.split("train"), TINY.context)
    here = measured("perplexity/blocks", of_documents(kept), model)
    assert here["items"] == there["items"]


def test_group_texts_predicts_one_token_less_a_block_and_drops_the_rest(tmp_path):
    split = corpus(tmp_path / "c").split("validation")
    model = language_model(CONFIG)
    plan = plans.plan("perplexity/blocks", split, small(), model.window, asking(context=16, compat="group_texts"))
    record = perplexity.measure(model, plan)
    rows = split.read(0, split.tokens // 16 * 16).reshape(-1, 16)
    total = sum(nll(model, row[:place], row[place]) for row in rows for place in range(1, 16))
    assert record["counts"]["tokens_scored"] == rows.shape[0] * 15
    assert record["value"] == pytest.approx(math.exp(total / (rows.shape[0] * 15)), rel=1e-5)


def test_a_part_is_the_beginning_and_its_sizes_are_its_own():
    whole, model = of_documents(), language_model(CONFIG)
    record = measured("perplexity/token-window", whole, model, asking(max_tokens=30))
    text = "\n\n".join(DOCUMENTS)
    kept = small().decode(small().encode(text)[:30].tolist())
    assert record["counts"]["tokens_scored"] == 29
    assert record["counts"]["bytes"] == len(kept.encode())
    assert record["counts"]["words"] == len(kept.split())
    few = measured("bits-per-byte", whole, model, asking(limit=3))
    assert few["counts"]["documents"] == 3
    lengths = [len(small().encode(text)) for text in DOCUMENTS]
    part = measured("bits-per-byte", whole, model, asking(max_tokens=lengths[0] + lengths[1] + 1))
    assert part["counts"]["documents"] == 2
    with pytest.raises(UserError, match="no whole document"):
        measured("bits-per-byte", whole, model, asking(max_tokens=1))


def test_tokens_of_a_stream_belong_to_the_document_in_which_they_begin():
    texts = of_documents(["naïve 日本", "👩‍👩‍👧 x", "end"])
    stream = streams.of_text(texts, small())
    whole = "naïve 日本\n\n👩‍👩‍👧 x\n\nend"
    assert small().decode(stream.ids.tolist()) == whole
    assert small().decode(stream.ids[stream.starts[2] :].tolist()) == "end"
    assert stream.bytes.tolist() == [len("naïve 日本\n\n".encode()), len("👩‍👩‍👧 x\n\n".encode()), 3]
    assert stream.words.tolist() == [2, 2, 1]


def test_what_cannot_be_measured_is_one_clear_line():
    model = language_model(CONFIG)
    with pytest.raises(UserError, match="at least 2"):
        perplexity.token_window(model, IDS[:1], EvaluateSettings())
    with pytest.raises(UserError, match="does not exist"):
        perplexity.token_window(model, np.array([1, 5000]), EvaluateSettings())
    with pytest.raises(UserError, match="this model can see 2 to 24 tokens"):
        measured("bits-per-byte", of_documents(), model, asking(context=25))
    with pytest.raises(UserError, match="is for perplexity/token-window"):
        measured("perplexity/blocks", of_documents(), model, asking(compat="huggingface"))
    with pytest.raises(UserError, match=r"prepare\.detokenise=wikitext"):
        changed = replace(of_documents(), detokenised="wikitext")
        measured("bits-per-byte", changed, model)
    with pytest.raises(UserError, match=r"evaluate\.stride has no effect on bits-per-byte"):
        plans.refuse_idle(asking(stride=3), ["bits-per-byte"])


def test_weights_that_are_no_numbers_or_too_large_are_said_and_give_no_result():
    model = language_model(CONFIG)
    model.transformer.ln_f.weight.data *= 1e6
    with pytest.raises(Failed, match="has no perplexity"):
        measured("perplexity/token-window", of_documents(), model)
    model.transformer.ln_f.bias.data[0] = math.nan
    with pytest.raises(Failed, match="the log-likelihood of a token is nan"):
        measured("perplexity/token-window", of_documents(), model)


def test_bf16_is_said_and_close():
    exact = measured("bits-per-byte", of_documents(), language_model(CONFIG))
    rough = measured("bits-per-byte", of_documents(), precision.cast(language_model(CONFIG), "bf16"))
    assert (exact["settings"]["precision"], rough["settings"]["precision"]) == ("fp32", "bf16")
    assert rough["value"] == pytest.approx(exact["value"], rel=0.02)
    assert rough["value"] != exact["value"]
