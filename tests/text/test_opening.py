"""Files open as they are, plain or compressed; a damaged one is named and never taken for a short one."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest

from gpt2lab.core.errors import UserError
from gpt2lab.text.opening import open_binary, open_text

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pyarrow.compress(data, codec="zstd", asbytes=True),
}
TEXT = b"one line\nanother, longer line\n\nand the end" * 50
EVERY = pytest.mark.parametrize("suffix", COMPRESS)


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def read(path: Path) -> bytes:
    with open_binary(path) as stream:
        return stream.read()


@EVERY
def test_a_compressed_file_reads_like_the_plain_one(tmp_path, suffix):
    plain, packed = written(tmp_path, "text", TEXT), written(tmp_path, f"text{suffix}", COMPRESS[suffix](TEXT))
    assert read(plain) == read(packed) == TEXT
    with open_binary(packed) as stream:
        assert list(stream) == TEXT.splitlines(keepends=True)
        assert stream.on_disk() == packed.stat().st_size


@EVERY
def test_suffixes_in_capitals_are_the_same(tmp_path, suffix):
    assert read(written(tmp_path, f"TEXT{suffix.upper()}", COMPRESS[suffix](TEXT))) == TEXT


@EVERY
def test_files_that_were_joined_are_read_to_the_last(tmp_path, suffix):
    """`cat a.gz b.gz > c.gz` is valid, and a reader that stops after the first stream loses the rest in silence."""
    data = COMPRESS[suffix](TEXT) + COMPRESS[suffix](b"second")
    assert read(written(tmp_path, f"text{suffix}", data)) == TEXT + b"second"


@EVERY
def test_a_file_cut_short_anywhere_is_named(tmp_path, suffix):
    whole = COMPRESS[suffix](os.urandom(300))
    for length in range(len(whole)):
        path = written(tmp_path, f"cut{suffix}", whole[:length])
        with pytest.raises(UserError, match="damaged or cut short") as caught:
            read(path)
        assert caught.value.place == str(path)
        assert f"-t cut{suffix}" in str(caught.value.way_out)


@EVERY
def test_what_is_not_compressed_is_not_believed(tmp_path, suffix):
    with pytest.raises(UserError, match="damaged"):
        read(written(tmp_path, f"plain{suffix}", b"plain text all the same"))


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_a_changed_byte_is_noticed(tmp_path, suffix):
    data = bytearray(COMPRESS[suffix](os.urandom(1000)))
    data[len(data) // 2] ^= 1
    with pytest.raises(UserError, match="damaged"):
        read(written(tmp_path, f"changed{suffix}", bytes(data)))


def test_a_window_too_large_for_readers_has_a_way_out(tmp_path):
    header = bytes.fromhex("28b52ffd 00 a8")  # a frame of zstd with a window of 2^31 bytes
    with pytest.raises(UserError, match="window") as caught:
        read(written(tmp_path, "long.zst", header + bytes.fromhex("010000")))
    assert "--long=31" in str(caught.value.way_out)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="No such file") as caught:
        open_binary(tmp_path / "missing.gz")
    assert caught.value.place == str(tmp_path / "missing.gz")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_mark_before_utf8_is_no_text(tmp_path, suffix):
    data = b"\xef\xbb\xbftext"
    stream, skipped = open_text(written(tmp_path, f"marked{suffix}", COMPRESS[suffix](data) if suffix else data))
    with stream:
        assert (stream.read(), skipped) == (b"text", 3)


@pytest.mark.parametrize("data", [b"", b"t", b"te", b"tex", b"\xef\xbb", b"\xef\xbbx"])
def test_short_files_without_the_mark_lose_nothing(tmp_path, data):
    stream, skipped = open_text(written(tmp_path, "short", data))
    with stream:
        assert (stream.read(), skipped) == (data, 0)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf16_is_refused_with_the_command_that_converts_it(tmp_path, encoding):
    mark = "\ufeff" if encoding.endswith("be") else ""
    with pytest.raises(UserError, match="UTF-16") as caught:
        open_text(written(tmp_path, "windows.csv", f"{mark}text\nhello\n".encode(encoding)))
    assert "iconv -f UTF-16 -t UTF-8 windows.csv" in str(caught.value.way_out)
