"""What is measured and on what: a model, its data and settings, each read when it is first needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.measure import plans, precision, texts
from gpt2lab.measure.settings import Evaluation
from gpt2lab.measure.texts import Texts
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.model.reading import config_hash, find_model, read_language_model, tokenizer_of, weight_hash
from gpt2lab.text.corpus import Split, open_corpus
from gpt2lab.text.items import Items
from gpt2lab.text.items import read as read_items
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.processes import ALONE, Team


@dataclass(frozen=True)
class Bench:
    source: str
    data: str
    settings: Evaluation
    device: Any = "cpu"
    other_tokenizer: str | None = None
    local: Path | None = None  # the folder that holds a named set's files
    tasks_from: Path | None = None  # the folder that holds task files of lm-evaluation-harness
    base: str | None = None  # what the model was tuned from, where its folder does not say
    train: str | None = None  # the corpus that it was tuned on
    team: Team = ALONE

    @cached_property
    def folder(self) -> Path:
        return find_model(self.source)

    @cached_property
    def identity(self) -> dict[str, Any]:
        about = self.folder / "gpt2lab.json"
        base = {"base_weights": files.read_json(about).get("base_weights")} if about.is_file() else {}
        return {"path": self.source, "weights": weight_hash(self.folder), "config": config_hash(self.folder), **base}

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return tokenizer_of(self.folder, self.other_tokenizer)

    @cached_property
    def model(self) -> GPT2:
        model = read_language_model(self.folder, device=self.device)
        return precision.cast(model, self.settings.evaluate.precision)

    @cached_property
    def items(self) -> Items:
        return read_items(self.data, self.local, self.settings.evaluate.limit)

    @cached_property
    def texts(self) -> Texts:
        return texts.read(self.data, self.settings.data, self.local)

    @cached_property
    def split(self) -> Split:
        """Of a corpus whose tokens this model can read."""
        corpus = open_corpus(Path(self.data))
        if self.tokenizer.hash != corpus.manifest["tokenizer"]["hash"]:
            raise UserError(
                "the corpus was made with another tokenizer than the model",
                place=self.data,
                way_out=f"prepare it with --tokenizer {self.source}, or measure bits-per-byte, which needs no tokens",
            )
        return corpus.split(texts.choose_split(corpus.splits, self.settings.data.split, self.data))

    @property
    def results(self) -> Path:
        if (Path(self.source) / "run.json").is_file():
            return Path(self.source) / "results"
        return files.home() / "results" / self.identity["weights"][:16]

    @property
    def context(self) -> int:
        """Tokens in sight."""
        return plans.context_of(self.settings, self.model.window)
