"""`builtin:fantasy`: a thousand places, all different, in English without a slip."""

import itertools
import os
import random
import re
import statistics
import subprocess
import sys
from collections import Counter

import pytest

from gpt2lab.text import fantasy, fantasy_words

WRAPPED = re.compile(r"<LOC>([^<>]+)</LOC>")


@pytest.fixture(scope="module")
def places():
    """A thousand texts without their tags."""
    return [inside(text) for text in fantasy.locations(1000, seed=1)]


def inside(text):
    wrapped = WRAPPED.fullmatch(text)
    assert wrapped, text[:100]
    return wrapped[1]


def sentences(place):
    return re.split(r"(?<=[.!?])\s+", place)


def five_word_runs(place):
    words = place.lower().split()
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}


def test_every_text_has_150_to_400_words_and_the_lengths_are_spread(places):
    words = [len(place.split()) for place in places]
    assert min(words) >= 150
    assert max(words) <= 400
    assert statistics.stdev(words) > 30


def test_every_text_has_several_paragraphs_and_no_stray_space(places):
    for place in places:
        paragraphs = place.split("\n\n")
        assert len(paragraphs) >= 3
        assert all(" ".join(paragraph.split()) == paragraph for paragraph in paragraphs)


def test_no_two_texts_are_equal_and_nearly_every_one_opens_in_its_own_way(places):
    assert len(set(places)) == len(places)
    assert len({sentences(place)[0] for place in places}) > 0.98 * len(places)


def test_no_name_is_common(places):
    openings = [sentences(place)[0] for place in places]
    names = Counter(name for opening in openings for name in re.findall(r"(?<=\W)[A-Z]\w+", opening))
    assert max(names.values()) < 0.06 * len(places)


def test_no_two_texts_are_nearly_the_same(places):
    runs = [five_word_runs(place) for place in places[:500]]
    rng = random.Random(1)
    pairs = [rng.sample(range(len(runs)), 2) for _ in range(20_000)]
    most = max(len(runs[a] & runs[b]) / len(runs[a] | runs[b]) for a, b in pairs)
    assert most < 0.15


def test_the_vocabulary_is_large_even_without_names(places):
    assert len({word for place in places for word in re.findall(r"(?<!\w)[a-z][a-z'-]*", place)}) >= 2000


def test_sentences_begin_with_a_capital_and_end_with_a_stop(places):
    for place in places:
        assert all(re.fullmatch(r"[A-Z].*[.?!]", sentence) for sentence in sentences(place))


def test_no_sentence_comes_twice_in_a_text(places):
    assert all(len(set(sentences(place))) == len(sentences(place)) for place in places)


def test_articles_agree_and_no_word_is_doubled(places):
    text = " ".join(places)
    assert re.findall(r"\ba (?:[aeiou]|hour|honest)\w*", text, re.IGNORECASE) == []
    assert re.findall(r"\ban (?!hour|honest|heir)[^aeiou\W]\w*", text, re.IGNORECASE) == []
    assert re.findall(r"\b(\w+) \1\b", text, re.IGNORECASE) == []
    assert not set("{}|_") & set(text)


def test_no_adjective_is_also_the_first_word_of_what_it_describes():
    for rules in fantasy_words.KINDS.values():
        described = {phrase.split()[0] for symbol in ("things", "mark", "noun") for phrase in rules[symbol]}
        assert not described & {*fantasy_words.WORDS["shape"], *fantasy_words.WORDS["colour"]}
    for mood in fantasy_words.MOODS.values():
        assert not {phrase.split()[0] for rules in fantasy_words.KINDS.values() for phrase in rules["noun"]} & {
            *mood["adj"]
        }


def test_a_text_depends_on_its_seed_and_number_alone():
    few, many = list(fantasy.locations(3, seed=7)), list(fantasy.locations(6, seed=7))
    random.seed(0)
    assert many[:3] == few
    assert fantasy.location(7, 5) == many[5]
    assert not set(many) & set(fantasy.locations(6, seed=8))


def test_another_process_writes_the_same_text():
    code = "from gpt2lab.text import fantasy; print(fantasy.location(7, 5), end='')"
    environment = {**os.environ, "PYTHONHASHSEED": "5", "PYTHONIOENCODING": "utf-8"}
    written = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert written.stdout.decode() == fantasy.location(7, 5)


def test_every_rule_that_a_phrase_asks_for_exists():
    common = {*fantasy_words.WORDS, *fantasy_words.SENTENCES, "name", "person"}
    for known in fantasy.VARIABLES.values():
        common |= set.intersection(*(set(rules) for rules in known.values()))
    phrases = [phrase for rules in all_rules() for phrases in rules.values() for phrase in phrases]
    assert {slot for phrase in phrases for slot in fantasy.SLOT.findall(phrase)} <= common
    assert all(phrase.strip() for phrase in phrases)


def all_rules():
    yield from (fantasy_words.WORDS, fantasy_words.SENTENCES)
    for known in fantasy.VARIABLES.values():
        yield from known.values()


@pytest.mark.parametrize(("variable", "symbols"), [("kind", "things mark noun"), ("mood", "adj verdict")])
def test_a_known_kind_or_mood_steers_the_text(variable, symbols):
    known = fantasy.VARIABLES[variable]
    for value, rules in known.items():
        place = fantasy.location(3, 1, {variable: value}).lower()
        assert any(phrase in place for symbol in symbols.split() for phrase in rules[symbol]), value


def test_weather_and_time_steer_the_text_and_no_other_weather_is_in_it():
    for number, (weather, time) in enumerate(itertools.product(fantasy_words.WEATHERS, fantasy_words.TIMES)):
        place = fantasy.location(4, number, {"weather": weather, "time": time}).lower()
        told = {
            other
            for other, rules in fantasy_words.WEATHERS.items()
            if any(clause in place for clause in rules["weather"])
        }
        assert told == {weather}
        hours = [
            other for other, rules in fantasy_words.TIMES.items() if any(phrase in place for phrase in rules["hour"])
        ]
        assert hours in ([time], [])


def test_a_kind_is_known_by_all_its_names_in_any_case():
    harbour = fantasy.location(3, 1, {"kind": "harbour"})
    assert fantasy.location(3, 1, {"kind": " Port "}) == harbour
    assert "desert city" in fantasy.location(3, 1, {"kind": "desert city"})


def test_an_unknown_variable_or_value_changes_nothing():
    assert fantasy.location(3, 1, {"kind": "car park", "taste": "{salt}"}) == fantasy.location(3, 1)
