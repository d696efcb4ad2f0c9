"""Killed at the n-th open, write, fsync or rename, for every n: what stands there is the old or the new, whole."""

import contextlib
import shutil

import pytest

from faults.deaths import KINDS, every_death
from gpt2lab.core import files, lines, lock


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_the_old_or_the_new(tmp_path, kind):
    path = tmp_path / "file.json"
    files.write_json(path, {"text": "old"})

    def check():
        assert files.read_json(path) in ({"text": "old"}, {"text": "new"})

    deaths = every_death(kind, lambda: files.write_json(path, {"text": "new"}), check)
    assert deaths >= 1
    assert files.read_json(path) == {"text": "new"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_whole_or_absent_and_the_next_attempt_cleans_up(tmp_path, kind):
    path = tmp_path / "folder"

    def make():
        with files.new_folder(path) as beside:
            for name in ("a", "b", "inner/c"):
                files.write_text(beside / name, name)

    def check():
        if path.exists():
            assert (path / "inner" / "c").read_text() == "inner/c"
            shutil.rmtree(path)

    deaths = every_death(kind, make, check)
    assert deaths >= 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder"]
    assert [(path / name).read_text() for name in ("a", "b", "inner/c")] == ["a", "b", "inner/c"]


@pytest.mark.parametrize("kind", ["open", "write", "fsync"])
def test_lines_before_the_death_are_all_there(tmp_path, kind):
    path = tmp_path / "a.jsonl"

    def append():
        path.unlink(missing_ok=True)
        with contextlib.closing(lines.LineWriter(path)) as writer:
            for step in range(5):
                writer.write({"step": step})
                writer.flush()

    def check():
        found = [record["step"] for record in lines.read(path)]
        assert found == list(range(len(found)))

    assert every_death(kind, append, check) >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_never_outlives_its_holder(tmp_path, kind):
    def work():
        with lock.locked(tmp_path / ".lock"):
            files.write_text(tmp_path / "file", "text")

    def check():
        with lock.locked(tmp_path / ".lock"):
            pass

    assert every_death(kind, work, check) >= 1
