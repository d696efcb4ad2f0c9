"""Byte-level BPE vocabularies: the forms they are stored in, one form inside, and training a new one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.core.errors import UserError

END_OF_TEXT = "<|endoftext|>"
FORMS = (  # what a folder may hold, best first
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("encoder.json", "vocab.bpe"),
)


@dataclass(frozen=True)
class Vocabulary:
    """A `tokenizer.json`, whatever form it was read from."""

    spec: dict[str, Any]
    end_of_text: str = END_OF_TEXT

    @cached_property
    def ids(self) -> dict[str, int]:
        """Every token as it is written in the files, special ones included."""
        return {**self.spec["model"]["vocab"], **self.special}

    @cached_property
    def special(self) -> dict[str, int]:
        return {token["content"]: token["id"] for token in self.spec.get("added_tokens") or ()}

    @cached_property
    def merges(self) -> list[tuple[str, str]]:
        stored = self.spec["model"]["merges"]
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in stored)
        return [(left, right) for left, right in pairs]

    @cached_property
    def bytes_of(self) -> list[bytes]:
        """The bytes of each id; ids without a token have none."""
        table = [b""] * (max(self.ids.values()) + 1)
        for token, number in self.ids.items():
            plain = token in self.special or any(letter not in BYTE_OF for letter in token)
            table[number] = token.encode() if plain else bytes(BYTE_OF[letter] for letter in token)
        return table

    @cached_property
    def hash(self) -> str:
        """The same for the same tokens, merges and splitting, in whatever form they were stored."""
        return files.fingerprint({"ids": self.ids, "merges": self.merges, "splitting": _splitting(self.spec)})

    @cached_property
    def text(self) -> str:
        """The whole `tokenizer.json`."""
        return json.dumps(self.spec, ensure_ascii=False)

    @cached_property
    def plain_spec(self) -> str:
        """The `tokenizer.json` of an engine that knows no special tokens, adds none and draws no lots."""
        left_out = {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        return json.dumps({**self.spec, **left_out, "model": {**self.spec["model"], "dropout": None}})

    def splits_as_gpt2(self) -> bool:
        return _splitting(self.spec) == _splitting(gpt2_spec({}, []))


def read(place: Path) -> Vocabulary:
    """From a `tokenizer.json`, or a folder with one of the known forms."""
    if place.is_file():
        return _from_tokenizer_json(place)
    for form in FORMS:
        paths = [place / name for name in form]
        if all(path.is_file() for path in paths):
            return _from_tokenizer_json(paths[0]) if len(paths) == 1 else _from_two_files(*paths)
    raise UserError(
        "no tokenizer here", place=place, way_out=f"it must hold {', or '.join(' + '.join(form) for form in FORMS)}"
    )


def train(texts: Iterable[str], size: int) -> Vocabulary:
    """A byte-level BPE of at most `size` tokens, end-of-text the last of them, as GPT-2 has it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    smallest = 257  # every byte, and end-of-text
    if size < smallest:
        raise UserError(f"a byte-level vocabulary has at least {smallest} tokens, not {size}")
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyrefly: ignore[read-only]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size - 1, initial_alphabet=alphabet, show_progress=False)
    engine.train_from_iterator(texts, trainer)
    model = json.loads(engine.to_str())["model"]
    ids = dict(model["vocab"])
    ids[END_OF_TEXT] = len(ids)
    return Vocabulary(gpt2_spec(ids, model["merges"]))


def gpt2_spec(ids: dict[str, int], merges: list[Any], end_of_text: str = END_OF_TEXT) -> dict[str, Any]:
    """The `tokenizer.json` of a vocabulary that splits text as GPT-2 does."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[end_of_text], "content": end_of_text, **special}] if end_of_text in ids else [],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": ids,
            "merges": merges,
        },
    }


def _from_tokenizer_json(path: Path) -> Vocabulary:
    spec = files.read_json(path)
    model = spec.get("model") if isinstance(spec, dict) else None
    if not isinstance(model, dict) or "vocab" not in model or "merges" not in model:
        raise UserError("not a BPE tokenizer: its model holds no vocab and merges", place=path)
    if (spec.get("decoder") or {}).get("type") != "ByteLevel":
        raise UserError(
            "not a byte-level BPE: its decoder is not ByteLevel", place=path, way_out="use a GPT-2 tokenizer"
        )
    vocabulary = Vocabulary(spec)
    named = path.with_name("tokenizer_config.json")
    stored = files.read_json(named).get("eos_token") if named.is_file() else None
    end = stored.get("content") if isinstance(stored, dict) else stored
    candidates = [name for name in (end, END_OF_TEXT) if name in vocabulary.ids]
    if not candidates:
        raise UserError("the tokenizer has no end-of-text token", place=path, way_out=f"add {END_OF_TEXT} to it")
    return Vocabulary(spec, candidates[0])


def _from_two_files(vocab: Path, merges: Path) -> Vocabulary:
    ids = files.read_json(vocab)
    if END_OF_TEXT not in ids:
        raise UserError("the tokenizer has no end-of-text token", place=vocab, way_out=f"add {END_OF_TEXT} to it")
    pairs = []
    for number, line in enumerate(merges.read_text("utf-8").split("\n"), 1):
        if line and not (number == 1 and line.startswith("#version")):
            pair = line.split(" ")
            if len(pair) != 2 or pair[0] + pair[1] not in ids:
                raise UserError(f"not a merge of two tokens into a third: {line!r}", place=f"{merges}, line {number}")
            pairs.append(pair)
    spec = gpt2_spec(ids, pairs)
    added = vocab.with_name("added_tokens.json")
    if added.is_file():
        spec["added_tokens"] += [
            {**spec["added_tokens"][0], "id": number, "content": token, "special": False}
            for token, number in files.read_json(added).items()
            if token not in ids
        ]
    return Vocabulary(spec)


def _splitting(spec: dict[str, Any]) -> Any:
    """What decides where text is split, without the spelling of defaults."""
    before = spec.get("pre_tokenizer") or {}
    if before.get("type") == "ByteLevel":
        before = {
            "type": "ByteLevel",
            "add_prefix_space": before.get("add_prefix_space", True),
            "use_regex": before.get("use_regex", True),
        }
    return [spec.get("normalizer"), before, bool(spec["model"].get("ignore_merges"))]


def _bytes_as_letters() -> dict[int, str]:
    """GPT-2 writes each byte as a visible letter: printable ones as themselves, the others from 256 upward."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = {byte: chr(byte) for byte in printable}
    others = [byte for byte in range(256) if byte not in letters]
    return letters | {byte: chr(256 + index) for index, byte in enumerate(others)}


BYTE_OF = {letter: byte for byte, letter in _bytes_as_letters().items()}
