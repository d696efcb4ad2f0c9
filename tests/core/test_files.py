"""Files and folders appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from gpt2lab.core import files
from gpt2lab.core.errors import UserError


def test_a_file_is_replaced_in_one_step_and_nothing_is_left_beside(tmp_path):
    path = tmp_path / "deep" / "result.json"
    files.write_json(path, {"value": 1})
    files.write_json(path, {"value": 2})
    assert files.read_json(path) == {"value": 2}
    assert [entry.name for entry in path.parent.iterdir()] == ["result.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.new_file(path) as file:
        file.write(b"half of the ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_appears_only_when_its_block_ends_well(tmp_path):
    path = tmp_path / "folder"
    with files.new_folder(path) as beside:
        (beside / "inner").mkdir()
        (beside / "inner" / "file").write_text("whole")
        assert not path.exists()
    assert (path / "inner" / "file").read_text() == "whole"


def test_a_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), files.new_folder(tmp_path / "folder") as beside:
        (beside / "file").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_there_already(tmp_path):
    (tmp_path / "folder").mkdir()
    with files.new_folder(tmp_path / "folder") as beside:
        (beside / "file").write_text("whole")
    assert (tmp_path / "folder" / "file").read_text() == "whole"


def test_an_existing_folder_is_never_written_over(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("someone's")
    with pytest.raises(UserError, match="exists already"), files.new_folder(tmp_path / "folder"):
        pass


def test_leftovers_of_dead_processes_are_removed_and_those_of_living_ones_kept(tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    dead = tmp_path / f".folder.{files._host()}.{child}.writing"
    alive = tmp_path / f".folder.{files._host()}.{os.getppid()}.writing"
    dead.mkdir()
    alive.mkdir()
    with files.new_folder(tmp_path / "folder"):
        pass
    assert not dead.exists()
    assert alive.exists()


def test_a_drive_that_cannot_flush_is_warned_about_once(tmp_path, monkeypatch, capsys):
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    files.write_text(tmp_path / "file", "there all the same")
    files.write_text(tmp_path / "file", "there all the same")
    assert (tmp_path / "file").read_text() == "there all the same"
    assert capsys.readouterr().err.count("cannot flush files") == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_lost_data_is_never_tolerated(tmp_path, monkeypatch, code):
    """A full or failing disk says so on fsync too; swallowing that would lose the file in silence."""

    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        files.write_text(tmp_path / "file", "text")
    assert list(tmp_path.iterdir()) == []


def test_broken_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON") as caught:
        files.read_json(tmp_path / "a.json")
    assert str(tmp_path / "a.json") in str(caught.value)


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert files.fingerprint({"a": 1, "b": [2]}) == files.fingerprint({"b": [2], "a": 1})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 2})


def test_home_follows_the_environment(monkeypatch):
    monkeypatch.setenv("GPT2LAB_HOME", "/somewhere")
    assert files.home() == Path("/somewhere")


def test_every_file_of_a_folder_is_on_disk_before_the_folder_gets_its_name(tmp_path, monkeypatch):
    """A rename that overtakes the data leaves empty files after a power cut."""
    seen = []
    monkeypatch.setattr(files, "operation", lambda kind, path: seen.append((kind, path.name)))
    with files.new_folder(tmp_path / "folder") as beside:
        (beside / "inner").mkdir()
        (beside / "inner" / "a").write_text("a")
        (beside / "b").write_text("b")
    flushed = [name for kind, name in seen[: seen.index(("rename", "folder"))] if kind == "fsync"]
    assert {"a", "b", "inner"} <= set(flushed)


def test_what_dead_processes_left_of_a_file_is_removed(tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    (tmp_path / f".file.{files._host()}.{child}.writing").write_text("half")
    files.write_text(tmp_path / "file", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
