"""The Hub client against a Hub on this machine, over real sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import huggingface_hub
import pytest
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http
from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter

import loopback_hub
from gpt2lab.core import console, files, hub, hub_source
from gpt2lab.core.errors import UserError
from loopback_hub import LoopbackHub, environment, git_blob

WEIGHTS = random.Random(0).randbytes(300_000)
CONFIG = b'{"n_layer": 2}\n'
MODEL = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "onnx/notes.txt": b"not asked for"}
DATASET = {"README.md": b"# words", **{f"data/train-{i:05}.parquet": bytes([i]) * 1000 for i in range(5)}}
WANTED = ["*.json", "*.safetensors"]
NAME = "owner/tiny-gpt2"


@pytest.fixture
def server() -> Iterator[LoopbackHub]:
    with LoopbackHub({NAME: MODEL, "gpt2": MODEL}, {"owner/words": DATASET}) as running:
        yield running


@pytest.fixture(autouse=True)
def home(server: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process as if it had just been started by a user who knows only that Hub, and whose clock is fast."""
    monkeypatch.setattr(hub, "SECONDS_BEFORE_RETRIES", (0.0, 0.0, 0.0))
    for module in (file_download, _http):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "not the user's own"))
    console.configure("normal")
    huggingface_hub.close_session()
    with mock.patch.dict(os.environ, environment(server, tmp_path), clear=True):
        yield tmp_path
    huggingface_hub.close_session()


def failure(action: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        action()
    assert caught.value.cause and caught.value.place and caught.value.way_out
    return caught.value


def stop(server: LoopbackHub) -> None:
    server.__exit__()
    huggingface_hub.close_session()


def test_what_matches_arrives_whole_in_the_usual_cache_and_nothing_else_does(server: LoopbackHub, home: Path) -> None:
    folder = hub.fetch(NAME, WANTED)
    assert folder == home / "huggingface/hub/models--owner--tiny-gpt2/snapshots" / server.commit(NAME)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "config.json": CONFIG,
        "model.safetensors": WEIGHTS,
    }
    assert server.sent() == len(CONFIG) + len(WEIGHTS)


def test_a_name_without_an_owner_works(server: LoopbackHub) -> None:
    assert (hub.fetch("gpt2", ["config.json"]) / "config.json").read_bytes() == CONFIG


def test_the_second_call_asks_only_which_commit_it_is_and_hashes_nothing(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub.fetch(NAME, WANTED)
    asked, sent = len(server.requests), server.sent()
    monkeypatch.delattr(files, "sha256")
    monkeypatch.delattr(hub, "_git_blob")
    assert hub.fetch(NAME, WANTED) == first
    assert [request.path for request in server.requests[asked:]] == [f"/api/models/{NAME}/revision/main"]
    assert server.sent() == sent


def test_a_commit_that_is_known_needs_no_request(server: LoopbackHub) -> None:
    first = hub.fetch(NAME, WANTED)
    asked = len(server.requests)
    assert hub.fetch(NAME, WANTED, revision=server.commit(NAME)) == first
    assert len(server.requests) == asked


def test_a_new_commit_is_seen_and_only_what_changed_is_transferred(server: LoopbackHub) -> None:
    hub.fetch(NAME, WANTED)
    sent = server.sent()
    server.models[NAME] = {**MODEL, "config.json": b"{}"}
    folder = hub.fetch(NAME, WANTED)
    assert folder.name == server.commit(NAME)
    assert (folder / "config.json").read_bytes() == b"{}"
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert server.sent() == sent + 2


def test_a_repository_that_changes_while_it_is_fetched_gives_one_commit(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, listing = server.commit(NAME), hub._listing

    def then_it_changes(*arguments: Any) -> list[hub.RemoteFile]:
        found = listing(*arguments)
        server.models[NAME] = {"config.json": b"{}", "model.safetensors": b"new"}
        return found

    monkeypatch.setattr(hub, "_listing", then_it_changes)
    folder = hub.fetch(NAME, WANTED)
    assert (folder.name, (folder / "model.safetensors").read_bytes()) == (first, WEIGHTS)
    assert hub.fetch(NAME, WANTED).name == server.commit(NAME) != first
    assert hub.fetch(NAME, WANTED, revision=first) == folder


def test_a_single_file_arrives_by_its_exact_name(server: LoopbackHub) -> None:
    server.datasets["owner/words"] = {"data/[a]*.txt": b"odd", "data/aXX.txt": b"other"}
    path = hub.fetch_file("owner/words", "data/[a]*.txt", kind="dataset")
    assert path.read_bytes() == b"odd"
    assert server.sent() == 3


def test_a_data_set_is_not_a_model(server: LoopbackHub) -> None:
    folder = hub.fetch("owner/words", ["data/*.parquet"], kind="dataset")
    assert [path.name for path in sorted((folder / "data").iterdir())] == [f"train-{i:05}.parquet" for i in range(5)]
    assert "this model repository does not exist" in failure(lambda: hub.fetch("owner/words", ["*"])).cause
    missing = failure(lambda: hub.fetch_file("owner/words", "test.parquet", kind="dataset"))
    assert missing.place == f"{server.endpoint}/datasets/owner/words at main"


def test_the_list_of_files_is_sorted_complete_and_knows_sizes_and_hashes(server: LoopbackHub) -> None:
    server.page_size = 2
    server.datasets["owner/words"] = dict(reversed(DATASET.items()))
    listed = hub.list_files("owner/words", kind="dataset")
    assert [(file.path, file.size) for file in listed] == [(path, len(DATASET[path])) for path in sorted(DATASET)]
    assert listed[0] == hub.RemoteFile("README.md", 7, None, git_blob(b"# words"))
    assert all(file.sha256 for file in listed[1:])
    assert len(server.asked("GET", "/tree/")) == 4
    assert server.sent() == 0


def test_a_cut_connection_is_resumed_where_it_broke(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library forgets the piece that it was reading, ten megabytes by default: a poor line never gets further."""
    monkeypatch.setattr(hub_source, "PIECE", 10_000)
    server.cut("model.safetensors", after=100_000)
    server.cut("model.safetensors", after=250_000)
    folder = hub.fetch(NAME, WANTED)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [request.range for request in server.asked("GET", "model.safetensors")]
    assert ranges == [None, "bytes=100000-", "bytes=250000-"]
    assert server.sent() == len(CONFIG) + len(WEIGHTS)


def test_a_reset_connection_is_tried_again(server: LoopbackHub) -> None:
    server.reset("model.safetensors", after=100_000, times=2)
    assert (hub.fetch(NAME, WANTED) / "model.safetensors").read_bytes() == WEIGHTS


def test_progress_ends_at_the_size_also_when_bytes_were_sent_twice(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_source, "PIECE", 10_000)
    shown = []
    bar = SimpleNamespace(advance=lambda amount, note: shown.append(amount))
    monkeypatch.setattr(console, "progress", lambda what, total, unit: contextlib.nullcontext(bar))
    server.reset("model.safetensors", after=290_000)
    server.cut("model.safetensors", after=100_000)
    hub.fetch(NAME, WANTED)
    assert sum(shown) == (len(CONFIG) + len(WEIGHTS)) / 1024
    assert len(shown) > 30


def test_progress_of_the_fast_transfer_counts_what_is_written_and_not_also_what_is_received() -> None:
    """The real Hub serves large files over Xet, which this machine cannot; it reports both numbers."""
    shown: list[float] = []
    bar = SimpleNamespace(advance=lambda amount, note: shown.append(amount))
    settings = {"reconstruction_desc": "", "total": 4096, "log_level": 0, "tqdm_class": hub._shown_by(bar, 1024, "a")}
    with XetDownloadProgressReporter(**settings) as reporter:
        for received, written in ((3000, 1024), (3500, 4096)):
            progress = {"total_transfer_bytes_completed": received, "total_bytes_completed": written}
            rates = {"total_bytes_completion_rate": 1.0, "total_transfer_bytes_completion_rate": 1.0}
            reporter.update_progress(SimpleNamespace(**progress, **rates, total_bytes=4096))
    assert shown == [1.0, 3.0]


def test_a_connection_that_stays_cut_is_given_up_with_a_way_out_and_leaves_no_half_file(
    server: LoopbackHub, home: Path
) -> None:
    server.cut("model.safetensors", after=100_000, times=20)
    error = failure(lambda: hub.fetch(NAME, WANTED))
    assert "the connection to the Hub failed" in error.cause
    assert error.place == f"{server.endpoint}/{NAME}/model.safetensors"
    assert not list(home.rglob("*.incomplete"))
    server.troubles.clear()
    sent = server.sent()
    assert (hub.fetch(NAME, WANTED) / "model.safetensors").read_bytes() == WEIGHTS
    assert server.sent() == sent + len(WEIGHTS)  # the other file was whole and stayed


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (f"/api/models/{NAME}/revision/main", "GET"),
        ("model.safetensors", "HEAD"),
        ("model.safetensors", "GET"),
        ("config.json", "GET"),
    ],
)
def test_a_server_that_recovers_is_waited_for(server: LoopbackHub, path: str, method: str) -> None:
    server.fail(path, times=3, method=method)
    assert (hub.fetch(NAME, WANTED) / "model.safetensors").read_bytes() == WEIGHTS
    assert sum(request.status == 500 for request in server.requests) == 3


@pytest.mark.parametrize("path", [f"/api/models/{NAME}/revision/main", "model.safetensors"])
def test_a_server_that_does_not_recover_is_named_with_its_answer(server: LoopbackHub, path: str) -> None:
    server.fail(path, times=1000, status=503)
    error = failure(lambda: hub.fetch(NAME, WANTED))
    assert "HTTP 503" in error.cause
    assert len(server.requests) < 50


@pytest.mark.parametrize(
    ("name", "patterns", "revision", "cause"),
    [
        ("owner/other", ["*"], None, "this model repository does not exist, or is private"),
        (NAME, ["config.jsn"], None, "no such file: config.jsn"),
        (NAME, ["*.pt", "*.h5"], None, "no such file: *.pt or *.h5"),
        (NAME, ["*"], "v2", "it has no revision v2"),
        (NAME, ["*"], "0" * 40, f"it has no revision {'0' * 40}"),
        ("owner/../other", ["*"], None, "not the name of a repository"),
        ("https://host/name", ["*"], None, "not the name of a repository"),
    ],
)
def test_what_does_not_exist_is_named(
    server: LoopbackHub, name: str, patterns: list[str], revision: str | None, cause: str
) -> None:
    error = failure(lambda: hub.fetch(name, patterns, revision=revision))
    assert error.cause == cause
    assert name in (error.place or "")
    assert server.sent() == 0


@pytest.mark.parametrize("revision", ["../../../outside", "/outside"])
def test_a_revision_that_is_a_path_is_refused(revision: str) -> None:
    assert failure(lambda: hub.fetch(NAME, WANTED, revision=revision)).cause == "not the name of a revision"


def test_a_page_that_is_no_hub_is_told_as_such(server: LoopbackHub) -> None:
    server.fail(f"/api/models/{NAME}/revision/main", status=200)
    error = failure(lambda: hub.fetch(NAME, WANTED))
    assert "does not answer like a Hub" in error.cause and "HF_ENDPOINT" in (error.way_out or "")


def test_a_file_that_does_not_exist_is_named_with_those_that_do(server: LoopbackHub) -> None:
    error = failure(lambda: hub.fetch_file(NAME, "vocab.json", kind="model"))
    assert error.cause == "no such file: vocab.json"
    assert "config.json, model.safetensors" in (error.way_out or "")


def test_no_network_is_said_at_once_with_the_address(server: LoopbackHub) -> None:
    stop(server)
    start = time.monotonic()
    error = failure(lambda: hub.fetch(NAME, WANTED))
    assert "the connection to the Hub failed" in error.cause and "refused" in error.cause
    assert error.place == f"{server.endpoint}/{NAME}"
    assert time.monotonic() - start < 3


def test_a_hub_that_does_not_answer_is_not_waited_for_for_ever(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    server.slow(f"/api/models/{NAME}/tree/{server.commit(NAME)}", seconds=20)
    start = time.monotonic()
    assert "the connection to the Hub failed" in failure(lambda: hub.fetch(NAME, WANTED)).cause
    assert time.monotonic() - start < 5


def test_without_network_the_cache_is_used_and_it_is_said_once(
    server: LoopbackHub, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = hub.fetch(NAME, WANTED)
    stop(server)
    capsys.readouterr()
    assert hub.fetch(NAME, WANTED) == hub.fetch(NAME, WANTED) == folder
    said = capsys.readouterr()
    assert (said.out + said.err).count(f"using what the cache has of {NAME}") == 1


def test_without_network_a_file_that_is_not_in_the_cache_is_named(server: LoopbackHub) -> None:
    hub.fetch(NAME, ["config.json"])
    stop(server)
    assert "model.safetensors" in failure(lambda: hub.fetch(NAME, WANTED)).cause


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_wrong_bytes_are_named_and_removed_and_the_next_call_repairs_them(
    server: LoopbackHub, home: Path, path: str
) -> None:
    wrong = bytes(reversed(MODEL[path]))
    server.send_instead(path, wrong)
    error = failure(lambda: hub.fetch(NAME, WANTED))
    listed = next(file for file in hub.list_files(NAME, kind="model") if file.path == path)
    assert f"wrong bytes: the hash of {path} should be {listed.sha256 or listed.git_blob} and is " in error.cause
    assert error.place == f"{server.endpoint}/{NAME}/{path}"
    assert all(found.read_bytes() != wrong for found in home.rglob("*") if found.is_file())
    assert (hub.fetch(NAME, WANTED) / path).read_bytes() == MODEL[path]


def test_a_file_that_changed_in_the_cache_is_found_out_and_repaired(server: LoopbackHub) -> None:
    weights = hub.fetch(NAME, WANTED) / "model.safetensors"
    weights.write_bytes(b"x" + WEIGHTS[1:])
    assert "wrong bytes" in failure(lambda: hub.fetch(NAME, WANTED)).cause
    assert (hub.fetch(NAME, WANTED) / "model.safetensors").read_bytes() == WEIGHTS


def test_wrong_bytes_are_removed_where_the_cache_holds_copies_in_place_of_links(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    server.send_instead("model.safetensors", WEIGHTS[::-1])
    assert "wrong bytes" in failure(lambda: hub.fetch(NAME, WANTED)).cause
    weights = hub.fetch(NAME, WANTED) / "model.safetensors"
    assert not weights.is_symlink()
    assert weights.read_bytes() == WEIGHTS


def test_a_damaged_blob_is_removed_too_when_only_a_copy_of_it_was_looked_at(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = hub.fetch(NAME, WANTED) / "model.safetensors"
    weights.write_bytes(WEIGHTS[::-1])
    weights.unlink()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    assert "wrong bytes" in failure(lambda: hub.fetch(NAME, WANTED)).cause
    assert (hub.fetch(NAME, WANTED) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_a_person_linked_into_the_cache_is_not_removed_with_its_link(
    server: LoopbackHub, tmp_path: Path
) -> None:
    weights = hub.fetch(NAME, WANTED) / "model.safetensors"
    mine = tmp_path / "my.safetensors"
    mine.write_bytes(b"my own training")
    weights.unlink()
    weights.symlink_to(mine)
    assert "wrong bytes" in failure(lambda: hub.fetch(NAME, WANTED)).cause
    assert mine.read_bytes() == b"my own training"
    assert (hub.fetch(NAME, WANTED) / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("switch", ["GPT2LAB_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_the_cache_is_enough_and_nobody_is_asked(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    folder = hub.fetch(NAME, WANTED)
    monkeypatch.setenv(switch, "1")
    asked = len(server.requests)
    assert hub.fetch(NAME, WANTED) == hub.fetch(NAME, WANTED, revision=folder.name) == folder
    assert hub.fetch_file(NAME, "config.json", kind="model").read_bytes() == CONFIG
    assert [file.path for file in hub.list_files(NAME, kind="model")] == sorted(MODEL)
    missing = failure(lambda: hub.fetch(NAME, ["*"]))
    assert "not in the cache: onnx/notes.txt" in missing.cause and switch in (missing.way_out or "")
    never_seen = failure(lambda: hub.fetch("owner/other", ["*"]))
    assert never_seen.cause == "offline, and not in the cache"
    assert len(server.requests) == asked


def test_offline_a_cache_that_another_tool_filled_is_used_and_checked(
    server: LoopbackHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = home / "huggingface/hub"
    theirs = huggingface_hub.snapshot_download(NAME, endpoint=server.endpoint, cache_dir=cache)
    monkeypatch.setenv("GPT2LAB_OFFLINE", "1")
    assert str(hub.fetch(NAME, WANTED)) == theirs
    shutil.rmtree(home / "gpt2lab")
    (Path(theirs) / "config.json").write_bytes(b"damaged")
    assert "wrong bytes: the hash of config.json" in failure(lambda: hub.fetch(NAME, WANTED)).cause


def test_other_tools_find_offline_what_we_fetched(server: LoopbackHub, home: Path) -> None:
    folder = hub.fetch(NAME, WANTED)
    stop(server)
    found = huggingface_hub.snapshot_download(NAME, cache_dir=home / "huggingface/hub", local_files_only=True)
    assert found == str(folder)


def test_a_gate_is_named_with_the_way_in_and_opens_for_the_right_token(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.gate(NAME, token="hf_right")
    for token in ("", "hf_wrong"):
        monkeypatch.setenv("HF_TOKEN", token)
        error = failure(lambda: hub.fetch(NAME, WANTED))
        assert error.cause == "access to this repository must be granted first"
        assert "HF_TOKEN" in (error.way_out or "")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert (hub.fetch(NAME, WANTED) / "config.json").read_bytes() == CONFIG


@pytest.mark.parametrize("status", [401, 403])
def test_an_answer_that_denies_access_without_a_reason_is_told_as_such(server: LoopbackHub, status: int) -> None:
    server.fail(f"/api/models/{NAME}/revision/main", status=status, times=9)
    assert failure(lambda: hub.fetch(NAME, WANTED)).cause == f"access denied (HTTP {status})"


@pytest.mark.parametrize(
    ("before_host", "sent"), [("", "hf_verysecret"), ("somebody:verysecret@", "Basic c29tZWJvZHk6dmVyeXNlY3JldA==")]
)
def test_no_secret_reaches_the_screen_a_file_or_the_storage(
    server: LoopbackHub,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    before_host: str,
    sent: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint.replace("://", f"://{before_host}"))
    server.cut("model.safetensors", after=1000)
    hub.fetch(NAME, WANTED)
    failures = []
    for path, method in ((f"/api/models/{NAME}/revision/main", "GET"), ("onnx/notes.txt", "HEAD")):
        server.fail(path, times=1000, status=418, method=method)
        failures.append(failure(lambda: hub.fetch(NAME, ["*"])))
        server.troubles.clear()
    server.send_instead("onnx/notes.txt", b"no")
    failures += [
        failure(lambda: hub.fetch(NAME, ["*"])),
        failure(lambda: hub.fetch("owner/other", ["*"])),
        failure(lambda: hub.fetch(NAME, ["*"], revision="v2")),
    ]
    stop(server)
    hub.fetch(NAME, WANTED)
    failures.append(failure(lambda: hub.fetch("gpt2", ["*"])))
    said = capfd.readouterr()
    assert "verysecret" not in said.out + said.err + "".join(map(str, failures))
    assert all(b"verysecret" not in path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert {request.token for request in server.requests if not request.to_storage} == {sent}
    assert {request.token for request in server.requests if request.to_storage} == {None}


def test_a_disk_that_is_too_small_is_told_before_anything_is_transferred(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert failure(lambda: hub.fetch(NAME, WANTED)).cause == "the disk is too full: 300.0 kB to download, 1.0 kB free"
    assert server.sent() == 0


def test_a_disk_that_runs_full_is_told_as_such(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(file_download, "http_get", full)
    assert failure(lambda: hub.fetch(NAME, WANTED)).cause == "the disk is full"


def test_a_cache_that_cannot_be_written_is_named(home: Path) -> None:
    (home / "huggingface").write_text("in the way")
    assert "huggingface" in (failure(lambda: hub.fetch(NAME, WANTED)).place or "")


def test_a_path_that_leads_out_of_the_cache_is_refused(server: LoopbackHub, home: Path) -> None:
    mine = home / "mine.json"
    mine.write_text("mine")
    for path in ("../../../../../mine.json", str(mine)):
        server.models["owner/evil"] = {path: b"theirs", "config.json": CONFIG}
        with contextlib.suppress(UserError):
            hub.fetch("owner/evil", ["config.json"])  # were it to succeed, the path would lead to a file
        assert "mine.json" in failure(lambda: hub.fetch("owner/evil", WANTED)).cause
        assert mine.read_text() == "mine"


@pytest.mark.parametrize("oid", ["", "../../../../../mine.json"])
def test_a_hash_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, oid: str) -> None:
    """It would be a file that is never checked, or a path to remove."""
    monkeypatch.setattr(loopback_hub, "git_blob", lambda content: oid)
    assert "does not answer like a Hub" in failure(lambda: hub.fetch(NAME, ["config.json"])).cause


def test_what_was_finished_before_an_interruption_is_neither_fetched_nor_hashed_again(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files, "sha256", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hub.fetch(NAME, WANTED)
    sent = server.sent()
    monkeypatch.delattr(hub, "_git_blob")
    assert (hub.fetch(NAME, WANTED) / "config.json").read_bytes() == CONFIG
    assert server.sent() == sent


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt2", True),
        ("openai-community/gpt2-medium", True),
        ("owner/name_1.5", True),
        ("./gpt2", False),
        ("../gpt2", False),
        ("/models/gpt2", False),
        ("~/gpt2", False),
        ("owner/name/more", False),
        ("owner/", False),
        (".hidden", False),
        ("a--b", False),
        ("a..b", False),
        ("owner/name.git", False),
        ("C:\\models", False),
        ("https://huggingface.co/gpt2", False),
        ("", False),
        ("gpt2\n", False),
        ("runs/mine", False),
        ("here", False),
    ],
)
def test_names_of_repositories_are_told_from_paths(
    name: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/mine").mkdir(parents=True)
    (tmp_path / "here").touch()
    assert hub.looks_like_repository(name) is expected


def test_a_fresh_process_shows_our_progress_alone_and_asks_for_nothing_but_the_files(server: LoopbackHub) -> None:
    """The library's telemetry asks the endpoint for a page of its own, and its bars and warnings would garble ours."""
    server.cut("model.safetensors", after=1000)
    code = "import sys; from gpt2lab.core import hub; assert 'huggingface_hub' not in sys.modules;"
    code += f"hub.fetch({NAME!r}, ['*'])"
    known = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(rf"downloading {NAME}: 293 of 293 KiB, [0-9.,]+ KiB/s, onnx/notes.txt\n", done.stderr)
    assert all(
        request.path.startswith((f"/api/models/{NAME}/", f"/{NAME}/", "/models/")) for request in server.requests
    )
