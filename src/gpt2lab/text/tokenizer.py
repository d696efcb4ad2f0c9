"""Text becomes ids and ids become text."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from gpt2lab.core import files, hub
from gpt2lab.core.errors import UserError
from gpt2lab.text import engines, vocabulary
from gpt2lab.text.engines import Ids, Offsets
from gpt2lab.text.vocabulary import Vocabulary

HUB_NAME = "openai-community/gpt2"
FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "encoder.json",
    "vocab.bpe",
)


class Tokenizer:
    """Special tokens in ordinary text are plain characters, unless asked for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.size = max(vocabulary.ids.values()) + 1
        self.end_of_text = vocabulary.ids[vocabulary.end_of_text]

    @property
    def hash(self) -> str:
        return self.vocabulary.hash

    @cached_property
    def engine(self) -> engines.Engine:
        return engines.choose(self.vocabulary)

    def encode(self, text: str) -> Ids:
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> tuple[Ids, Offsets]:
        """All ids after one another, and where each text begins (one more at the end)."""
        try:
            return self.engine.encode_many(texts)
        except UnicodeEncodeError:  # looking beforehand would cost a fifth of the time
            return self.engine.encode_many([whole_characters(text) for text in texts])

    def encode_with_special(self, text: str) -> Ids:
        """As `encode`, but `<|endoftext|>` and its like become their one id."""
        from tokenizers import Tokenizer as Engine

        engine = Engine.from_str(json.dumps({**self.vocabulary.spec, "truncation": None, "padding": None}))
        return np.array(engine.encode(whole_characters(text), add_special_tokens=False).ids, np.uint32)

    def decode(self, ids: Iterable[int]) -> str:
        """Bytes that form no character become `�`."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        table = self.vocabulary.bytes_of
        try:
            return b"".join([table[number] for number in ids])
        except IndexError as error:
            raise UserError(f"an id beyond the tokenizer's {self.size:,} has no text") from error

    def stream(self) -> StreamDecoder:
        return StreamDecoder(self)

    def save(self, folder: Path, context: int | None = None, padding: int | None = None) -> None:
        """Files that transformers' `AutoTokenizer` opens, and the two older ones that other tools read."""
        end = self.vocabulary.end_of_text
        config: dict[str, object] = {
            # transformers builds GPT-2's own splitting for GPT2Tokenizer, whatever tokenizer.json says.
            "tokenizer_class": "GPT2Tokenizer" if self.vocabulary.splits_as_gpt2() else "PreTrainedTokenizerFast",
            "add_prefix_space": False,
            "bos_token": end,
            "eos_token": end,
            "unk_token": end,
            "clean_up_tokenization_spaces": False,
            "padding_side": "right",
        }
        if context:
            config["model_max_length"] = context
        if padding is not None:
            config["pad_token"] = self._name_of(padding)
        files.write_text(folder / "tokenizer.json", self.vocabulary.text)
        files.write_json(folder / "tokenizer_config.json", config)
        files.write_text(folder / "vocab.json", json.dumps(self.vocabulary.ids, ensure_ascii=False))
        merges = "".join(f"{left} {right}\n" for left, right in self.vocabulary.merges)
        files.write_text(folder / "merges.txt", f"#version: 0.2\n{merges}")

    def _name_of(self, number: int) -> str:
        for token, known in self.vocabulary.ids.items():
            if known == number:
                return token
        raise UserError(f"the padding id {number} is not in the tokenizer", way_out="use end-of-text as padding")


class StreamDecoder:
    """Text as it grows, one token after another, never half a character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, *ids: int) -> str:
        return self.decoder.decode(self.tokenizer.decode_bytes(ids))

    def finish(self) -> str:
        return self.decoder.decode(b"", final=True)


def load(source: str | Path) -> Tokenizer:
    """From a `tokenizer.json`, the folder of a tokenizer, model or corpus, or by Hub id; `gpt2` is GPT-2's own."""
    place = Path(source)
    if place.exists():
        inside = (place / "tokenizer", place / "model")  # where a corpus keeps its own, and a run
        return Tokenizer(vocabulary.read(next((folder for folder in inside if folder.is_dir()), place)))
    name = str(source)
    if not hub.looks_like_repository(name):
        raise UserError("there is no such tokenizer", place=place, way_out="name a folder, `gpt2`, `builtin` or `own`")
    repository = HUB_NAME if name == "gpt2" else name
    with hub.not_a_folder(name, "or use --tokenizer builtin or own, which need no network"):
        return Tokenizer(vocabulary.read(hub.fetch(repository, FILES)))


def train(texts: Iterable[str], size: int) -> Tokenizer:
    return Tokenizer(vocabulary.train(texts, size))


def whole_characters(text: str) -> str:
    """Lone surrogates, which JSON can smuggle in and UTF-8 cannot hold, become `�`."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
