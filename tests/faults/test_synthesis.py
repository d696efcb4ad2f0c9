"""Killed anywhere and started again: exactly the requested number of texts, and no answer is paid twice."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import openai  # noqa: F401 (before the forks, which then need not)
import pytest

from command_line import fresh
from faults.deaths import KINDS, dies_at
from gpt2lab.text.synthesis.journal import read
from gpt2lab.text.synthesis.synthesize import synthesize
from gpt2lab.text.synthesis.template import prompt
from loopback_chat import LoopbackChat, good, slow, status, text
from syntheses import recipe, recipe_file, rows

USED = recipe(requests={"concurrency": 2})


@pytest.fixture
def chat(monkeypatch):
    with LoopbackChat() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-tests")
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield server


def in_journal(path, used=USED):
    """How often each prompt is answered there."""
    answers = [record for record in read(path) if record["kind"] == "answer"]
    return Counter(prompt(used.prompt, record["number"]).user for record in answers)


def check_after_going_on(chat, journal, journalled, asked_before, used=USED):
    asked_now = Counter(seen.user for seen in chat.requests[asked_before:])
    assert not journalled.keys() & asked_now.keys(), "paid twice"
    assert set(in_journal(journal, used).values()) == {1}


@pytest.mark.parametrize("kind", KINDS)
def test_it_survives_a_death_at_every_open_write_fsync_and_rename(chat, tmp_path, kind):
    number = 0
    while True:
        number += 1
        out = tmp_path / str(number) / "p.jsonl"
        out.parent.mkdir()
        died = dies_at(kind, number, lambda out=out: synthesize(USED, out, 3))
        if out.exists():
            assert len(rows(out)) == 3
        journal = out.with_suffix(".journal")
        journalled, asked = in_journal(journal), len(chat.requests)
        summary = synthesize(USED, out, 3)
        assert [row["number"] for row in rows(out)] == [0, 1, 2]
        check_after_going_on(chat, journal, journalled, asked)
        bill = summary["bill"]
        assert bill["answers"] == 3
        assert bill["without_an_answer"] <= USED.requests.concurrency
        assert {path.name for path in out.parent.iterdir()} == {*("p.jsonl", "p.txt", "p.summary.json", "p.journal")}
        if not died:
            break
        chat.requests.clear()
    assert number > 3


@pytest.mark.parametrize("kind", ["write", "rename"])
def test_an_extension_survives_every_death_and_what_was_finished_stays_whole(chat, tmp_path, kind):
    number = 0
    while True:
        number += 1
        out = tmp_path / str(number) / "p.jsonl"
        out.parent.mkdir()
        synthesize(USED, out, 2)
        died = dies_at(kind, number, lambda out=out: synthesize(USED, out, 4, extend=True))
        assert len(rows(out)) in (2, 4)
        journalled, asked = in_journal(out.with_suffix(".journal")), len(chat.requests)
        synthesize(USED, out, 4, extend=True)
        assert len(rows(out)) == 4
        check_after_going_on(chat, out.with_suffix(".journal"), journalled, asked)
        if not died:
            break
        chat.requests.clear()
    assert number > 2


def start(file, out, count):
    line = [sys.executable, "-m", "gpt2lab", "synthesize", file, "--count", str(count), "--out", out]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ)


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_it_goes_on_until_all_are_there(chat, tmp_path, seed):
    used = recipe(requests={"concurrency": 6, "retries": 9, "timeout": 20})
    file, out, rng = (
        recipe_file(tmp_path / "r.yaml", requests=used.requests.as_dict()),
        tmp_path / "p.jsonl",
        random.Random(seed),
    )
    journal = out.with_suffix(".journal")

    def moody(handler, seen):
        rng.choice([good, slow(0.1), slow(0.05), status(500), text("<LOC>no</LOC>")])(handler, seen)

    chat.always = moody
    for _ in range(3):
        asked = len(chat.requests)
        process = start(file, out, 60)
        wait_for(lambda before=asked: len(chat.requests) > before + 3)
        time.sleep(rng.uniform(0, 0.4))
        process.kill()
        process.communicate()
    accepted = {
        prompt(used.prompt, record["number"]).user
        for record in read(journal)
        if record["kind"] == "answer" and len(record["text"]) > 50
    }
    chat.always, asked = good, len(chat.requests)
    summary = synthesize(used, out, 60)
    assert len(rows(out)) == 60
    assert not accepted & {seen.user for seen in chat.requests[asked:]}, "paid twice"
    assert accepted
    assert summary["bill"]["answers"] == sum(in_journal(journal, used).values())
    assert summary["bill"]["answers"] + summary["bill"]["without_an_answer"] >= len(chat.answered)


def test_ctrl_c_waits_for_what_is_paid_prints_the_command_and_exits_130(chat, tmp_path):
    file, out = recipe_file(tmp_path / "r.yaml", requests={"concurrency": 3}), tmp_path / "p.jsonl"
    chat.always = slow(0.7)
    process = start(file, out, 50)
    wait_for(lambda: len(chat.requests) >= 4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"next: gpt2lab synthesize {file} --count 50 --out {out}" in err
    assert "of 50 texts are written and kept" in err
    assert sum(in_journal(out.with_suffix(".journal")).values()) == len(chat.requests), (
        "an answer under way was dropped"
    )
    assert not out.exists()
    chat.always = good
    assert fresh("synthesize", file, "--count", 50, "--out", out).returncode == 0
    assert max(Counter(chat.answered).values()) == 1
    assert len(rows(out)) == 50


def test_a_second_ctrl_c_drops_what_is_under_way_and_counts_it_as_perhaps_paid(chat, tmp_path):
    file, out = recipe_file(tmp_path / "r.yaml", requests={"concurrency": 3, "timeout": 60}), tmp_path / "p.jsonl"
    chat.always = slow(25)
    process = start(file, out, 5)
    wait_for(lambda: len(chat.requests) == 3)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 15
    assert re.search("0 of 5 texts are written", err)
    chat.always = good
    summary = synthesize(recipe(requests={"concurrency": 3}), out, 5)
    assert summary["bill"]["without_an_answer"] == 3
    assert len(rows(out)) == 5
