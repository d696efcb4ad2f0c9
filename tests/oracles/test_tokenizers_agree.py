"""The same ids as tiktoken and as transformers: random Unicode, every code point, all real data, every stored form."""

import json
import lzma
import sys
from functools import cache

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lab.text import tokenizer as tokenizers
from vocabularies import SAMPLE, as_tiktoken, gpt2, small

TEXTS = st.text() | st.text(alphabet=st.sampled_from(" \n\t\r'sdmtlveraA1²½!ß日👍\u200d\u0301\x00\x85\u3000"))


@cache
def theirs() -> tuple:
    return as_tiktoken(small())


@given(TEXTS)
@settings(max_examples=500)
def test_random_unicode_equals_tiktoken(text):
    assert small().encode(text).tolist() == theirs().encode_ordinary(text)


def test_every_code_point_equals_tiktoken():
    """Engines differ where Unicode grew: one of them calls 4,657 young code points letters and tiktoken does not."""
    inhabited = [*range(0xD800), *range(0xE000, 0x34000), *range(0xE0000, 0xE0200)]
    empty_planes = range(0x34000, sys.maxunicode + 1, 61)
    texts = [f"a{c}1 {c}{c}  {c}\n" for c in map(chr, [*inhabited, *empty_planes])]
    ids, offsets = small().encode_many(texts)
    expected = theirs().encode_ordinary_batch(texts, num_threads=1)
    assert np.array_equal(offsets, np.cumsum([0, *map(len, expected)]))
    assert np.array_equal(ids, np.concatenate([np.array(part, np.uint32) for part in expected]))


@pytest.fixture(scope="module")
def in_transformers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    small().save(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_a_trained_tokenizer_opens_in_transformers_with_the_same_ids(in_transformers):
    assert in_transformers(SAMPLE)["input_ids"] == small().encode(SAMPLE).tolist()
    assert in_transformers.decode(small().encode(SAMPLE)) == SAMPLE
    assert len(in_transformers) == small().size


@given(text=TEXTS)
@settings(max_examples=200)
def test_random_unicode_equals_transformers(in_transformers, text):
    assert in_transformers(text, split_special_tokens=True)["input_ids"] == small().encode(text).tolist()


def real_texts(folder):
    def lines(name):
        with lzma.open(folder / name, "rt", encoding="utf-8") as file:
            yield from file

    for name in ("train", "valid", "test"):
        yield f"wikitext-2/{name}", "".join(lines(f"wikitext-2/{name}.txt.xz"))
    for name in ("valid", "test"):
        yield f"wikitext-2/{name} raw", "".join(lines(f"wikitext-2/wiki.{name}.raw.xz"))
    yield "tinyshakespeare", "".join(lines("tinyshakespeare/input.txt.xz"))
    yield "ag-news train", "".join(json.loads(line)["text"] + "\n" for line in lines("ag-news/train_subset.jsonl.xz"))
    yield "ag-news test", "".join(lines("ag-news/test.csv.xz"))
    yield "hellaswag", "".join(lines("hellaswag/hellaswag_val.jsonl.xz"))
    with lzma.open(folder / "fineweb" / "fineweb_300_documents.json.xz", "rt", encoding="utf-8") as file:
        yield "fineweb", "\n".join(document["text"] for document in json.load(file))
    for name in ("good_articles_2019", "short_articles_2021"):
        yield name, "\n".join(json.loads(line)["text"] for line in lines(f"wikipedia/{name}.jsonl.xz"))


@pytest.mark.real_data
def test_all_real_data_equals_tiktoken(real_data):
    """Also the counts that the data's own notes give."""
    ours = gpt2(real_data)
    oracle = as_tiktoken(ours)
    counts = {}
    for name, text in real_texts(real_data):
        ids = ours.encode(text)
        assert np.array_equal(ids, oracle.encode_to_numpy(text, disallowed_special=())), name
        assert ours.decode_bytes(ids) == text.encode(), name
        counts[name] = len(ids)
    assert counts["tinyshakespeare"] == 338_025
    assert counts["wikitext-2/test raw"] == 286_221
    assert counts["fineweb"] == pytest.approx(215_790, abs=300)  # joined by newlines here, one by one there


@pytest.mark.real_data
def test_gpt2s_own_vocabulary_equals_transformers_and_survives_every_form(real_data, tmp_path):
    ours = gpt2(real_data)
    assert ours.size == 50_257
    assert ours.end_of_text == 50_256
    assert len(ours.vocabulary.merges) == 50_000
    ours.save(tmp_path)
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path)
    reread = tokenizers.load(tmp_path)
    assert reread.hash == ours.hash
    for _, text in list(real_texts(real_data))[3:8]:
        part = text[:200_000]
        expected = ours.encode(part).tolist()
        assert auto(part)["input_ids"] == expected
        assert reread.encode(part).tolist() == expected


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"normalizer": {"type": "Lowercase"}},
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Digits", "individual_digits": True},
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                ],
            }
        },
    ],
    ids=["prefix space", "lower case", "digits"],
)
def test_a_tokenizer_that_splits_in_its_own_way_still_opens_in_transformers_with_our_ids(tmp_path, change):
    """transformers rebuilds GPT-2's splitting for a folder that calls itself GPT2Tokenizer."""
    spec = json.loads(json.dumps(small().vocabulary.spec)) | change
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    ours = tokenizers.load(tmp_path / "tokenizer.json")
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert auto(SAMPLE)["input_ids"] == ours.encode(SAMPLE).tolist()
    assert tokenizers.load(tmp_path / "saved").hash == ours.hash
