"""Progress and messages: plain lines off a terminal, standard output clean for scripts."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress

from gpt2lab.core import console


@pytest.fixture(autouse=True)
def restore():
    yield
    console.configure("normal")


def test_with_json_standard_output_holds_only_the_result(capsys):
    console.configure("json")
    console.say("message")
    console.table("title", ("a",), [(1,)])
    console.next_command("gpt2lab run")
    with console.progress("work", 2, "items") as progress:
        progress.advance(2)
    console.result({"value": 1})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"value": 1}
    assert "message" in err
    assert "title" in err


def test_quiet_says_nothing_but_warnings(capsys):
    console.configure("quiet")
    console.say("message")
    console.table("title", ("a",), [(1,)])
    console.warn("careful")
    out, err = capsys.readouterr()
    assert out == ""
    assert "careful" in err


def test_off_a_terminal_progress_is_a_line_every_few_seconds(capsys, monkeypatch):
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))
    with console.progress("train", 10, "steps") as progress:
        for _ in range(10):
            progress.advance(1, "loss 3.2")
    printed = capsys.readouterr().err.splitlines()
    assert 3 <= len(printed) <= 8
    assert "of 10 steps" in printed[0]
    assert "left" in printed[0]
    assert "loss 3.2" in printed[0]
    assert printed[-1].startswith("train: 10 of 10 steps")


def test_what_was_done_before_is_counted_and_is_no_speed(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 10.0, 20.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.progress("prepare", 1020, "MB") as progress:
        progress.skip(1000)
        progress.advance(10)
    assert capsys.readouterr().err.startswith("prepare: 1,010 of 1,020 MB, 1.0 MB/s, 10 s left")


def test_in_a_terminal_too_what_was_done_before_is_no_speed():
    from rich.console import Console

    seconds = iter(range(0, 1000, 10))
    bar = Progress(console=Console(quiet=True), get_time=lambda: float(next(seconds)))
    shown = console._Bar(bar, bar.add_task("prepare", total=1020))
    shown.advance(5)
    shown.skip(1000)
    shown.advance(10)
    assert bar.tasks[0].completed == 1015
    assert bar.tasks[0].speed <= 1


def test_brackets_and_markup_in_messages_stay_as_they_are(capsys):
    """Console codes once turned :key: in a sample into a picture, and a path into an error."""
    console.say("pip install 'gpt2lab[fast]' [bold]x[/bold] :key: a:o:b")
    console.table("[title]", ("[a]", ""), [("/data/[/old]/x", "gpt2lab[fast] :x:")])
    printed = capsys.readouterr().out
    assert "gpt2lab[fast]' [bold]x[/bold] :key: a:o:b" in printed
    assert "/data/[/old]/x" in printed
    assert "gpt2lab[fast] :x:" in printed


def test_long_messages_are_not_broken_in_pipes(capsys):
    console.say("/a/very/long/path " * 30)
    assert capsys.readouterr().out.count("\n") == 1


def test_nor_are_paths_in_tables(capsys):
    console.table("", ("run", "state"), [("/a/very/long/path" * 30, "finished")])
    assert "/a/very/long/path" * 30 + "  finished" in capsys.readouterr().out


def test_nor_where_only_errors_go_to_a_terminal(capsys, monkeypatch):
    """As in `gpt2lab runs list | grep …`."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    test_nor_are_paths_in_tables(capsys)


def test_of_many_announcements_each_tells_what_sets_it_apart_from_the_one_before(capsys):
    """What happens in a training, and warnings, are told every time."""
    with console.one_after_another():
        for number in (1, 2, 1):
            with console.announcement("data"):
                console.say("data: news")
            with console.announcement("training"):
                console.say("model: small")
                console.warn("few texts")
                console.table("", ("rate",), [(number,)])
                console.table("", ("part",), [("all",)])
            console.say("stopped early")
    with console.announcement("training"):
        console.say("model: small")
    out, err = capsys.readouterr()
    assert [line.strip() for line in out.splitlines()] == [
        *("data: news", "model: small", "rate", "1", "part", "all", "stopped early"),
        *("rate", "2", "stopped early"),
        *("rate", "1", "stopped early"),
        "model: small",
    ]
    assert err.count("few texts") == 3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.25, "4.2 s"), (59, "59 s"), (95, "1 min 35 s"), (7300, "2 h 1 min"), (147_600, "41 h 0 min")],
)
def test_durations_read_well(seconds, text):
    assert console.duration(seconds) == text


def test_one_of_a_thing_is_not_several():
    assert [console.counted(n, "document") for n in (0, 1, 2000)] == ["0 documents", "1 document", "2,000 documents"]


def test_sizes_read_well():
    assert [console.size(n) for n in (12, 1500, 2.5e9)] == ["12 bytes", "1.5 kB", "2.5 GB"]


def test_in_a_terminal_progress_is_a_bar_with_rate_and_time_left(tmp_path):
    """Seen through a real pseudo-terminal: a bar, the rate, the time left, and the note."""
    import os
    import pty
    import sys

    script = tmp_path / "work.py"
    script.write_text(
        "import time\nfrom gpt2lab.core import console\n"
        "with console.progress('train', 20, 'steps') as progress:\n"
        "    for _ in range(20):\n        time.sleep(0.05)\n        progress.advance(1, 'loss 3.2')\n"
    )
    seen = b""

    def keep(descriptor: int) -> bytes:
        nonlocal seen
        data = os.read(descriptor, 4096)
        seen += data
        return b"."

    assert pty.spawn(["env", "COLUMNS=120", "TERM=xterm", sys.executable, str(script)], keep) == 0
    text = seen.decode("utf-8", "replace")
    assert "20/20" in text
    assert "steps/s" in text
    assert "0:00:0" in text
    assert "loss 3.2" in text


def test_in_a_notebook_progress_is_drawn_by_rich(monkeypatch):
    """Notebooks are no terminals, and plain lines every five seconds would fill their cells."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert console._errors().is_jupyter


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=300), st.integers(1, 80))
def test_a_sparkline_fits_and_shows_the_lowest_and_the_highest(values, width):
    known = [value for value in values if value is not None]
    drawn = console.sparkline(values, width)
    assert len(drawn) == min(width, len(known))
    if len(known) <= width and len(set(known)) > 1:
        assert drawn[known.index(min(known))] == "▁"
        assert drawn[known.index(max(known))] == "█"
