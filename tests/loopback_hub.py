"""A Hub on 127.0.0.1, for tests: `with LoopbackHub({"owner/name": {"config.json": b"{}"}}) as hub: ... hub.endpoint`.

It speaks the file API as huggingface_hub uses it, over real sockets. Small files come from the Hub itself; for large
ones (by their suffix, as `.gitattributes` would have it) it redirects to a second address, as the real Hub does to its
storage. Every request is recorded, and single paths can be made to misbehave. Who shows the token `writer` may make
repositories and commit to them; large files go to the second address first.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

LARGE = (".bin", ".h5", ".msgpack", ".parquet", ".safetensors")
API = re.compile(r"/api/(models|datasets)/(?P<name>[^/]+(?:/(?!revision/|tree/)[^/]+)?)(?:/(revision|tree)/([^/]+))?")
RESOLVE = re.compile(r"/(datasets/)?(?P<name>[^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.+)")
LONGEST_SECONDS = 30.0

Files = Mapping[str, bytes]


@dataclass
class Request:
    method: str
    path: str
    query: str
    range: str | None
    token: str | None
    to_storage: bool  # the second address, which must never see a token
    status: int = 0
    sent: int = 0  # bytes of a file's content


@dataclass
class Trouble:
    kind: Literal["cut", "reset", "error", "slow", "replace"]
    times: int
    value: Any

    def take(self) -> bool:
        self.times -= 1
        return self.times >= 0


@dataclass
class LoopbackHub:
    models: dict[str, Files] = field(default_factory=dict)
    datasets: dict[str, Files] = field(default_factory=dict)
    page_size: int = 1000
    requests: list[Request] = field(default_factory=list)
    troubles: dict[str, list[Trouble]] = field(default_factory=dict)
    gates: dict[str, str | None] = field(default_factory=dict)
    writer: str | None = None  # the token that may write
    stored: dict[str, bytes] = field(default_factory=dict)  # large files that were sent, by their hash
    commits: dict[str, dict[str, Files]] = field(default_factory=dict)  # all that were seen, by `models/owner/name`

    def __enter__(self) -> Self:
        self.closing = threading.Event()
        self.servers = [_start(self, to_storage=False), _start(self, to_storage=True)]
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    # What a test can do to a path: a file of any repository, or an address such as `/api/models/owner/name`.

    def cut(self, path: str, *, after: int, times: int = 1) -> None:
        """Close the connection when the body's byte number `after`, counted from the start of the file, was sent."""
        self._add(path, Trouble("cut", times, after))

    def reset(self, path: str, *, after: int, times: int = 1) -> None:
        """The same, but rudely: the peer sees `connection reset`."""
        self._add(path, Trouble("reset", times, after))

    def fail(self, path: str, *, times: int = 1, status: int = 500, method: str | None = None) -> None:
        self._add(path, Trouble("error", times, (status, method)))

    def slow(self, path: str, *, seconds: float, times: int = 1) -> None:
        self._add(path, Trouble("slow", times, seconds))

    def send_instead(self, path: str, content: bytes, *, times: int = 1) -> None:
        """Send other bytes of the same length, under the hash of the right ones."""
        self._add(path, Trouble("replace", times, content))

    def gate(self, repository: str, *, token: str | None = None) -> None:
        """Let nobody in, or only who shows this token."""
        self.gates[repository] = token

    # What a test can ask.

    def commit(self, repository: str, kind: Literal["model", "dataset"] = "model") -> str:
        return _commit((self.models if kind == "model" else self.datasets)[repository])

    def sent(self) -> int:
        """Bytes of file content that went over the wire."""
        return sum(request.sent for request in self.requests)

    def asked(self, method: str, path: str) -> list[Request]:
        return [request for request in self.requests if request.method == method and path in request.path]

    def _add(self, path: str, trouble: Trouble) -> None:
        self.troubles.setdefault(path, []).append(trouble)

    def _trouble(self, kind: str, path: str, method: str = "") -> Any:
        """The value of the next trouble of this kind that lies on the path, or None."""
        for known, troubles in self.troubles.items():
            if path == known or path.endswith(f"/{known}"):
                for trouble in troubles:
                    meant = trouble.kind == kind and (kind != "error" or trouble.value[1] in (None, method))
                    if meant and trouble.take():
                        return trouble.value
        return None


def environment(hub: LoopbackHub | str, home: Path) -> dict[str, str]:
    """A whole environment for a process, or for `mock.patch.dict(os.environ, environment(...), clear=True)`.

    It knows this Hub alone: no proxy, no token, no offline switch, and caches below `home`.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy")
        and not name.startswith(("HF_", "HUGGING", "GPT2LAB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    }
    return kept | {
        "HF_ENDPOINT": hub if isinstance(hub, str) else hub.endpoint,
        "HF_HOME": str(home / "huggingface"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GPT2LAB_HOME": str(home / "gpt2lab"),
    }


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _commit(files: Files) -> str:
    return hashlib.sha1("".join(f"{path} {git_blob(files[path])}\n" for path in sorted(files)).encode()).hexdigest()


def _pointer(content: bytes) -> bytes:
    """What git holds in place of a large file."""
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()


def _tree_entry(path: str, content: bytes) -> dict[str, Any]:
    if not path.endswith(LARGE):
        return {"type": "file", "path": path, "size": len(content), "oid": git_blob(content)}
    pointer = _pointer(content)
    lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": len(pointer)}
    return {"type": "file", "path": path, "size": len(content), "oid": git_blob(pointer), "lfs": lfs}


def _tree(files: Files) -> list[dict[str, Any]]:
    folders = {parent.as_posix() for path in files for parent in Path(path).parents} - {"."}
    listed = [{"type": "directory", "path": folder, "size": 0, "oid": "0" * 40} for folder in sorted(folders)]
    return listed + [_tree_entry(path, content) for path, content in files.items()]


def _information(name: str, files: Files) -> dict[str, Any]:
    siblings = [{"rfilename": path} for path in sorted(files)]
    for sibling, path in zip(siblings, sorted(files)):
        entry = _tree_entry(path, files[path])
        sibling |= {"size": entry["size"], "blobId": entry["oid"]}
        if "lfs" in entry:
            sibling |= {"lfs": {**entry["lfs"], "sha256": entry["lfs"]["oid"]}}
    known = {"_id": "0", "id": name, "modelId": name, "private": False, "gated": False, "disabled": False}
    return {**known, "tags": [], "downloads": 0, "likes": 0, "sha": _commit(files), "siblings": siblings}


def _start(hub: LoopbackHub, *, to_storage: bool) -> ThreadingHTTPServer:
    class Bound(_Handler):
        pass

    Bound.hub, Bound.to_storage = hub, to_storage
    server = _Server(("127.0.0.1", 0), Bound)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that hangs up is part of the game
            super().handle_error(request, client_address)  # pyrefly: ignore


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    to_storage: bool
    protocol_version = "HTTP/1.1"
    timeout = LONGEST_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.serve()

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_PUT(self) -> None:
        self.serve()

    def serve(self) -> None:
        address = urlsplit(self.path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        path = unquote(address.path)
        asked = self.headers.get("Range")
        self.request_ = Request(self.command, path, address.query, asked, token, self.to_storage)
        self.hub.requests.append(self.request_)
        self.body = self.received()
        if (seconds := self.hub._trouble("slow", path)) is not None:
            self.hub.closing.wait(min(seconds, LONGEST_SECONDS))
        if error := self.hub._trouble("error", path, self.command):
            self.answer(error[0], {}, b"out of order")
        elif self.command in ("POST", "PUT"):
            self.take(path)
        elif self.to_storage:
            self.serve_storage(path)
        elif match := API.fullmatch(address.path):
            self.serve_api(*match.groups(), query=parse_qs(address.query))
        elif match := RESOLVE.fullmatch(address.path):
            self.serve_file(*(part and unquote(part) for part in match.groups()))
        else:
            self.refuse(404, "", "no such page")

    def received(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def take(self, path: str) -> None:
        """Uploads: a large file to storage, whose address is the permission; else steps of a commit, by the writer."""
        if self.to_storage:
            oid = path.rpartition("/")[2]
            right = hashlib.sha256(self.body).hexdigest() == oid
            self.hub.stored |= {oid: self.body} if right else {}
            self.answer(200 if right else 400, {}, b"")
        elif self.hub.writer is None or self.request_.token != self.hub.writer:
            self.refuse(403 if self.request_.token else 401, "", "You may not write here")
        elif path == "/api/validate-yaml":
            self.answer_json(200, {}, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self.make_repository(json.loads(self.body))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path):
            self.take_commit(*match.groups())
        elif path.endswith(".git/info/lfs/objects/batch"):
            self.answer_json(200, {}, {"transfer": "basic", "objects": self.places_for(json.loads(self.body))})
        else:
            self.refuse(404, "", "no such page")

    def make_repository(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        known = name in self.hub.models
        self.hub.models.setdefault(name, {})
        self.answer_json(409 if known else 200, {}, {"url": f"{self.hub.endpoint}/{name}", "name": name})

    def places_for(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """A file that is there already needs no sending."""
        missing = [file for file in asked["objects"] if file["oid"] not in self.hub.stored]
        actions = {file["oid"]: {"upload": {"href": f"{self.hub.storage}/{file['oid']}"}} for file in missing}
        return [
            {**file, **({"actions": actions[file["oid"]]} if file["oid"] in actions else {})}
            for file in asked["objects"]
        ]

    def take_commit(self, name: str, what: str) -> None:
        if name not in self.hub.models:
            self.refuse(404, "RepoNotFound", "Repository not found")
        elif what == "preupload":
            paths = [file["path"] for file in json.loads(self.body)["files"]]
            modes = [
                {"path": path, "uploadMode": "lfs" if path.endswith(LARGE) else "regular", "shouldIgnore": False}
                for path in paths
            ]
            self.answer_json(200, {}, {"files": modes})
        else:
            given = [json.loads(line) for line in self.body.splitlines()]
            small = {e["value"]["path"]: base64.b64decode(e["value"]["content"]) for e in given if e["key"] == "file"}
            large = {e["value"]["path"]: self.hub.stored[e["value"]["oid"]] for e in given if e["key"] == "lfsFile"}
            self.hub.models[name] = {**self.hub.models[name], **small, **large}
            commit = _commit(self.hub.models[name])
            url = f"{self.hub.endpoint}/{name}/commit/{commit}"
            self.answer_json(200, {}, {"commitUrl": url, "commitOid": commit})

    def files_of(self, kind: str, name: str, revision: str) -> Files | None:
        """What the repository holds at that revision, for whom its gate lets in; all others are answered here."""
        files = (self.hub.datasets if kind == "datasets" else self.hub.models).get(name)
        if files is None:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        if name in self.hub.gates and (self.hub.gates[name] is None or self.hub.gates[name] != self.request_.token):
            return self.refuse(403 if self.request_.token else 401, "GatedRepo", f"Access to {name} is restricted")
        commits = self.hub.commits.setdefault(f"{kind}/{name}", {})
        commits[_commit(files)] = files
        if revision != "main" and revision not in commits:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commits.get(revision, files)

    def serve_api(
        self, kind: str, name: str, what: str | None, revision: str | None, *, query: dict[str, list[str]]
    ) -> None:
        files = self.files_of(kind, unquote(name), unquote(revision or "main"))
        if files is None:
            return
        if what == "tree":
            entries = _tree(files)
            start = int(query.get("cursor", ["0"])[0])
            end = start + self.hub.page_size
            following = f"{self.hub.endpoint}{urlsplit(self.path).path}?recursive=true&cursor={end}"
            more = {"Link": f'<{following}>; rel="next"'} if end < len(entries) else {}
            self.answer_json(200, more, entries[start:end])
        else:
            self.answer_json(200, {}, _information(unquote(name), files))

    def serve_file(self, datasets: str | None, name: str, revision: str, path: str) -> None:
        kind = "datasets" if datasets else "models"
        files = self.files_of(kind, name, revision)
        if files is None:
            return
        commit = {"X-Repo-Commit": _commit(files)}
        if path not in files:
            self.refuse(404, "EntryNotFound", "Entry not found", commit)
        elif path.endswith(LARGE):
            content = files[path]
            linked = {"X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content))}
            location = f"{self.hub.storage}/{kind}/{name}/{_commit(files)}/{quote(path)}"
            self.answer(302, {**commit, **linked, "Location": location}, b"")
        else:
            self.send_file(path, files[path], {**commit, "ETag": f'"{git_blob(files[path])}"'})

    def serve_storage(self, address: str) -> None:
        repository, commit, path = re.split(r"/([0-9a-f]{40})/", address.lstrip("/"), maxsplit=1)
        content = self.hub.commits[repository][commit].get(path)
        if content is None:
            self.answer(404, {}, b"")
        else:
            self.send_file(path, content, {"ETag": f'"{hashlib.md5(content).hexdigest()}"'})

    def send_file(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        start, end = 0, len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.request_.range or "")
        if asked:
            start, end = int(asked[1]), min(int(asked[2]) + 1, end) if asked[2] else end
            if start >= len(content):
                self.answer(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
                return
            headers = headers | {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
        if self.command == "GET" and (other := self.hub._trouble("replace", path)) is not None:
            content = other
        self.answer(206 if asked else 200, headers, content[start:end], path=path, start=start)

    def answer_json(self, status: int, headers: dict[str, str], content: object) -> None:
        self.answer(status, {**headers, "Content-Type": "application/json"}, json.dumps(content).encode())

    def refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        named = {**(headers or {}), "X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.answer_json(status, named, {"error": message})

    def answer(
        self, status: int, headers: dict[str, str], body: bytes, *, path: str | None = None, start: int = 0
    ) -> None:
        self.request_.status = status
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.hub._trouble("cut", path) if path else None
        reset = self.hub._trouble("reset", path) if path and cut is None else None
        last = cut if cut is not None else reset
        kept = body if last is None else body[: max(last - start, 0)]
        self.wfile.write(kept)
        if path:
            self.request_.sent += len(kept)
        if last is not None:
            self.close_connection = True
        if reset is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket(fileno=self.connection.detach()).close()
