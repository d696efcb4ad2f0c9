"""Anyone's own files: which formats are known, which files DATA names, and the source that they are."""

from __future__ import annotations

import glob
import hashlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files
from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError
from gpt2lab.text import arrow_files, csv_files, json_files, text_files
from gpt2lab.text.columns import UNNAMED, Columns
from gpt2lab.text.cutting import PIECE_BYTES, File, Part, Rows, Stretch
from gpt2lab.text.opening import DECOMPRESSORS, is_compressed

# Each looks at the columns at once, and reads and cuts the file only when asked for its parts.
FORMATS: dict[str, Callable[[File, Columns, int], Iterator[Part]]] = {
    ".txt": text_files.parts,
    ".md": text_files.parts,
    ".jsonl": json_files.line_parts,
    ".json": json_files.whole_parts,
    ".csv": partial(csv_files.parts, delimiter=","),
    ".tsv": partial(csv_files.parts, delimiter="\t"),
    ".parquet": arrow_files.parquet_parts,
    ".arrow": arrow_files.arrow_parts,
}
COMPRESSED_INSIDE = (".parquet", ".arrow")
MANIFEST = "corpus.json"
SHARED_BYTES = 4 << 20  # of files that share a piece
COST_OF_A_FILE = 4 << 10
HASHED_WHOLE = 256 << 20
HASHED_PART = 1 << 20


@dataclass(frozen=True)
class FilePiece:
    split: str | None
    size: int
    read: Callable[[], Rows]

    def documents(self) -> Rows:
        return self.read()

    def in_a_file(self, path: Path) -> FilePiece:
        return replace(self, read=self.read.in_a_file(path)) if isinstance(self.read, Stretch) else self


@dataclass(frozen=True)
class FileSource:
    paths: Sequence[Path]
    columns: Columns = UNNAMED
    split: str | Mapping[Path, str] | None = None  # of all files, or of each
    piece_bytes: int = PIECE_BYTES

    @cached_property
    def files(self) -> list[File]:
        return named_files(self.paths)

    @cached_property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(split for file in self.files if (split := self._split_of(file))))

    def only(self, split: str) -> FileSource:
        return replace(self, paths=[file.path for file in self.files if self._split_of(file) == split])

    def pieces(self) -> Iterator[FilePiece]:
        """Of small files many share a piece: each piece costs a file of its own that is flushed to disk."""
        waiting: list[FilePiece] = []
        for file in self.files:
            pieces = (FilePiece(self._split_of(file), *part) for part in self._parts(file, self.piece_bytes))
            begun = list(islice(pieces, 2 if file.size < self._shared else 0))
            if waiting and (len(begun) != 1 or begun[0].split != waiting[0].split or self._is_enough(waiting)):
                yield _together(waiting)
                waiting = []
            if len(begun) == 1:
                waiting += begun
            else:
                yield from begun
                yield from pieces
        if waiting:
            yield _together(waiting)

    def check(self) -> None:
        """The columns of every file, before hours are spent on the first ones."""
        for file in self.files:
            self._parts(file, self.piece_bytes)

    def describe(self) -> dict[str, Any]:
        described = describe_files(self.paths)
        for file, facts in zip(self.files, described):
            if split := self._split_of(file):
                facts["split"] = split
        names = [file.name for file in self.files]
        data = names[0] if len(names) == 1 else f"{len(names):,} files: {names[0]} … {names[-1]}"
        return {"data": data, "files": described, "columns": self.columns.describe()}

    @property
    def _shared(self) -> int:
        return min(SHARED_BYTES, self.piece_bytes)

    def _is_enough(self, waiting: Sequence[FilePiece]) -> bool:
        return sum(piece.size + COST_OF_A_FILE for piece in waiting) >= self._shared

    def _parts(self, file: File, piece_bytes: int) -> Iterator[Part]:
        return FORMATS[format_of(file.path)](file, self.columns, piece_bytes)

    def _split_of(self, file: File) -> str | None:
        return self.split.get(file.path) if isinstance(self.split, Mapping) else self.split


def _together(pieces: Sequence[FilePiece]) -> FilePiece:
    if len(pieces) == 1:
        return pieces[0]
    reads = [piece.read for piece in pieces]
    return FilePiece(pieces[0].split, sum(piece.size for piece in pieces), partial(_one_by_one, reads))


def _one_by_one(reads: Sequence[Callable[[], Rows]]) -> Rows:
    for read in reads:
        yield from read()


def find_files(data: str) -> list[Path]:
    """What a file's name, a folder or a glob stands for, sorted. Of a folder, the files with a known suffix."""
    path = Path(data).expanduser()
    if path.is_dir():
        _refuse_corpus(path)
        inside, corpora = _inside(path)
        found = [inner for inner in inside if _format(inner)]
        for corpus in corpora:
            console.say(f"{path}: not read: the corpus in {corpus.relative_to(path)}")
        _say_what_is_not_read([inner for inner in inside if not _format(inner)], path)
        if any(_format(inner) != ".md" for inner in found):
            found = _without_card(found, path)
    elif path.exists() or path.is_symlink():
        found = [path]
    else:
        names = glob.glob(str(path), recursive=True)  # noqa: PTH207 pathlib's also finds hidden files
        found = [Path(name) for name in names if not Path(name).is_dir()]
    if not found:
        what = "no file with a known suffix is in this folder" if path.is_dir() else "there is no such file"
        raise UserError(what, place=data, way_out=f"known suffixes: {known_suffixes()}")
    for file in found:
        format_of(file)
    return sorted(found)


def texts_inside(folder: Path) -> list[Path]:
    """The files with a known suffix that stand there for their own sake."""
    return [inner for inner in _inside(folder)[0] if _format(inner) and not _is_card(inner, folder)]


def known_suffixes() -> str:
    plain = [suffix for suffix in FORMATS if suffix not in COMPRESSED_INSIDE]
    return f"{', '.join(plain)}, each also with {', '.join(DECOMPRESSORS)}; {', '.join(COMPRESSED_INSIDE)}"


def format_of(path: Path) -> str:
    suffix = _format(path)
    if suffix is None:
        raise UserError("files of this kind are not known", place=path, way_out=f"known suffixes: {known_suffixes()}")
    return suffix


def named_files(paths: Sequence[Path]) -> list[File]:
    """In sorted order, under names that do not change when their folder moves."""
    absolute = {path.absolute(): path for path in paths}
    folder = os.path.commonpath([path.parent for path in absolute]) if absolute else ""
    return [File(absolute[path], console.printable(path.relative_to(folder).as_posix())) for path in sorted(absolute)]


def describe_files(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Names, sizes and hashes; a very large file is hashed in three places only, and the key says so."""
    return [{"name": file.name, "size": file.size, **_hash(file)} for file in named_files(paths)]


def _hash(file: File) -> dict[str, str]:
    if file.size <= HASHED_WHOLE:
        return {"sha256": files.sha256(file.path)}
    digest = hashlib.sha256(str(file.size).encode())
    with file.path.open("rb") as opened:
        for place in (0, (file.size - HASHED_PART) // 2, file.size - HASHED_PART):
            opened.seek(place)
            digest.update(opened.read(HASHED_PART))
    return {"sha256_of_size_and_first_middle_last_megabyte": digest.hexdigest()}


def _format(path: Path) -> str | None:
    suffix = (path.with_suffix("") if is_compressed(path) else path).suffix.lower()
    inside = is_compressed(path) and suffix in COMPRESSED_INSIDE
    return suffix if suffix in FORMATS and not inside else None


def _inside(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files that are neither hidden nor of a corpus, and the corpora, both sorted."""
    found = [inner for inner in sorted(folder.rglob("*")) if not (_is_hidden(inner, folder) or inner.is_dir())]
    corpora = {inner.parent for inner in found if inner.name == MANIFEST and _is_corpus(inner.parent)}
    outermost = [corpus for corpus in sorted(corpora) if corpora.isdisjoint(corpus.parents)]
    return [inner for inner in found if corpora.isdisjoint(inner.parents)], outermost


def _is_corpus(folder: Path) -> bool:
    """Texts may lie in a file of this name too."""
    return (folder / MANIFEST).is_file() and (folder / "tokenizer").is_dir()


def _refuse_corpus(folder: Path) -> None:
    if _is_corpus(folder):
        training = f"gpt2lab pretrain --data {shlex.quote(str(folder))} --out RUN"
        raise UserError(
            "this is a corpus, and no text: its documents are token ids already",
            place=folder,
            way_out=f"name the text that it was made from; or train on it: {training}",
        )


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _is_card(path: Path, folder: Path) -> bool:
    """What tells of the data beside it, as folders from the Hub have it."""
    return path.parent == folder and path.name.lower() == "readme.md"


def _without_card(found: list[Path], folder: Path) -> list[Path]:
    for card in (inner for inner in found if _is_card(inner, folder)):
        console.say(f"{folder}: not read: {card.name}, which tells of the data")
    return [inner for inner in found if not _is_card(inner, folder)]


def _say_what_is_not_read(others: list[Path], folder: Path) -> None:
    if others:
        which = f"{counted(len(others), 'file')} of other kinds, such as {others[0].relative_to(folder)}"
        console.say(f"{folder}: not read: {which}")
