"""`builtin:topics`: short everyday texts of four classes, made to tell methods of classification apart.

Some texts speak of one topic. Others weigh it against a second one with as many words of each, so that only the order
of the words tells which of the two it is about: a bag of words can merely guess there. Many nouns are rare or belong
to several topics.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from gpt2lab.text.documents import Document

FEWEST_WORDS, MOST_WORDS = 15, 44  # where a text may end; its last sentence and a long name add up to 16
CONTRASTS = 0.4  # of the sentences with a topic; more make it harder for a bag of words, which gets 75 to 80 %
SHARED = 0.2  # of the nouns


def texts(count: int, seed: int) -> Iterator[Document]:
    """Text i depends on the seed and i alone; every four texts in a row are of four classes."""
    for index in range(count):
        label = random.Random(f"{seed}/{index // 4}").sample(sorted(NOUNS), len(NOUNS))[index % 4]
        yield Document(_text(random.Random(f"{seed}/text {index}"), label), label=label)


def _text(rng: random.Random, label: str) -> str:
    other = rng.choice([topic for topic in NOUNS if topic != label])
    goal = rng.randint(FEWEST_WORDS, MOST_WORDS)
    sentences = [_topical(rng, label, other) for _ in range(rng.choice((1, 1, 2)))]
    asides = iter(rng.sample(ASIDES, len(ASIDES)))
    while sum(len(sentence.split()) for sentence in sentences) < goal:
        sentences.insert(rng.randint(0, len(sentences)), next(asides))
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in _with_person(rng, sentences))


def _topical(rng: random.Random, label: str, other: str) -> str:
    template = rng.choice(CONTRAST if rng.random() < CONTRASTS else PLAIN)
    noun = _noun(rng, label)
    doings = {"doing_a": rng.choice(DOINGS[label]), "doing_b": rng.choice(DOINGS[other])}
    return template.format(who="{who}", a=noun, b=_noun(rng, other, unlike=noun), **doings)


def _with_person(rng: random.Random, sentences: list[str]) -> Iterator[str]:
    """Named where first met, a pronoun from then on."""
    called, pronoun = rng.choice(PEOPLE)
    for sentence in sentences:
        yield sentence.replace("{who}", called)
        called = pronoun if "{who}" in sentence else called


def _noun(rng: random.Random, topic: str, unlike: str = "") -> str:
    nouns = SHARED_NOUNS[topic] if rng.random() < SHARED else NOUNS[topic]
    return rng.choice([noun for noun in nouns if noun != unlike])


def _listed(text: str) -> tuple[str, ...]:
    return tuple(" ".join(text.split()).split(", "))


NOUNS = {
    "cooking": _listed("""
        oven, saucepan, whisk, ladle, apron, marinade, dough, yeast, garlic, pepper, gravy, casserole, spatula,
        colander, frying-pan, cutlet, dumpling, omelette, pastry, broth, stew, vinegar, cinnamon, butter, flour, sieve,
        grater, rolling-pin, lentil, risotto, pudding, crust, salad, dressing, lasagne, pancake, parsley, mustard,
        pantry, roast, noodle, soup, larder, thyme, loaf, peeler
    """),
    "sport": _listed("""
        goalkeeper, referee, striker, marathon, penalty, dribble, tournament, league, trophy, racket, javelin, sprint,
        hurdle, medal, stadium, whistle, offside, jersey, scrum, wicket, umpire, relay, rematch, knockout, champion,
        semi-final, defender, tackle, volley, dumbbell, cyclist, peloton, rower, regatta, podium, shin-pad, gymnast,
        trampoline, puck, slalom, boxer, substitute, coach, halftime, backhand, free-kick
    """),
    "technology": _listed("""
        laptop, router, keyboard, password, update, processor, browser, printer, headset, smartphone, software,
        database, backup, firewall, cable, charger, spreadsheet, algorithm, sensor, robot, drone, webcam, hard-drive,
        modem, app, login, inbox, cursor, circuit, chip, download, antivirus, microphone, touchpad, bluetooth, firmware,
        gadget, hologram, emoji, pixel, search-engine, motherboard, joystick, scanner, spam-filter, website
    """),
    "travel": _listed("""
        passport, suitcase, airport, visa, itinerary, hostel, ferry, border, souvenir, luggage, sleeper-train, beach,
        museum, cathedral, postcard, rucksack, embassy, flight, runway, jet-lag, campsite, cruise, motorway, canyon,
        island, volcano, harbour, detour, boarding-pass, phrasebook, customs-officer, hotel, lobby, caravan, lighthouse,
        old-town, waterfall, tour-bus, sunburn, guesthouse, departure, layover, cabin, timetable, ruin, fjord
    """),
}

SHARED_NOUNS = {
    "cooking": _listed("""
        course, bowl, timer, scale, plate, batter, score, stock, menu, server, mixer, recipe, fork, tray, guide
    """),
    "sport": _listed("""
        course, bowl, timer, pitch, plate, batter, score, track, team, platform, crew, net, mixer, tray, scale
    """),
    "technology": _listed("""
        platform, menu, server, screen, port, track, terminal, net, fork, team, stock, guide, scale, mixer
    """),
    "travel": _listed("""
        course, port, terminal, platform, pitch, guide, crew, track, tray, screen, scale, stock, team, bowl
    """),
}

DOINGS = {
    "cooking": _listed("""
        kneading dough, peeling onions, baking bread, tasting sauces, chopping herbs, frying fish, stirring a stew,
        rolling out pasta, icing a cake, boiling rice, grilling peppers, making jam
    """),
    "sport": _listed("""
        practising serves, running hills, lifting weights, shooting at goal, rowing upstream, skipping rope, stretching
        before a race, diving from the high board, passing the ball, fencing, doing press-ups, training with the club
    """),
    "technology": _listed("""
        writing code, fixing bugs, charging batteries, resetting passwords, soldering circuits, typing, installing an
        update, clearing the cache, syncing files, taking screenshots, editing a podcast, building a website
    """),
    "travel": _listed("""
        packing suitcases, sleeping in hostels, crossing borders, flying south, hiking along the coast, reading maps,
        waiting for a connection, booking a room, visiting museums, sending postcards, camping by a lake, hitchhiking
    """),
}

PEOPLE = (
    ("my neighbour", "she"), ("our uncle", "he"), ("the new teacher", "she"), ("Ida's brother", "he"), ("Marek", "he"),
    ("Aunt Rosa", "she"), ("the man from the second floor", "he"), ("Priya", "she"), ("my oldest friend", "she"),
    ("Tomas", "he"), ("the dentist", "she"), ("our postman", "he"), ("Noor", "she"), ("the baker's son", "he"),
    ("Grandmother", "she"), ("the boy next door", "he"),
)  # fmt: skip

PLAIN = (
    "{who} spoke about the {a} for an hour.",
    "The {a} was all that {who} could think of.",
    "{who} has been {doing_a} since early spring.",
    "There was a long story about the {a}, and everyone listened.",
    "{who} spent the whole weekend {doing_a}.",
    "There is nothing that {who} likes better than {doing_a}.",
)

CONTRAST = (
    "It was about the {a}, not about the {b}.",
    "It was not about the {b} but about the {a}.",
    "{who} put the {b} aside and spent the evening on the {a}.",
    "For the {a}, {who} would give up the {b} at any time.",
    "The {a} mattered far more than the {b}.",
    "The {b} mattered far less than the {a}.",
    "{who} asked about the {a} before anyone could mention the {b}.",
    "Once the {b} was out of the way, {who} turned to the {a}.",
    "{who} talked about the {a} for so long that the {b} was forgotten.",
    "Instead of {doing_b}, {who} started {doing_a}.",
    "{who} prefers {doing_a} to {doing_b}.",
    "{who} would rather be {doing_a} than {doing_b}.",
    "{who} gave up {doing_b} and took up {doing_a}.",
    "Never mind the {b}; what {who} wanted was the {a}.",
    "{who} had no time for the {b} because of the {a}.",
    "The {a} came first, and the {b} could wait.",
)

ASIDES = (
    "It had been a long week.",
    "Nobody was in a hurry that day.",
    "The rain had stopped by then.",
    "{who} laughed and shook hands with everyone.",
    "We all agreed in the end.",
    "There was still some coffee left.",
    "The children wanted to know why.",
    "{who} is usually right about such things.",
    "It cost more than anyone had expected.",
    "Last year it was quite different.",
    "A good plan is half of the work.",
    "{who} wrote it all down on the back of an envelope.",
    "Somebody opened a window.",
    "The first try went wrong, the second did not.",
    "You learn by doing, as they say.",
    "{who} did not say another word about it.",
    "It takes patience and a little luck.",
    "The others had gone home by nine.",
    "That was the best part of the day.",
    "{who} promised to do better next time.",
    "There are worse ways to spend a Sunday.",
    "At the table by the door, two people were arguing.",
    "In the end it all worked out.",
    "{who} knows a little about everything.",
)
