"""Files from the Hugging Face Hub, each checked against the hash that the Hub gives for it.

They lie in the usual Hugging Face cache, where other tools find them. What a commit holds, and which of its files were
found right, is remembered in `files.home()/hub`: a second call costs one small request, and offline none.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from gpt2lab.core import console, files
from gpt2lab.core.errors import UserError
from gpt2lab.core.hub_source import (
    WAY_ONLINE,
    WAY_TO_SPACE,
    Kind,
    Source,
    Unreachable,
    cache_now,
    endpoint_now,
    explained,
    offline,
)

WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
NAME = re.compile(rf"(?!.*(?:--|\.\.|\.git$))(?:{WORD}/)?{WORD}")
COMMIT = re.compile(r"[0-9a-f]{40}")
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SECONDS_BEFORE_RETRIES = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class RemoteFile:
    path: str
    size: int
    sha256: str | None  # of large files; the others are known by their git hash alone
    git_blob: str


def looks_like_repository(name: str) -> bool:
    """`gpt2` and `owner/name` do, unless a file or folder of that name is here."""
    return bool(NAME.fullmatch(name)) and not Path(name).exists()


@contextlib.contextmanager
def not_a_folder(name: str, other_way: str = "") -> Iterator[None]:
    """Whoever mistypes a path meets the Hub's error: say that there is no such folder either."""
    try:
        yield
    except UserError as error:
        way_out = ", ".join(filter(None, [error.way_out, other_way]))
        cause = f"there is no folder {name!r} here, and as a Hub id: {error.cause}"
        raise UserError(cause, place=error.place, way_out=way_out) from error


def list_files(repository: str, *, kind: Kind, revision: str | None = None) -> list[RemoteFile]:
    """All files of a repository, sorted by path."""
    return _snapshot(repository, kind, revision).files


def fetch_file(repository: str, path: str, *, kind: Kind, revision: str | None = None) -> Path:
    snapshot = _snapshot(repository, kind, revision)
    return _bring(snapshot, [file for file in snapshot.files if file.path == path], path) / path


def fetch(repository: str, patterns: Sequence[str], *, kind: Kind = "model", revision: str | None = None) -> Path:
    """The folder with the files that match (`*` also crosses `/`). Its name is the commit."""
    snapshot = _snapshot(repository, kind, revision)
    wanted = [file for file in snapshot.files if any(fnmatchcase(file.path, pattern) for pattern in patterns)]
    return _bring(snapshot, wanted, " or ".join(patterns))


def is_cached(repository: str, kind: Kind) -> bool:
    """Whether anything of it is here, without asking the Hub."""
    return bool(NAME.fullmatch(repository)) and _cached(Source(repository, kind, "main", endpoint_now())) is not None


@dataclass
class _Snapshot:
    source: Source
    commit: str
    files: list[RemoteFile]
    checked: dict[str, list[int]]  # by path: size and time of change when the hash was right
    reachable: bool

    @property
    def folder(self) -> Path:
        return self.source.cache / "snapshots" / self.commit


def _snapshot(repository: str, kind: Kind, revision: str | None) -> _Snapshot:
    if not NAME.fullmatch(repository):
        raise UserError("not the name of a repository", place=repository, way_out="names look like gpt2 or owner/name")
    source = Source(repository, kind, revision or "main", endpoint_now())
    if ".." in source.revision or source.revision.startswith("/"):  # it also names a file of the cache
        raise UserError("not the name of a revision", place=source.revision, way_out="leave it out to use main")
    if offline():
        if cached := _cached(source):
            return cached
        raise UserError("offline, and not in the cache", place=source, way_out=WAY_ONLINE)
    try:
        with explained(source):
            commit = _commit(source)
            if remembered := _remembered(source, commit, reachable=True):
                return remembered
            return _Snapshot(source, commit, _listing(source, commit), {}, reachable=True)
    except Unreachable as failure:
        if not (cached := _cached(source)):
            raise
        console.warn_once(f"{failure.cause}; using what the cache has of {repository}")
        return cached


def _commit(source: Source) -> str:
    if COMMIT.fullmatch(source.revision):
        return source.revision
    commit = str(_ask(source, f"revision/{quote(source.revision, safe='')}").json()["sha"])
    if not COMMIT.fullmatch(commit):
        raise ValueError("the answer names no commit")
    return commit


def _listing(source: Source, commit: str) -> list[RemoteFile]:
    found: list[RemoteFile] = []
    page = "recursive=true"
    while page:
        answer = _ask(source, f"tree/{commit}?{page}")
        for entry in answer.json():
            if entry["type"] == "file":
                sha256 = entry["lfs"]["oid"] if entry.get("lfs") else None
                found.append(_trusted(RemoteFile(entry["path"], entry["size"], sha256, entry["oid"])))
        # Of the next page's address only the query is used: the token goes to no host but the one we were given.
        page = urlsplit(answer.links.get("next", {}).get("url", "")).query
    return sorted(found, key=lambda file: file.path)


def _trusted(file: RemoteFile) -> RemoteFile:
    """Paths and hashes name files on this machine, also when they are removed."""
    if file.path.startswith("/") or ".." in file.path.split("/") or not HASH.fullmatch(file.sha256 or file.git_blob):
        raise ValueError(f"it lists the file {file.path!r} with the hash {file.sha256 or file.git_blob!r}")
    return file


def _ask(source: Source, what: str) -> Any:
    from huggingface_hub import constants, utils

    response = utils.http_backoff(
        "GET",
        f"{source.endpoint}/api/{source.kind}s/{source.repository}/{what}",
        headers=utils.build_hf_headers(),
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,  # the library's own listing waits for ever
        max_retries=len(SECONDS_BEFORE_RETRIES),
        base_wait_time=SECONDS_BEFORE_RETRIES[0],
        retry_on_exceptions=(),
    )
    utils.hf_raise_for_status(response)
    return response


def _cached(source: Source) -> _Snapshot | None:
    """What is known of this revision without the Hub; files that other tools brought are listed as they lie."""
    commit = source.revision
    with contextlib.suppress(OSError):
        commit = (source.cache / "refs" / source.revision).read_text("utf-8").strip()
    if not COMMIT.fullmatch(commit):
        return None
    if remembered := _remembered(source, commit, reachable=False):
        return remembered
    snapshot = _Snapshot(source, commit, [], {}, reachable=False)
    paths = sorted(path for path in snapshot.folder.rglob("*") if path.is_file())
    snapshot.files = [_as_it_lies(path, snapshot.folder) for path in paths]
    return snapshot if paths else None


def _as_it_lies(path: Path, folder: Path) -> RemoteFile:
    """A file of the cache is a link to a blob, which has the hash for its name."""
    blob = path.readlink().name if path.is_symlink() else ""
    hashes = {len(blob): blob}
    return RemoteFile(path.relative_to(folder).as_posix(), path.stat().st_size, hashes.get(64), hashes.get(40, ""))


def _bring(snapshot: _Snapshot, wanted: list[RemoteFile], asked: str) -> Path:
    missing = [file for file in wanted if not (snapshot.folder / file.path).is_file()]
    if not wanted or (missing and not snapshot.reachable):
        raise _absent(snapshot, _names(missing) or asked)
    with explained(snapshot.source):
        known = dict(snapshot.checked)
        try:
            _download(snapshot, missing)
            for file in wanted:
                _check(snapshot, file)
        finally:
            if snapshot.checked != known:
                _remember(snapshot)
        _name_commit(snapshot)
    return snapshot.folder


def _download(snapshot: _Snapshot, missing: list[RemoteFile]) -> None:
    if not missing:
        return
    source, total = snapshot.source, sum(file.size for file in missing)
    source.cache.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(source.cache).free) < total:
        cause = f"the disk is too full: {console.size(total)} to download, {console.size(free)} free"
        raise UserError(cause, place=source.cache, way_out=WAY_TO_SPACE)
    unit, scale = ("MiB", 2**20) if total >= 2**23 else ("KiB", 2**10)  # such fractions add up to the whole exactly
    with console.progress(f"downloading {source.repository}", total / scale, unit) as bar:
        for file in missing:  # one after the other, so that an interruption takes effect at once
            with explained(source, file.path):
                _download_file(snapshot, file, _shown_by(bar, scale, file.path))
                _check(snapshot, file)


def _download_file(snapshot: _Snapshot, file: RemoteFile, progress: Any) -> None:
    from huggingface_hub import errors, hf_hub_download

    source = snapshot.source
    for seconds in (*SECONDS_BEFORE_RETRIES, None):
        try:
            hf_hub_download(
                source.repository, file.path, repo_type=source.kind, revision=snapshot.commit, cache_dir=cache_now(),
                endpoint=source.endpoint, tqdm_class=progress,
            )  # fmt: skip
            return
        except errors.HTTPError as error:
            # The library resumes after a clean cut, but gives up at once after a reset or an error of the file server.
            server_error = isinstance(error, errors.HfHubHTTPError) and error.response.status_code >= 500
            if seconds is None or not (server_error or type(error).__name__ == "ReadError"):
                raise
            time.sleep(seconds)


def _shown_by(bar: console.Progress, scale: int, path: str) -> Any:
    """As much of a tqdm class as the library uses."""

    class Bytes:
        def __init__(self, **_: object) -> None:
            self.count = 0.0

        def __enter__(self) -> Bytes:
            return self

        def __exit__(self, failure: object, *_: object) -> None:
            if failure:
                self.update(-self.count)

        def update(self, count: float | None = 1) -> None:
            self.count += count or 0
            bar.advance((count or 0) / scale, path)

        def ignore(self, *_: object, **__: object) -> None:
            pass

        set_postfix_str = set_transfer_postfix_str = update_transfer = ignore

    return Bytes


def _check(snapshot: _Snapshot, file: RemoteFile) -> None:
    path, expected = snapshot.folder / file.path, file.sha256 or file.git_blob
    stamp = [path.stat().st_size, path.stat().st_mtime_ns]
    if snapshot.checked.get(file.path) == stamp or not expected:
        return
    found = files.sha256(path) if file.sha256 else _git_blob(path)
    if found != expected:
        _remove(snapshot, path, expected)
        raise UserError(
            f"wrong bytes: the hash of {file.path} should be {expected} and is {found}; it was removed from the cache",
            place=f"{snapshot.source}/{file.path}",
            way_out="run the command again",
        )
    snapshot.checked[file.path] = stamp


def _git_blob(path: Path) -> str:
    begun = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: begun).hexdigest()


def _remove(snapshot: _Snapshot, path: Path, expected: str) -> None:
    blob = path.resolve()
    path.unlink()
    (snapshot.source.cache / "blobs" / expected).unlink(missing_ok=True)
    if HASH.fullmatch(blob.name):  # a link to anything else was made by a person
        blob.unlink(missing_ok=True)


def _remember(snapshot: _Snapshot) -> None:
    source = snapshot.source
    content = {"repository": source.repository, "kind": source.kind, "commit": snapshot.commit}
    content |= {"checked": snapshot.checked, "files": [asdict(file) for file in snapshot.files]}
    files.write_json(_record(source, snapshot.commit), content)


def _remembered(source: Source, commit: str, *, reachable: bool) -> _Snapshot | None:
    with contextlib.suppress(UserError, OSError, KeyError, TypeError):
        record = files.read_json(_record(source, commit))
        return _Snapshot(source, commit, [RemoteFile(**file) for file in record["files"]], record["checked"], reachable)
    return None


def _record(source: Source, commit: str) -> Path:
    return files.home() / "hub" / f"{files.fingerprint([source.kind, source.repository, commit])}.json"


def _name_commit(snapshot: _Snapshot) -> None:
    """As the library does it, so that it and we find the revision without the Hub."""
    path = snapshot.source.cache / "refs" / snapshot.source.revision
    if snapshot.source.revision != snapshot.commit and not (path.is_file() and path.read_text() == snapshot.commit):
        files.write_text(path, snapshot.commit)


def _absent(snapshot: _Snapshot, asked: str) -> UserError:
    if not snapshot.reachable:
        return UserError(f"no connection, and not in the cache: {asked}", place=snapshot.source, way_out=WAY_ONLINE)
    place = f"{snapshot.source} at {snapshot.source.revision}"
    return UserError(f"no such file: {asked}", place=place, way_out=f"choose among {_names(snapshot.files) or 'none'}")


def _names(listed: Sequence[RemoteFile]) -> str:
    more = [f"and {len(listed) - 20} more"] if len(listed) > 20 else []
    return ", ".join([file.path for file in listed[:20]] + more)
