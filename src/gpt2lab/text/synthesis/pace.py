"""How fast requests may begin: evenly spread, so that no minute has more requests or tokens than allowed."""

from __future__ import annotations

import time
from collections.abc import Callable

from gpt2lab.text.synthesis.settings import RequestSettings


class Pace:
    """Each request moves the moment at which the next one may begin."""

    def __init__(self, settings: RequestSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds_a_request = 60 / settings.requests_a_minute if settings.requests_a_minute else 0.0
        self.seconds_a_token = 60 / settings.tokens_a_minute if settings.tokens_a_minute else 0.0
        self.clock = clock
        self.request_at = self.tokens_at = self.held_until = clock()

    def delay(self) -> float:
        """Seconds until the next request may begin."""
        return max(0.0, max(self.request_at, self.tokens_at, self.held_until) - self.clock())

    def begin(self, tokens: int) -> None:
        now = self.clock()
        self.request_at = now + self.seconds_a_request
        self.tokens_at = max(now, self.tokens_at) + self.seconds_a_token * tokens

    def returned(self, tokens: int) -> None:
        """So many of the tokens that were counted did not come."""
        self.tokens_at -= self.seconds_a_token * tokens

    def hold(self, seconds: float) -> None:
        """Nobody begins before so many seconds are over: the endpoint asked for it."""
        self.held_until = max(self.held_until, self.clock() + seconds)
