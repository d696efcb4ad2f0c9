"""What a recipe for `gpt2lab synthesize` may say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gpt2lab.core.settings import Natural, NaturalFloat, Positive, PositiveFloat, Seed, Settings, Share


class PromptSettings(Settings):
    system: str = ""
    """Who the model is to be; may hold {name} variables too."""
    user: str
    """What is asked for. Each {name} is replaced by a value of that variable, once and plainly."""
    variables: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """The values of each variable; which one a text gets depends on seed and number alone."""
    seed: Seed = 1
    """Of the values that are drawn."""


class WriterSettings(Settings):
    name: str
    """The model, as the endpoint calls it."""
    address: str | None = None
    """Of the endpoint, such as http://127.0.0.1:8000/v1. Unset: OPENAI_BASE_URL, else OpenAI's."""
    temperature: NaturalFloat | None = 1.0
    """None sends no temperature, for models that take none."""
    top_p: Share | None = None
    """None sends none."""
    max_tokens: Positive = 1000
    """Longest answer; a longer one is cut off by the endpoint, and then refused here."""
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the endpoint calls that limit; newer OpenAI models want the second."""
    send_seed: bool = False
    """Send a seed made of seed, number and attempt, to endpoints that know one."""
    options: dict[str, Any] = Field(default_factory=dict)
    """More fields of the request's body, as the endpoint documents them."""


class DelimiterSettings(Settings):
    open: str = ""
    """What every answer begins with, as the prompt asks; it stays in the text."""
    close: str = ""
    """What every answer ends with."""


class CheckSettings(Settings):
    fewest_words: Natural = 1
    """An answer with fewer, delimiters left aside, is refused."""
    most_words: Positive = 100_000
    """An answer with more is refused."""
    similar: Share = 0.3
    """An answer that shares so much of its runs of five words with an accepted one (Jaccard) is refused; 1 allows all
    but copies."""
    finish: tuple[str, ...] = ("stop",)
    """Finish reasons that mean a whole answer."""
    attempts: Positive = 4
    """Answers asked for one text; when all were refused, a text with another number takes its place."""
    refused_in_a_row: Positive = 20
    """So many stop the work: something is wrong with the prompt or with the checks."""


class RequestSettings(Settings):
    concurrency: Positive = 8
    """Requests under way at once."""
    requests_a_minute: PositiveFloat | None = None
    """Your account's limit."""
    tokens_a_minute: PositiveFloat | None = None
    """Your account's limit, of prompt and answer together; an answer counts as max_tokens until it is here."""
    timeout: PositiveFloat = 120.0
    """Seconds for one answer, from the first byte sent to the last received."""
    retries: Natural = 8
    """More tries for a request that got no answer (busy, down, too slow, cut off)."""
    backoff: PositiveFloat = 1.0
    """Seconds before the first of them; doubled for each more, up to a minute. Retry-After goes first."""
    longest_wait: PositiveFloat = 600.0
    """An endpoint that asks for a longer pause (Retry-After) stops the work."""


class PriceSettings(Settings):
    prompt: NaturalFloat
    """For a million tokens sent."""
    completion: NaturalFloat
    """For a million tokens received."""
    currency: str = "USD"
    """Of both, and of --max-cost."""


class SynthesisRecipe(Settings):
    name: str
    """Of the data set."""
    purpose: str
    """What it is for."""
    prompt: PromptSettings
    delimiters: DelimiterSettings = DelimiterSettings()
    model: WriterSettings
    prices: PriceSettings | None = None
    """Without them no cost can be told."""
    checks: CheckSettings = CheckSettings()
    requests: RequestSettings = RequestSettings()
