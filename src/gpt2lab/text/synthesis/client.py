"""The `openai` client against any endpoint that speaks its chat API. It sends the key to that host and nowhere else."""

from __future__ import annotations

import email.utils
import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gpt2lab.core.errors import UserError, missing_extra
from gpt2lab.text.synthesis.answers import Answer, NoAnswer, Request, Tokens
from gpt2lab.text.synthesis.endpoint import Endpoint, origin
from gpt2lab.text.synthesis.settings import SynthesisRecipe

NO_KEY = "none"  # the client wants one; it is taken out before anything is sent
RAW = "x-stainless-raw-response"  # by this header of its own the client knows that we read the answer ourselves
SENT = ("accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host", RAW)
SHOWN = 300  # characters of an endpoint's own message
OURS_TO_REPAIR = "correct the recipe's model or the request's options"


class ApiWriter:
    costs = True

    def __init__(self, recipe: SynthesisRecipe, endpoint: Endpoint) -> None:
        try:
            import openai
        except ImportError as error:
            raise missing_extra("openai", "synthesize", "writing with a large model") from error
        for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):  # OPENAI_LOG=debug shows requests
            logging.getLogger(name).setLevel(logging.WARNING)
        self.recipe, self.endpoint, self.host = recipe, endpoint, endpoint.host
        self.openai = openai
        self.client = openai.AsyncOpenAI(
            api_key=endpoint.key or NO_KEY,
            base_url=endpoint.address,
            timeout=recipe.requests.timeout,
            max_retries=0,  # ours are counted, paced and written down
            http_client=openai.DefaultAsyncHttpxClient(
                follow_redirects=False, event_hooks={"request": [self._only_what_is_meant]}
            ),
        )

    async def write(self, request: Request) -> Answer:
        openai = self.openai
        try:
            response = await self.client.chat.completions.with_raw_response.create(**self._body(request))
            content = response.http_response.content
        except openai.APIStatusError as error:
            return self._refused(error)
        except openai.APITimeoutError as error:
            raise NoAnswer(f"no answer within {self.recipe.requests.timeout:g} seconds", paid=True) from error
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__
            unsent = cause in ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError")
            raise NoAnswer(f"no connection to {self.host}, or it was cut ({cause})", paid=not unsent) from error
        except (openai.OpenAIError, ValueError) as error:
            raise NoAnswer("an answer that is not valid JSON", paid=True) from error
        return self._read(content)

    async def close(self) -> None:
        await self.client.close()

    async def _only_what_is_meant(self, request: Any) -> None:
        """Whatever the client takes from the environment (organisations, other headers) stays here."""
        for name in [name for name in request.headers if name.lower() not in SENT]:
            del request.headers[name]
        request.headers.pop("authorization", None)
        if self.endpoint.key and origin(urlsplit(str(request.url))) == origin(urlsplit(self.endpoint.address)):
            request.headers["authorization"] = f"Bearer {self.endpoint.key}"
        request.headers["user-agent"] = "gpt2lab"

    def _body(self, request: Request) -> dict[str, Any]:
        settings, prompt = self.recipe.model, request.prompt
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        chosen = {"temperature": settings.temperature, "top_p": settings.top_p, settings.limit: settings.max_tokens}
        if settings.send_seed:
            chosen["seed"] = _seed(self.recipe.prompt.seed, request)
        return {
            "model": settings.name,
            "messages": [*system, {"role": "user", "content": prompt.user}],
            **{name: value for name, value in chosen.items() if value is not None},
            **({"extra_body": settings.options} if settings.options else {}),
        }

    def _read(self, content: bytes) -> Answer:
        """Of an endpoint that may send anything at all."""
        try:
            body = json.loads(content)
            choice = body["choices"][0]
            text = choice["message"].get("content") or ""
            finish, model = choice.get("finish_reason"), body.get("model") or self.recipe.model.name
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise NoAnswer("an answer that is not valid JSON, or has no text", paid=True) from error
        return Answer(
            self._clean(text),
            None if finish is None else self._clean(str(finish)),
            self._clean(str(model)),
            _usage(body),
        )

    def _clean(self, text: str) -> str:
        """Without our key, and with U+FFFD for what is no character."""
        return self.endpoint.scrub(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    def _refused(self, error: Any) -> Answer:
        status, message = error.status_code, self._clean(_message(error))[:SHOWN]
        shown = f"{self.host} answered {status}" + (f": {message}" if message else "")
        code = _code(error)
        if code == "content_filter":
            return Answer("", "content_filter", self.recipe.model.name, Tokens())
        if code == "insufficient_quota":
            raise UserError(f"the account has no money left. {shown}", way_out="then the same command continues")
        if status in (408, 409, 425, 429) or status >= 500:
            wait = retry_after(error.response.headers)
            raise NoAnswer(shown, paid=False, wait=wait, busy=status in (429, 503))
        if status in (401, 403):
            name = self.endpoint.key_from
            way_out = f"put a valid key for {self.host} in {name}" if name else f"--key {self.host}=VARIABLE"
            raise UserError(f"{shown} (the key was {f'from {name}' if name else 'none'})", way_out=way_out)
        if 300 <= status < 400:
            raise UserError(
                f"{self.host} sends us to another address, and no key goes there",
                way_out="write that one in the recipe",
            )
        raise UserError(shown, way_out=OURS_TO_REPAIR)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that the endpoint asks for, given in milliseconds, in seconds, or as a date."""
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError, TypeError):
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def _usage(body: dict[str, Any]) -> Tokens | None:
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    sent, received = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(sent) is not int or type(received) is not int or not (0 <= sent < 2**53 and 0 <= received < 2**53):
        return None
    return Tokens(sent, received)


def _message(error: Any) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    message = inner.get("message") if isinstance(inner, dict) else inner
    return " ".join(str(message or error.response.reason_phrase or "").split())


def _code(error: Any) -> str | None:
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    code = inner.get("code") if isinstance(inner, dict) else None
    return code if isinstance(code, str) else None


def _seed(seed: int, request: Request) -> int:
    digest = hashlib.blake2b(f"{seed}/{request.number}/{request.attempt}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
