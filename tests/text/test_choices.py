"""`builtin:choices`: one ending is how the text goes on, and nothing but the text tells which."""

import re
from collections import Counter

import pytest

from gpt2lab.core.errors import UserError
from gpt2lab.text import choices, fantasy

ITEMS = 1000


@pytest.fixture(scope="module")
def documents():
    return [text.removeprefix("<LOC>").removesuffix("</LOC>") for text in fantasy.locations(200, seed=1)]


@pytest.fixture(scope="module")
def items(documents):
    return list(choices.items(documents, ITEMS, seed=1))


def numbered(document, sentences):
    """A text whose sentences say where they stand; their lengths differ."""
    texts = (
        f"Sentence {number} of document {document} {'goes ' * (3 + 7 * number % 11)}on." for number in range(sentences)
    )
    return "  \n".join(texts)


def truth(item):
    return item["endings"][item["label"]]


def place(sentence):
    return tuple(int(number) for number in re.findall(r"\d+", sentence))[-2:]


def test_the_true_ending_is_how_the_document_goes_on_and_the_others_are_not(items, documents):
    running = [" ".join(document.split()) for document in documents]
    for item in items[:200]:
        for number, ending in enumerate(item["endings"]):
            follows = any(f"{item['context']} {ending}" in document for document in running)
            assert follows == (number == item["label"])


@pytest.mark.parametrize("documents", [[numbered(1, 90)], [numbered(number, 12) for number in range(20)]])
def test_false_endings_come_from_another_document_or_from_far_away(documents):
    for item in choices.items(documents, 40, seed=1):
        last, document = place(item["context"])
        places = [place(ending) for ending in item["endings"]]
        assert places.pop(item["label"]) == (last + 1, document)
        assert all(other != document or abs(sentence - last - 1) >= 10 for sentence, other in places)


def test_an_item_has_one_to_three_sentences_of_context_and_four_different_endings(items):
    for item in items:
        assert set(item) == {"context", "endings", "label"}
        assert len({ending.casefold() for ending in item["endings"]}) == 4
        assert not any(ending in item["context"] for ending in item["endings"])
    assert {len(re.findall(r"[.?!](?= |$)", item["context"])) for item in items} == {1, 2, 3}


def test_no_item_comes_twice(items):
    assert len({truth(item) + item["context"] for item in items}) == ITEMS


def test_the_truth_stands_in_each_place_equally_often(items):
    counts = Counter(item["label"] for item in items)
    assert all(abs(counts[label] - ITEMS / 4) < 60 for label in range(4))  # 4.4 standard deviations


def test_endings_are_of_similar_length_and_the_truth_is_as_often_long_as_short(items):
    ranks = Counter()
    for item in items:
        lengths = [len(ending) for ending in item["endings"]]
        assert max(lengths) <= 1.5 * min(lengths)
        ranks[sorted(range(4), key=lengths.__getitem__).index(item["label"])] += 1
    assert all(abs(ranks[rank] - ITEMS / 4) < 60 for rank in range(4))


def test_spaces_capitals_and_stops_give_nothing_away(items):
    for item in items:
        for text in (item["context"], *item["endings"]):
            assert " ".join(text.split()) == text
            assert text.endswith((".", "!", "?"))
        assert all(ending[0].isupper() for ending in item["endings"])


def test_an_item_depends_on_documents_seed_and_number_alone(items, documents):
    assert list(choices.items(documents, 20, seed=1)) == items[:20]
    others = list(choices.items(documents, 20, seed=2))
    assert {truth(item) for item in others} != {truth(item) for item in items[:20]}


def test_a_document_that_comes_twice_gives_no_second_truth():
    item = next(choices.items([numbered(1, 40)] * 3, 1, seed=1))
    last, _ = place(item["context"])
    assert [place(ending)[0] for ending in item["endings"]].count(last + 1) == 1
    possible = len(list(all_of([numbered(1, 40)])))
    assert len(list(all_of([numbered(1, 40)] * 3))) == possible


def all_of(documents):
    try:
        yield from choices.items(documents, 10**6, seed=1)
    except UserError:
        return


def test_what_is_no_whole_sentence_is_no_ending_and_nothing_goes_on_after_it():
    fragments = "A heading of a section without a stop at its end\n\nand what begins in the middle of a sentence.\n\n"
    mixed = [f"{numbered(number, 4)}\n\n{fragments}{numbered(number, 8)}" for number in range(20)]
    items = list(all_of(mixed))
    assert len(items) > 100
    for item in items:
        assert all(ending.startswith("Sentence") for ending in item["endings"])
        assert re.search(r"Sentence [^.]*on\.$", item["context"])


def test_a_place_with_too_few_false_endings_is_left_out():
    items = list(all_of([numbered(1, 22)]))
    assert 0 < len(items) < 21
    assert all(len(item["endings"]) == 4 for item in items)


def test_abbreviations_do_not_end_a_sentence():
    text = "It holds many things here, e.g. Latin words and also some Greek ones. " * 2
    assert choices._sentences(text) == ["It holds many things here, e.g. Latin words and also some Greek ones."] * 2


def test_more_items_than_the_documents_give_are_refused():
    with pytest.raises(UserError, match="give 0 choices, not 5"):
        list(choices.items(["Too short. To be true."], 5, seed=1))


def test_the_built_in_items_come_from_documents_that_preparation_keeps_from_training(tmp_path):
    from gpt2lab.text import builtin
    from gpt2lab.text.prepare import prepare
    from gpt2lab.text.settings import PrepareSettings

    corpus = prepare("builtin:docs", tmp_path / "docs", "builtin", PrepareSettings(vocabulary=1000))

    def words(split):
        return " ".join(corpus.tokenizer().decode(split.read(0, split.tokens)).split())

    held_out, trained_on = words(corpus.split("validation")), words(corpus.split("train"))
    items = builtin.choice_items()
    assert len(items) == builtin.DOCUMENTS["choices"]
    assert all(item["context"] in held_out for item in items)
    assert not any(f"{item['context']} {item['endings'][item['label']]}" in trained_on for item in items)
    made = prepare("builtin:choices", tmp_path / "choices", str(tmp_path / "docs"), PrepareSettings(validation=0))
    assert made.split("train").has("prompts")
