"""A preparation that dies anywhere and is run again gives the bytes of one that did not, for any number of workers."""

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from faults.deaths import KINDS, dies_at
from gpt2lab.text import sources
from gpt2lab.text.prepare import prepare
from gpt2lab.text.settings import PrepareSettings
from vocabularies import SAMPLE, small

SETTINGS = PrepareSettings(shard_tokens=3000, validation=0.1, test=0.1, deduplicate=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    place = tmp_path_factory.mktemp("source")
    small().save(_made(place / "tokenizer"))
    rows = [{"text": f"{number} {SAMPLE[number % 900 :][:150]}"} for number in range(300)] + [{"text": None}] * 3
    (place / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:200]))
    (place / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[150:]) + "not json\n")
    return place


def _made(folder):
    folder.mkdir()
    return folder


def content(folder):
    """Every file of a corpus, by its hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def make(source, out, workers=1):
    return prepare(str(source / "*.jsonl"), out, str(source / "tokenizer"), SETTINGS, workers=workers)


@pytest.fixture(scope="module", autouse=True)
def small_pieces():
    before, sources.PIECE_BYTES = sources.PIECE_BYTES, 20_000
    yield
    sources.PIECE_BYTES = before


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("expected") / "corpus"
    made = make(source, out)
    assert made.manifest["left_out"]["the same text came before"]["count"] == 50
    assert len(made.manifest["splits"]["train"]["shards"]) > 3
    return content(out)


@pytest.mark.parametrize("kind", KINDS)
def test_it_survives_a_death_at_every_open_write_fsync_and_rename(source, expected, tmp_path, kind):
    """Each death is one more than the last; what stands after it is continued, never trusted blindly."""
    number = 0
    while True:
        number += 1
        out = tmp_path / str(number) / "corpus"
        died = dies_at(kind, number, lambda out=out: make(source, out))
        if out.exists():
            assert content(out) == expected
        if not died:
            break
        make(source, out)
        assert content(out) == expected
        assert [entry.name for entry in out.parent.iterdir()] == ["corpus"]
        shutil.rmtree(tmp_path / str(number))
    assert number > 10


def test_any_number_of_workers_gives_the_same_bytes(source, expected, tmp_path):
    make(source, tmp_path / "corpus", workers=3)
    assert content(tmp_path / "corpus") == expected


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_random_moment_with_workers_at_work_nothing_is_left_and_it_continues(
    source, expected, tmp_path, seed
):
    code = f"""
from pathlib import Path
from gpt2lab.text import sources
from gpt2lab.text.prepare import prepare
from gpt2lab.text.settings import PrepareSettings
sources.PIECE_BYTES = 20_000
if __name__ == "__main__":
    prepare({str(source / "*.jsonl")!r}, Path({str(tmp_path / "corpus")!r}), {str(source / "tokenizer")!r},
            PrepareSettings(**{SETTINGS.as_dict()!r}), workers=2)
"""
    (tmp_path / "work.py").write_text(code)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "work.py"], start_new_session=True, stderr=subprocess.DEVNULL
    )
    time.sleep(random.Random(seed).uniform(0.2, 3.0))
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(process.pid), "workers outlived the parent that was killed"
    make(source, tmp_path / "corpus")
    assert content(tmp_path / "corpus") == expected


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_state(pid) not in ("Z", "") for pid in _members(group))


def _members(group: int) -> list[int]:
    found = subprocess.run(["ps", "-eo", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in found.splitlines() if int(line.split()[1]) == group]


def _state(pid: int) -> str:
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout[:1]


def test_a_stop_by_the_user_leaves_what_is_done_and_says_how_to_go_on(source, expected, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "gpt2lab", "prepare", str(source / "*.jsonl"), "--out", tmp_path / "corpus",
         "--tokenizer", source / "tokenizer", "--workers", "2"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / ".corpus.preparing").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    done = (tmp_path / "corpus").exists()
    assert process.returncode == 130 or done, err  # a signal in the interpreter's last moment is nobody's
    assert "Traceback" not in err


def test_a_full_disk_is_said_and_the_same_command_continues(source, expected, tmp_path, capsys):
    """The n-th write finds no space; once there is some, nothing that was done is done again or lost."""
    from command_line import gpt2lab
    from gpt2lab.core import files

    writes = 0

    def no_space(kind, path):
        nonlocal writes
        writes += kind == "write"
        if writes == 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    line = ["prepare", str(source / "*.jsonl"), "--out", tmp_path / "corpus", "--tokenizer", source / "tokenizer"]
    line += ["--workers", 1, *(f"prepare.{key}={value}" for key, value in SETTINGS.as_dict().items())]
    before, files.operation = files.operation, no_space
    try:
        assert gpt2lab(*line) == 2
    finally:
        files.operation = before
    printed = capsys.readouterr().err
    assert "No space left on device" in printed
    assert "free some space" in printed
    assert gpt2lab(*line) == 0
    assert "continuing" in capsys.readouterr().out
    assert content(tmp_path / "corpus") == expected
