"""The published scripts on the same weights give our numbers: transformers' snippet, and lm-evaluation-harness."""

import importlib
import math

import numpy as np
import pytest
import torch

from gpt2lab.measure import perplexity, plans, texts
from gpt2lab.measure.settings import DataSettings, EvaluateSettings, Evaluation
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.writing import write_model
from models import language_model
from vocabularies import gpt2

SHAPE = GPT2Config(layers=2, heads=2, width=32, context=64, vocabulary=50257, start_of_text=50256, end_of_text=50256)


@pytest.fixture(scope="module")
def both(tmp_path_factory, real_data):
    """Our model, and theirs from the folder that we write."""
    from transformers import GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("oracle") / "model"
    model = language_model(SHAPE)
    write_model(folder, model, gpt2(real_data))
    return model, GPT2LMHeadModel.from_pretrained(folder).eval(), folder


def by_the_documentation(theirs, ids, context, stride):
    """What transformers' page on perplexity computes: means of windows, weighed by labels less one."""
    total = tokens = before = 0
    for start in range(0, len(ids), stride):
        end = min(start + context, len(ids))
        inputs = torch.from_numpy(ids[start:end])[None]
        labels = inputs.clone()
        labels[:, : -(end - before)] = -100
        weight = int((labels != -100).sum()) - 1
        with torch.no_grad():
            total += theirs(inputs, labels=labels).loss.item() * weight
        tokens += weight
        before = end
        if end == len(ids):
            break
    return math.exp(total / tokens)


@pytest.mark.real_data
@pytest.mark.parametrize("stride", [64, 32, 50, 1])
def test_compat_huggingface_is_the_snippet(both, real_data, stride):
    model, theirs, _ = both
    found = texts.read("wikitext-2", DataSettings(), real_data / "wikitext-2").first(1)
    settings = Evaluation(
        evaluate=EvaluateSettings(stride=stride, compat="huggingface"), data=DataSettings(max_tokens=333)
    )
    plan = plans.plan("perplexity/token-window", found, gpt2(real_data), model.window, settings)
    ids = np.asarray(plan.stream.read(0, plan.stream.tokens))
    record = perplexity.measure(model, plan)
    assert record["value"] == pytest.approx(by_the_documentation(theirs, ids, 64, stride), rel=1e-5)
    scored = 332 if stride < 64 else 333 - -(-333 // 64)
    assert record["counts"]["tokens_scored"] == scored


@pytest.mark.real_data
def test_word_perplexity_is_lm_evaluation_harness(both, real_data, monkeypatch):
    """Its own task code and its own rolling windows on the pages of WikiText-2 that ours makes."""
    model, theirs, folder = both
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from lm_eval.api.instance import Instance
    from lm_eval.api.metrics import bits_per_byte, weighted_perplexity
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    task = importlib.import_module("lm_eval.tasks.wikitext.preprocess_wikitext")
    found = texts.read("wikitext-2", DataSettings(), real_data / "wikitext-2")
    settings = Evaluation(evaluate=EvaluateSettings(limit=3))
    record = perplexity.measure(model, plans.plan("perplexity/word", found, gpt2(real_data), model.window, settings))
    engine = HFLM(pretrained=theirs, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=8, max_length=64)
    documents = [{"page": page} for page in found.pages()[:3]]
    requests = [
        Instance("loglikelihood_rolling", document, (task.wikitext_detokenizer(document),), number)
        for number, document in enumerate(documents)
    ]
    sums = engine.loglikelihood_rolling(requests, disable_tqdm=True)
    results = [task.process_results(document, [total]) for document, total in zip(documents, sums)]
    assert [item["nll"] for item in record["items"]] == pytest.approx([-total for total in sums], rel=1e-5)
    words, bytes_ = ([result[name] for result in results] for name in ("word_perplexity", "byte_perplexity"))
    assert [item["words"] for item in record["items"]] == [count for _, count in words]
    assert record["value"] == pytest.approx(weighted_perplexity(words), rel=1e-4)
    assert record["also"]["byte_perplexity"]["value"] == pytest.approx(weighted_perplexity(bytes_), rel=1e-5)
    assert record["also"]["bits_per_byte"]["value"] == pytest.approx(bits_per_byte(bytes_), rel=1e-5)
