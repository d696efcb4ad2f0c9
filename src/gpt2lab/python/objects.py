"""What the verbs return where a dictionary would say too little: each names a folder, and reads from it when asked."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2lab.core import console, files, lines
from gpt2lab.core.errors import UserError
from gpt2lab.study import runs

if TYPE_CHECKING:
    import pandas

    from gpt2lab.model.gpt2 import GPT2, GPT2Classifier
    from gpt2lab.text.tokenizer import Tokenizer

HEIGHT = 800  # pixels of a report inside a notebook


@dataclass(frozen=True)
class Folder:
    """Goes wherever a path goes."""

    path: Path  # or text, or another of these

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def __fspath__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Corpus(Folder):
    """Token shards, and where they come from."""

    @property
    def manifest(self) -> dict[str, Any]:
        return files.read_json(self.path / "corpus.json")


@dataclass(frozen=True)
class Run(Folder):
    """One training: what it was told, how it went, what was measured."""

    @property
    def record(self) -> dict[str, Any]:
        """State, steps, sizes, times, what was decided, the environment."""
        return self._opened.record

    @property
    def settings(self) -> dict[str, Any]:
        return self._opened.settings

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """A dictionary a step: loss, rate, gradient norm, and what probes saw."""
        return self._opened.metrics

    @property
    def results(self) -> list[dict[str, Any]]:
        """Every measurement, with its protocol and interval."""
        return self._opened.results

    @property
    def curves(self) -> pandas.DataFrame:
        """The metrics and seconds of each step, as a pandas table with the step for its index."""
        try:
            import pandas
        except ImportError:
            raise UserError(
                "curves are tables of the package pandas, which is not installed",
                way_out="pip install pandas; .metrics holds the same as plain dictionaries",
            ) from None
        seconds = {line["step"]: line["seconds"] for line in lines.read(self.path / "timings.jsonl")}
        rows = [{**line, "seconds": seconds.get(line["step"])} for line in self.metrics]
        return pandas.DataFrame(rows).set_index("step") if rows else pandas.DataFrame()

    def load(self, device: str = "auto") -> Model:
        """The finished model."""
        from gpt2lab.python import verbs

        return verbs.load(self, device)

    def resume(self, *, extend: bool = False, allow_different: bool = False, **settings: Any) -> Run:
        """Go on where it was interrupted, with its own settings; with `extend` to another end: `train={"steps": 9}`."""
        from gpt2lab.python import verbs

        return verbs.resume(self, extend, allow_different, settings)

    @property
    def _opened(self) -> runs.Run:
        return runs.open_run(self.path)

    def _repr_html_(self) -> str:
        about = self._opened
        best = about.best
        losses = [line["loss"] for line in about.metrics if line.get("loss") is not None]
        rows = {
            "run": str(self.path),
            "what": f"{about.what} {about.settings.get('method') or ''}",
            "state": f"{about.state}, {console.counted(about.steps_done, 'step')}",
            "loss": f"{console.sparkline(losses)} {losses[-1]:.4f}" if losses else "",
            "best": f"{about.watched} {best[1]:.4f} at step {best[0]:,}" if best else "",
        }
        cells = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in rows.items()
            if value
        )
        return f"<table>{cells}</table>"


@dataclass(frozen=True)
class Report(Folder):
    """A study's folder and its page, which a notebook shows in place."""

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    @property
    def runs(self) -> list[Run]:
        return [Run(folder) for folder in runs.find(self.path)]

    def _repr_html_(self) -> str:
        """In a frame of its own, so that its styles and scripts stay inside."""
        page = html.escape(self.page.read_text("utf-8"))
        return f'<iframe srcdoc="{page}" style="width:100%;height:{HEIGHT}px;border:0"></iframe>'


@dataclass(frozen=True, repr=False)
class Model:
    """Weights in memory, with the tokenizer that goes with them. `module` is a plain torch module."""

    source: str
    module: GPT2 | GPT2Classifier
    tokenizer: Tokenizer

    def generate(self, prompts: str | Sequence[str] = "", samples: int = 1, **settings: Any) -> list[dict[str, Any]]:
        """So many continuations of each prompt; the settings are those of `gpt2lab generate`."""
        from gpt2lab.python import verbs

        return verbs.generate(self, prompts, samples, **settings)

    def predict(self, texts: str | Sequence[str]) -> list[dict[str, Any]]:
        """Of a classifier: text, label and probabilities of each text."""
        from gpt2lab.measure import predicting
        from gpt2lab.measure.labels import needs_classifier
        from gpt2lab.text.loose_texts import gather

        several = [texts] if isinstance(texts, str) else list(texts)
        tally = predicting.Tally()
        answers: Iterator[dict[str, Any]] = predicting.predict(
            needs_classifier(self.module), self.tokenizer, gather(several, None, None), tally
        )
        found = list(answers)
        if tally.truncated:
            console.warn(
                f"{console.counted(tally.truncated, 'text')} longer than the model's window of {tally.window} tokens"
            )
        return found

    def __repr__(self) -> str:
        from gpt2lab.model.config import describe

        return f"<Model {self.source}: {describe(self.module.config)}>"
