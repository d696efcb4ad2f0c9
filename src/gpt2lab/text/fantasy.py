"""`builtin:fantasy`: a grammar that writes descriptions of places that do not exist, each `<LOC>…</LOC>`.

A rule is a symbol and what it may become; `{symbol}` inside a phrase is replaced in its turn. A text's rules are the
common ones and those of its kind of place, mood, time and weather; what a kind says of itself outweighs the rest. No
phrase comes twice in a text while there are others.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from gpt2lab.text.fantasy_words import ASPECTS, BEGINNINGS, SENTENCES, VARIABLES, WORDS, Rules

FEWEST_WORDS, MOST_WORDS = 190, 340  # of all but the last paragraph, which has at most 60
SLOT = re.compile(r"\{(\w+)\}")
WANTS_AN = re.compile(r"\b([Aa]) (?=(?!one\b|once\b|uni|use|eu|ewe)[aeiou]|hour|honest|heir)")


def locations(count: int, seed: int) -> Iterator[str]:
    return (location(seed, index) for index in range(count))


def location(seed: int, index: int, variables: dict[str, str] | None = None) -> str:
    """Text `index` of `seed`, steered by those variables whose names and values are in VARIABLES."""
    rng = random.Random(f"{seed}/{index}")
    rules = {"name": (_place_name(rng),), "person": tuple(_name(rng) for _ in range(4))}
    for variable, known in VARIABLES.items():
        drawn = rng.choice(rules.get(f"usual_{variable}", tuple(known)))
        rules = known[_known_value(variables or {}, variable) or drawn] | rules
    return f"<LOC>{_text(rng, WORDS | SENTENCES | rules)}</LOC>"


def _known_value(variables: dict[str, str], variable: str) -> str | None:
    value = variables.get(variable, "").strip().lower()
    return next((key for key, rules in VARIABLES[variable].items() if value in (key, *rules.get("noun", ()))), None)


def _text(rng: random.Random, rules: Rules) -> str:
    used: dict[str, None] = {}  # phrases, the latest last
    goal = rng.randint(FEWEST_WORDS, MOST_WORDS)
    paragraphs = [_sentences(rng, rules, used, rng.choice(BEGINNINGS))]
    for aspect in rng.sample(ASPECTS, len(ASPECTS)):
        room = goal - sum(len(paragraph.split()) for paragraph in paragraphs)
        paragraph = _sentences(rng, rules, used, (aspect,) * rng.randint(2, 4), room)
        if paragraph:
            paragraphs.append(paragraph)
        if room < 20:
            break
    return "\n\n".join((*paragraphs, _sentences(rng, rules, used, ("parting", "closing"))))


def _sentences(
    rng: random.Random, rules: Rules, used: dict[str, None], symbols: tuple[str, ...], room: int = MOST_WORDS
) -> str:
    """One sentence a symbol, as long as there is room for its words."""
    sentences = []
    for symbol in symbols:
        sentence = _sentence(_expand(rng, rules, used, symbol))
        room -= len(sentence.split())
        if room < 0:
            break
        sentences.append(sentence)
    return " ".join(sentences)


def _expand(rng: random.Random, rules: Rules, used: dict[str, None], symbol: str) -> str:
    phrases = rules[symbol]
    oldest_half = [phrase for phrase in used if phrase in phrases][: (len(phrases) + 1) // 2]
    phrase = rng.choice([phrase for phrase in phrases if phrase not in used] or oldest_half)
    used.pop(phrase, None)
    used[phrase] = None
    return SLOT.sub(lambda slot: _expand(rng, rules, used, slot[1]), phrase)


def _sentence(text: str) -> str:
    return WANTS_AN.sub(r"\1n ", text[0].upper() + text[1:])


def _name(rng: random.Random) -> str:
    middle = rng.choice(WORDS["middle"]) if rng.random() < 0.5 else ""
    return (rng.choice(WORDS["head"]) + middle + rng.choice(WORDS["tail"])).capitalize()


def _place_name(rng: random.Random) -> str:
    compound = (rng.choice(WORDS["fore"]) + rng.choice(WORDS["aft"])).capitalize()
    invented = _name(rng)
    return rng.choice((compound, invented, invented, f"{rng.choice(WORDS['title'])} {invented}"))
