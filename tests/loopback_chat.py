"""A chat endpoint on 127.0.0.1, for tests: `with LoopbackChat() as chat: ... chat.address`.

It answers every prompt with a good text of its own, unless the test has said what comes next: `chat.then(status(429))`
for one request, `chat.always = text("too short")` for all. Every request is recorded.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

LONGEST_SECONDS = 30.0
WORDS = [
    "amber",
    "brook",
    "cairn",
    "dusk",
    "ember",
    "fern",
    "glade",
    "heath",
    "inlet",
    "jade",
    "kelp",
    "lantern",
    "moor",
    "nettle",
    "otter",
    "pine",
    "quay",
    "reed",
]


@dataclass
class Seen:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    answered: bool = False  # with a whole answer, which is to be paid

    @property
    def user(self) -> str:
        return self.body["messages"][-1]["content"]


Reply = Callable[["_Handler", Seen], None]


def good_text(seed: str, words: int = 40) -> str:
    """The same for the same seed; two of them share no run of five words to speak of."""
    rng = random.Random(seed)
    return f"<LOC>{' '.join(rng.choice(WORDS) + str(rng.randrange(1000)) for _ in range(words))}</LOC>"


def completion(text: Any, finish: str | None = "stop", usage: Any = (100, 50), **more: Any) -> bytes:
    told = {"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}} if usage else {}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps(
        {"id": "1", "object": "chat.completion", "model": "loopback-1", "choices": [choice], **told, **more}
    ).encode()


# What may come next.


def text(content: Any, finish: str | None = "stop", **more: Any) -> Reply:
    return raw(completion(content, finish, **more))


def raw(content: bytes, status: int = 200, **headers: str) -> Reply:
    def reply(handler: _Handler, seen: Seen) -> None:
        seen.answered = status == 200
        handler.answer(status, headers, content)

    return reply


def status(code: int, message: str = "out of order", kind: str | None = None, **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "code": kind}}).encode()
    return raw(body, code, **{name.replace("_", "-"): value for name, value in headers.items()})


def slow(seconds: float) -> Reply:
    def reply(handler: _Handler, seen: Seen) -> None:
        handler.chat.closing.wait(min(seconds, LONGEST_SECONDS))
        good(handler, seen)

    return reply


def drip(seconds_a_byte: float) -> Reply:
    """One byte after another, so that no single wait is long."""

    def reply(handler: _Handler, seen: Seen) -> None:
        content = completion(good_text(seen.user))
        handler.begin(200, {"Content-Length": str(len(content))})
        for byte in content:
            if handler.chat.closing.wait(seconds_a_byte):
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()

    return reply


def cut(after: int, rudely: bool = False) -> Reply:
    def reply(handler: _Handler, seen: Seen) -> None:
        content = completion(good_text(seen.user))
        handler.begin(200, {"Content-Length": str(len(content))})
        handler.wfile.write(content[:after])
        handler.close_connection = True
        if rudely:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket(fileno=handler.connection.detach()).close()

    return reply


def good(handler: _Handler, seen: Seen) -> None:
    text(good_text(f"{seen.user}/{seen.body.get('seed')}"))(handler, seen)


@dataclass
class LoopbackChat:
    always: Reply = good
    requests: list[Seen] = field(default_factory=list)
    coming: list[Reply] = field(default_factory=list)
    most_at_once: int = 0

    def __enter__(self) -> Self:
        self.closing, self.guard, self.at_once = threading.Event(), threading.Lock(), 0

        class Bound(_Handler):
            pass

        Bound.chat = self
        self.server = _Server(("127.0.0.1", 0), Bound)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.address = f"http://{self.host}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def then(self, *replies: Reply) -> None:
        """To the next requests, in this order."""
        self.coming.extend(replies)

    @property
    def answered(self) -> list[str]:
        """The prompts that got a whole answer."""
        return [seen.user for seen in self.requests if seen.answered]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that hangs up is part of the game
            super().handle_error(request, client_address)  # pyrefly: ignore


class _Handler(BaseHTTPRequestHandler):
    chat: LoopbackChat
    protocol_version = "HTTP/1.1"
    timeout = LONGEST_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(content))
        with self.chat.guard:
            self.chat.requests.append(seen)
            reply = self.chat.coming.pop(0) if self.chat.coming else self.chat.always
            self.chat.at_once += 1
            self.chat.most_at_once = max(self.chat.most_at_once, self.chat.at_once)
        try:
            reply(self, seen)
        finally:
            with self.chat.guard:
                self.chat.at_once -= 1

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.begin(status, {"Content-Type": "application/json", **headers, "Content-Length": str(len(content))})
        self.wfile.write(content)
