"""Where the model is, and which key goes there.

A key goes to the host that the user gave it for, and to no other: OPENAI_API_KEY belongs to the host of
OPENAI_BASE_URL, or to OpenAI's when that is not set. For any other host, which only a recipe can name, the user says
on the command line which variable's key it gets: `--key HOST=VARIABLE`.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from gpt2lab.core import console, environment
from gpt2lab.core.errors import UserError

OPENAI = "https://api.openai.com/v1"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHORTEST_SECRET = 6  # what is shorter is no secret, and may be a word of the text
REMOVED = "[key removed]"


@dataclass(frozen=True)
class Endpoint:
    address: str
    host: str
    key: str | None = field(default=None, repr=False)
    key_from: str | None = None

    def scrub(self, text: str) -> str:
        """Without the key, should the endpoint say it back to us."""
        return text.replace(self.key, REMOVED) if self.key and len(self.key) >= SHORTEST_SECRET else text


def endpoint(address: str | None, keys: Sequence[str], *, dry_run: bool = False) -> Endpoint:
    """`keys` are HOST=VARIABLE, as typed by the user. A dry run needs neither key nor network."""
    own = os.environ.get("OPENAI_BASE_URL") or OPENAI
    chosen = _parsed(address, "model.address") if address else _parsed(own, "OPENAI_BASE_URL")
    if not dry_run and environment.offline() and not _is_loopback(chosen):
        raise UserError(
            "GPT2LAB_OFFLINE is set, and the model is on the network",
            place=chosen.netloc,
            way_out="unset it, or write with the built-in grammar: --backend builtin",
        )
    name = _variable(chosen, keys)
    if name is None and os.environ.get("OPENAI_API_KEY") and origin(chosen) == origin(_parsed(own, "OPENAI_BASE_URL")):
        name = "OPENAI_API_KEY"
    if name is None and not dry_run and origin(chosen) == origin(_parsed(OPENAI, "")):
        elsewhere = os.environ.get("OPENAI_API_KEY") and "OPENAI_API_KEY belongs to the host of OPENAI_BASE_URL"
        raise UserError(
            f"there is no key for {chosen.netloc}: {elsewhere or 'OPENAI_API_KEY is not set'}",
            way_out="set it, name another variable (--key HOST=VARIABLE), or write offline: --backend builtin",
        )
    key = _key(name) if name and not dry_run else None
    if key and chosen.scheme == "http" and not _is_loopback(chosen):
        console.warn(f"{chosen.netloc} is spoken to without TLS: the network between can read the key")
    return Endpoint(chosen.geturl().rstrip("/"), chosen.netloc, key, name)


def _parsed(address: str, place: str) -> SplitResult:
    """An address with nothing secret in it. What it holds is not shown, for it may hold a password."""
    found = urlsplit(address.strip())
    try:
        whole = found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise UserError("not the address of an endpoint", place=place, way_out="write it like https://host/v1")
    if found.username or found.password or found.query or found.fragment:
        raise UserError(
            "an address holds no user, password or query",
            place=place,
            way_out="put the key in an environment variable, and name it: --key HOST=VARIABLE",
        )
    return found


def origin(address: SplitResult) -> tuple[str, str | None, int | None]:
    """Of an address with http or https: what must be the same for a key to go there."""
    return address.scheme, address.hostname, address.port or {"http": 80, "https": 443}[address.scheme]


def _is_loopback(address: SplitResult) -> bool:
    host = address.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_typed_keys(keys: Sequence[str]) -> None:
    """Before the command line is written anywhere: what is no name of a variable may be the key itself."""
    for given in keys:
        host, _, name = given.rpartition("=")
        if not host or not VARIABLE.fullmatch(name):
            raise UserError(
                "--key takes a host and the name of an environment variable, never a key",
                way_out="--key api.example.com=EXAMPLE_API_KEY",
            )


def _variable(chosen: SplitResult, keys: Sequence[str]) -> str | None:
    """The variable that the user named for this host."""
    refuse_typed_keys(keys)
    found = None
    for given in keys:
        host, _, name = given.rpartition("=")
        scheme = "" if "://" in host else "http://" if _is_loopback(chosen) else "https://"
        if origin(_parsed(scheme + host, "--key")) != origin(chosen):
            raise UserError(
                f"--key names another host than the model's, which is {chosen.scheme}://{chosen.netloc}",
                way_out="name that host if it shall have the key, or correct the recipe's model.address",
            )
        found = name
    return found


def _key(name: str) -> str:
    key = os.environ.get(name, "").strip()
    if not key:
        raise UserError(f"the environment variable {name} is not set", way_out=f"export {name}=…")
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"what {name} holds is no key: it has characters that no header may have")
    return key
