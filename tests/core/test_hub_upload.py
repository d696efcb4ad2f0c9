"""Nothing is uploaded but by `upload`, and that arrives whole, from HF_TOKEN alone, at a Hub on this machine."""

import hashlib
import io
import random

import huggingface_hub
import pytest
from huggingface_hub import constants

from gpt2lab.core import hub, hub_upload
from gpt2lab.core.errors import UserError
from loopback_hub import LoopbackHub

NAME, TOKEN = "owner/mine", "hf_right"
FILES = {
    "config.json": b'{"n_layer": 2}\n',
    "model.safetensors": random.Random(0).randbytes(300_000),
    "README.md": b"---\ntags: [gpt2]\n---\n# mine\n",
    "empty.txt": b"",
}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    return tmp_path / "folder"


@pytest.fixture
def server(online, monkeypatch, tmp_path):
    huggingface_hub.close_session()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with LoopbackHub(writer=TOKEN) as running:
        online(running)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running
    huggingface_hub.close_session()


def failure(folder):
    with pytest.raises(UserError) as caught:
        hub_upload.upload(folder, NAME, "message")
    assert TOKEN not in str(caught.value)
    return caught.value


def test_a_folder_arrives_whole_and_can_be_fetched(server, folder):
    address = hub_upload.upload(folder, NAME, "A model")
    assert server.models[NAME] == FILES
    assert address == f"{server.endpoint}/{NAME}/commit/{server.commit(NAME)}"
    fetched = hub.fetch(NAME, ["*"])
    assert {path.name: path.read_bytes() for path in fetched.iterdir()} == FILES


def test_the_second_upload_replaces_what_changed_and_keeps_what_only_the_hub_has(server, folder):
    server.models[NAME] = {"notes.txt": b"mine"}
    hub_upload.upload(folder, NAME, "A model")
    sent = len(server.asked("PUT", ""))
    (folder / "config.json").write_bytes(b"{}")
    hub_upload.upload(folder, NAME, "Another")
    assert server.models[NAME] == {**FILES, "config.json": b"{}", "notes.txt": b"mine"}
    assert len(server.asked("PUT", "")) == sent == 1  # the weights are there already


def test_the_storage_never_sees_the_token(server, folder):
    hub_upload.upload(folder, NAME, "A model")
    stored = [request for request in server.requests if request.to_storage]
    assert stored
    assert all(request.token is None for request in stored)
    assert all(request.token == TOKEN for request in server.requests if not request.to_storage)


def test_a_token_that_another_program_left_is_not_taken(server, folder, monkeypatch, tmp_path):
    left = tmp_path / "token"
    left.write_text(TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(left))
    monkeypatch.delenv("HF_TOKEN")
    assert "HF_TOKEN is not set" in failure(folder).cause
    assert server.requests == []


def test_a_token_that_may_not_write_is_one_clear_line(server, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    found = failure(folder)
    assert (found.cause, found.way_out) == ("access denied (HTTP 403)", hub_upload.WAY_IN)
    assert "hf_wrong" not in str(found)
    assert server.models == {}


def test_offline_is_one_clear_line_and_no_request(server, folder, monkeypatch):
    monkeypatch.setenv("GPT2LAB_OFFLINE", "1")
    assert failure(folder).cause == "offline, so nothing can be uploaded"
    assert server.requests == []


def test_a_hub_that_is_gone_is_one_clear_line(server, folder):
    server.__exit__()
    assert "the connection to the Hub failed" in failure(folder).cause


def test_a_storage_that_breaks_leaves_the_repository_as_it_was(server, folder):
    server.models[NAME] = {"config.json": b"before"}
    oid = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    server.fail(oid, times=9, status=403, method="PUT")
    assert "access denied" in failure(folder).cause
    assert server.models[NAME] == {"config.json": b"before"}


@pytest.mark.parametrize("name", ["mine", "a/b/c", "../mine", "owner/", ""])
def test_a_name_without_an_owner_is_refused(server, name):
    with pytest.raises(UserError, match="not the name of a repository"):
        hub_upload.ready(name)


def test_progress_counts_every_byte_once(folder):
    told = []

    class Bar:
        def advance(self, amount=1, note=""):
            told.append(amount)

        def skip(self, amount):
            raise AssertionError

    with hub_upload._Announced(folder / "model.safetensors", Bar()) as file:
        file.read()
        assert told == []
        file.announces = True
        for _ in range(2):  # a retry begins again
            file.seek(0, io.SEEK_SET)
            while file.read(1 << 16):
                pass
    assert sum(told) == pytest.approx(len(FILES["model.safetensors"]) / 1e6)
