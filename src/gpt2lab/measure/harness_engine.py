"""Our engine in the shape that lm-evaluation-harness asks for. Imported only where the harness is installed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from gpt2lab.core import console
from gpt2lab.generate.generate import generate
from gpt2lab.generate.packed import Weights, weights_of
from gpt2lab.generate.settings import SamplingSettings
from gpt2lab.measure import pairs
from gpt2lab.measure.likelihood import Answer, Question, score
from gpt2lab.model.gpt2 import GPT2
from gpt2lab.text.tokenizer import Tokenizer


class Engine(LM):
    def __init__(self, model: GPT2, tokenizer: Tokenizer, window: int) -> None:
        super().__init__()
        self.model, self.text, self.window = model, tokenizer, window

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        encoded = pairs.together(self.text, [request.args for request in requests])
        return [(answer.total, answer.greedy) for answer in self._score("harness", encoded)]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """The harness's own windows: disjoint, with end-of-text before the first."""
        windows: list[pairs.EncodedPair] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            ids = self.text.encode(request.args[0]).tolist()
            for window in get_rolling_token_windows(ids, self.text.end_of_text, self.window, 1):
                context, continuation = make_disjoint_window(window)
                windows.append((np.array(context, np.int64), np.array(continuation, np.int64)))
                owners.append(owner)
        totals = [0.0] * len(requests)
        for owner, answer in zip(owners, self._score("harness windows", windows)):
            totals[owner] += answer.total
        return totals

    def generate_until(self, requests: list[Any]) -> list[str]:
        with console.progress("harness samples", len(requests), "samples") as progress:
            found = []
            for request in requests:
                found.append(self._generate(*request.args))
                progress.advance()
        return found

    @cached_property
    def weights(self) -> Weights:
        """Laid out once for all requests."""
        return weights_of(self.model, "fp32")

    def _score(self, what: str, encoded: Sequence[pairs.EncodedPair]) -> list[Answer]:
        """Requests with the same context are one question, whatever order they come in."""
        members: dict[bytes, list[int]] = {}
        for number, (context, _) in enumerate(encoded):
            members.setdefault(context.tobytes(), []).append(number)
        questions = [Question(encoded[of[0]][0], [encoded[number][1] for number in of]) for of in members.values()]
        with console.progress(what, len(questions), "contexts") as progress:
            answers = score(self.model, questions, window=self.window, progress=progress)
        found = {number: answer for of, those in zip(members.values(), answers) for number, answer in zip(of, those)}
        return [found[number] for number in range(len(encoded))]

    def _generate(self, context: str, arguments: dict[str, Any]) -> str:
        wanted: dict[str, Any] = {**normalize_gen_kwargs(arguments)}
        most = min(int(wanted["max_gen_toks"]), self.window - 1)
        settings = SamplingSettings(
            max_new_tokens=most,
            temperature=wanted.get("temperature") or 0.0,
            top_k=wanted.get("top_k") or 0,
            top_p=wanted.get("top_p") or 1.0,
            stop=tuple(stop for stop in wanted["until"] if stop),
        )
        prompt = self._last_that_fit(context, self.window - most)
        return generate(self.weights, self.text, prompt, 1, settings)[0].text

    def _last_that_fit(self, context: str, room: int) -> str:
        ids = self.text.encode(context)
        return context if len(ids) <= room else self.text.decode(ids[-room:])
