"""A folder becomes a repository on the Hub, in one commit. Nothing else in the project sends anything there."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.core.hub import NAME
from gpt2lab.core.hub_source import WAY_ONLINE, Source, endpoint_now, explained, offline

TOKEN = "HF_TOKEN"  # the variable alone: what a login of another program left on the disk is not taken
WAY_IN = f"set {TOKEN} to a token that may write there"
MEGABYTE = 1e6


def ready(repository: str) -> None:
    """Refuse before any work what the upload would refuse after it."""
    if not NAME.fullmatch(repository) or "/" not in repository:
        raise UserError("not the name of a repository", place=repository, way_out="names look like owner/name")
    if offline():
        raise UserError("offline, so nothing can be uploaded", place=repository, way_out=WAY_ONLINE)
    if not os.environ.get(TOKEN):
        raise UserError(f"uploading needs a token, and {TOKEN} is not set", place=repository, way_out=WAY_IN)


def upload(folder: Path, repository: str, message: str) -> str:
    """The address of the commit. The repository is made where there is none; what only it has stays there."""
    ready(repository)
    from huggingface_hub import CommitOperationAdd, HfApi

    source = Source(repository, "model", "main", endpoint_now())
    api = HfApi(endpoint=source.endpoint, token=os.environ[TOKEN])
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    total = sum(path.stat().st_size for path in paths) / MEGABYTE
    with explained(source, way_in=WAY_IN), contextlib.ExitStack() as stack:
        bar = stack.enter_context(console.progress(f"uploading to {repository}", total, "MB"))
        opened = {path: stack.enter_context(_Announced(path, bar)) for path in paths}
        added = [CommitOperationAdd(path.relative_to(folder).as_posix(), file) for path, file in opened.items()]
        for file in opened.values():
            file.announces = True  # until here it was read for its hash
        api.create_repo(repository, exist_ok=True)
        found = api.create_commit(repository, added, commit_message=message)
    return str(found.commit_url)


class _Announced(io.BufferedReader):
    """A file that tells how much of it was read. Given such files, the library speaks plain HTTP."""

    def __init__(self, path: Path, bar: console.Progress) -> None:
        super().__init__(io.FileIO(path))
        self.bar, self.announces, self.furthest = bar, False, 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        if self.announces and (new := self.tell() - self.furthest) > 0:  # what is sent again counts once
            self.furthest += new
            self.bar.advance(new / MEGABYTE)
        return found
