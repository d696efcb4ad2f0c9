"""`gpt2lab prepare`: a source becomes a corpus. Interrupted anywhere and run again, it continues."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, hardware, lock
from gpt2lab.core.errors import UserError
from gpt2lab.text import builtin, contamination
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.adopt import adopt, find_shards
from gpt2lab.text.adopt import describe as describe_shards
from gpt2lab.text.assembly import assemble
from gpt2lab.text.corpus import FORMAT, Corpus, is_corpus, open_corpus
from gpt2lab.text.documents import Document, Piece, Source
from gpt2lab.text.settings import ColumnSettings, PrepareSettings
from gpt2lab.text.sources import open_source
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.text.workers import Job, Workers, make_parts, part_file, start

TRAINED = ("builtin", "own")  # tokenizers that are trained on the spot: on the built-in text, on this very data
CHARACTERS_TO_TRAIN_ON = 100_000_000
WORTH_PROCESSES = 20_000_000  # bytes; less is done before the processes have started


def prepare(
    data: str,
    out: Path,
    tokenizer: str,
    settings: PrepareSettings,
    *,
    columns: ColumnSettings | None = None,
    local: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> Corpus:
    """The corpus at `out`, made now or found finished from the same source with the same settings."""
    held_out = settings.test + (settings.validation if isinstance(settings.validation, float) else 0)
    if held_out >= 1:
        raise UserError(f"validation and test take {held_out:.0%} of the documents, and nothing is left to train on")
    with lock.locked(out.parent / f".{out.name}.lock"):
        if shards := find_shards(data):
            return _adopt(shards, out, tokenizer)
        source = open_source(data, local, columns or ColumnSettings())
        staging = out.parent / f".{out.name}.preparing"
        if is_corpus(out):
            shutil.rmtree(staging, ignore_errors=True)
            return _finished(out, _wanted(source, settings, tokenizer))
        count = workers or (hardware.cores() if (source.size or 0) > WORTH_PROCESSES else 1)
        with start(count) as started:
            wanted = _wanted(source, settings, tokenizer)
            encoder = _begin(staging, wanted, source, tokenizer, settings)
            _make_missing_parts(source, Job(staging, settings, strict), started)
        corpus = _put_together(source, staging, out, encoder, settings, wanted)
        shutil.rmtree(staging)
        _say_what_was_left_out(corpus)
        return corpus


def _adopt(shards: list[Path], out: Path, tokenizer: str) -> Corpus:
    wanted = {"source": describe_shards(shards), "settings": {"tokenizer": tokenizer}}
    return _finished(out, wanted) if is_corpus(out) else adopt(shards, out, tokenizers.load(tokenizer), wanted)


def _begin(
    staging: Path, wanted: dict[str, Any], source: Source, tokenizer: str, settings: PrepareSettings
) -> Tokenizer:
    """The tokenizer of this corpus, kept where a continuation and the workers find it."""
    plan = staging / "plan.json"
    if plan.is_file():
        _refuse_change(files.read_json(plan), wanted, staging)
        console.say(f"continuing an interrupted preparation: {staging}")
        return tokenizers.load(staging / "tokenizer")
    shutil.rmtree(staging, ignore_errors=True)
    encoder = _tokenizer(tokenizer, source, settings)
    with files.new_folder(staging / "tokenizer") as beside:
        encoder.save(beside)
    if settings.contamination:
        contamination.write(contamination.file_in(staging), _evaluation_texts(settings.contamination))
    (staging / "parts").mkdir()
    files.write_json(plan, wanted)
    return encoder


def _wanted(source: Source, settings: PrepareSettings, tokenizer: str) -> dict[str, Any]:
    return {"source": source.describe(), "settings": _relevant(settings, tokenizer)}


def _relevant(settings: PrepareSettings, tokenizer: str) -> dict[str, Any]:
    """What decides the bytes of the corpus."""
    values = {**settings.as_dict(), "tokenizer": tokenizer}
    if tokenizer not in TRAINED:
        del values["vocabulary"]
    return values


def _tokenizer(name: str, source: Source, settings: PrepareSettings) -> Tokenizer:
    if name not in TRAINED:
        return tokenizers.load(name)
    if name == "builtin":
        encoder = builtin.tokenizer(settings.vocabulary)
    else:
        encoder = tokenizers.train(_first_texts(source), settings.vocabulary)
    if encoder.size < settings.vocabulary:
        console.say(
            f"the text gives a vocabulary of {encoder.size:,}, not {settings.vocabulary:,}: nothing more to merge"
        )
    return encoder


def _evaluation_texts(addresses: tuple[str, ...]) -> Iterator[str]:
    for address in addresses:
        for piece in open_source(address, None, ColumnSettings()).pieces():
            yield from (row.prompt + row.text for row in piece.documents() if isinstance(row, Document))


def _first_texts(source: Source) -> Iterator[str]:
    characters = 0
    for piece in source.pieces():
        for row in piece.documents():
            if isinstance(row, Document):
                yield row.text
                characters += len(row.text)
            if characters > CHARACTERS_TO_TRAIN_ON:
                return


def _make_missing_parts(source: Source, job: Job, workers: Workers) -> None:
    folder = job.staging / "parts"
    for leftover in folder.glob(".*.writing"):
        leftover.unlink()
    documents = tokens = count = 0
    unit, scale = ("MB", 1e6) if (source.size or 1e9) > 1e7 else ("kB", 1e3)
    with console.progress("prepare", source.size and source.size / scale, unit) as progress:

        def missing() -> Iterator[tuple[int, Piece]]:
            nonlocal count
            for count, piece in enumerate(source.pieces(), 1):
                if part_file(folder, count - 1).is_file():
                    progress.advance(piece.size / scale)
                else:
                    yield count - 1, piece

        for done in make_parts(missing(), job, workers):
            documents, tokens = documents + done.documents, tokens + done.tokens
            progress.advance(done.size / scale, f"{documents:,} documents, {tokens:,} tokens")
    if count == 0:
        raise UserError("there is nothing to prepare: the source is empty")
    files.write_json(job.staging / "parts.json", {"count": count})


def _put_together(
    source: Source, staging: Path, out: Path, encoder: Tokenizer, settings: PrepareSettings, wanted: dict[str, Any]
) -> Corpus:
    count = files.read_json(staging / "parts.json")["count"]
    parts = [part_file(staging / "parts", number) for number in range(count)]
    with files.new_folder(out) as beside:
        made = assemble(parts, beside, encoder, settings, wanted["source"].get("labels") or ())
        if not made["splits"]:
            raise UserError(
                "no document is left", place=source.describe().get("data"), way_out=_reasons(made["left_out"])
            )
        (beside / "tokenizer").mkdir()
        encoder.save(beside / "tokenizer")
        manifest = {
            "format": FORMAT,
            **wanted,
            "tokenizer": {"hash": encoder.hash, "vocabulary": encoder.size, "end_of_text": encoder.end_of_text},
            **made,
        }
        files.write_json(beside / "corpus.json", manifest)
    return Corpus(out, manifest)


def _finished(out: Path, wanted: dict[str, Any]) -> Corpus:
    corpus = open_corpus(out)
    _refuse_change(corpus.manifest, wanted, out)
    console.say(f"{out}: already prepared with these settings")
    return corpus


def _refuse_change(there: dict[str, Any], wanted: dict[str, Any], place: Path) -> None:
    for part, values in wanted.items():
        for key in values.keys() | there[part].keys():
            if there[part].get(key) != values.get(key):
                raise UserError(
                    f"another corpus is here: its {key} is {there[part].get(key)!r}, not {values.get(key)!r}",
                    place=place,
                    way_out="choose another --out, or remove this one",
                )


def _say_what_was_left_out(corpus: Corpus) -> None:
    for reason, found in corpus.manifest["left_out"].items():
        where = f", first {', '.join(found['places'][:3])}" if found["places"] else ""
        console.warn(f"{found['count']:,} documents left out: {reason}{where}; corpus.json lists more")
    for found in corpus.manifest.get("contaminated", {}).values():
        if not corpus.manifest["settings"]["drop_contaminated"]:
            console.warn(
                f"{found['count']:,} documents share {contamination.RUN} words in a row with an evaluation set"
            )


def _reasons(left_out: dict[str, Any]) -> str:
    return (
        "; ".join(f"{found['count']:,} left out: {reason}" for reason, found in left_out.items()) or "check the source"
    )
