"""Where the Hub is, and how talking to it fails: one message of ours for whatever goes wrong, no password in it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpt2lab.core import environment
from gpt2lab.core.errors import UserError

Kind = Literal["model", "dataset"]
PIECE = 2**20  # bytes: what a cut connection loses, and how often progress is shown

WAY_ONLINE = "connect to the network, or unset GPT2LAB_OFFLINE and HF_HUB_OFFLINE"
WAY_TO_SPACE = "free some space, or let HF_HOME name a folder on a larger disk"
WAY_IN = "accept its terms on that page, and set HF_TOKEN to a token that may read it"


class Unreachable(UserError):
    """The Hub gives no answer now; what is in the cache may still do."""


@dataclass(frozen=True)
class Source:
    """A revision of a repository and the address to ask for it, which may hold a password."""

    repository: str
    kind: Kind
    revision: str
    endpoint: str

    def __str__(self) -> str:
        return _without_secrets(f"{self.endpoint}/{'datasets/' * (self.kind == 'dataset')}{self.repository}")

    @property
    def cache(self) -> Path:
        return cache_now() / f"{self.kind}s--{self.repository.replace('/', '--')}"


def offline() -> bool:
    from huggingface_hub import constants

    asked = os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES
    return asked or environment.offline() or constants.is_offline_mode()


def endpoint_now() -> str:
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def cache_now() -> Path:
    """As the library finds it, but read now: the library reads the environment only when it is imported."""
    from huggingface_hub import constants

    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME")
    return Path(os.path.expandvars(named or (f"{home}/hub" if home else constants.HF_HUB_CACHE))).expanduser()


@contextlib.contextmanager
def explained(source: Source, path: str | None = None, *, way_in: str = WAY_IN) -> Iterator[None]:
    """Every failure becomes one message of ours; the library is kept from messages and telemetry of its own."""
    from huggingface_hub import constants

    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    constants.HF_HUB_DISABLE_TELEMETRY = True
    constants.DOWNLOAD_CHUNK_SIZE = PIECE  # pyrefly: ignore[bad-assignment]
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise _failure(error, source, path, way_in) from None  # the library's texts hold addresses, and these passwords
    finally:
        log.setLevel(level)


def _failure(error: BaseException, source: Source, path: str | None, way_in: str) -> UserError:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError | RuntimeError) and error.__cause__:
        error = error.__cause__  # it only says that the cache does not help either, or which file it was
    text = _without_secrets(str(error).partition("\n")[0]) or type(error).__name__
    place: object = f"{source}/{path}" if path else source
    match error:
        case errors.GatedRepoError():
            cause, way_out = "access to this repository must be granted first", way_in
        case errors.RepositoryNotFoundError():
            cause = f"this {source.kind} repository does not exist, or is private"
            way_out = "check its name, or set HF_TOKEN to a token that may read it"
        case errors.RevisionNotFoundError():
            cause, way_out = f"it has no revision {source.revision}", "leave the revision out to use main"
        case errors.EntryNotFoundError():
            cause, way_out = "the file does not exist there", "check its name"
        case errors.HfHubHTTPError(response=response) if response.status_code in (401, 403):
            cause, way_out = f"access denied (HTTP {response.status_code})", way_in
        case errors.HfHubHTTPError(response=response):
            busy = response.status_code in (408, 429) or response.status_code >= 500
            cause, way_out = f"the Hub answers HTTP {response.status_code}", "try again in a few minutes"
            return (Unreachable if busy else UserError)(cause, place=place, way_out=way_out)
        case errors.HTTPError():
            cause, way_out = f"the connection to the Hub failed: {text}", "check the network and run the command again"
            return Unreachable(cause, place=place, way_out=way_out)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            cause, place, way_out = "the disk is full", source.cache, WAY_TO_SPACE
        case OSError(strerror=str(), filename=str() | Path()):
            cause, place, way_out = error.strerror, error.filename, "check the folder and its permissions"
        case ValueError() | LookupError() | TypeError():
            cause, way_out = f"this does not answer like a Hub: {text}", "check HF_ENDPOINT and the network"
        case _:
            cause, way_out = f"the transfer failed: {text}", "run the command again"
    return UserError(cause, place=place, way_out=way_out)


def _without_secrets(text: str) -> str:
    return re.sub(r"(?<=://)[^\s/@]*@|\?\S*", "", text)
