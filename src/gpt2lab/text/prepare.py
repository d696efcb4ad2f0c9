"""`gpt2lab prepare`: a source becomes a corpus. Interrupted anywhere and run again, it continues."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, hardware, lock, own_memory
from gpt2lab.core.console import counted
from gpt2lab.core.errors import UserError
from gpt2lab.text import builtin, contamination
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.adopt import adopt, find_shards, is_adopted, warn_of_ignored
from gpt2lab.text.adopt import describe as describe_shards
from gpt2lab.text.assembly import assemble
from gpt2lab.text.changes import changes
from gpt2lab.text.columns import EVERY_TEXT
from gpt2lab.text.corpus import FORMAT, Corpus, is_corpus, open_corpus
from gpt2lab.text.documents import Document, Piece, Source
from gpt2lab.text.parts import TOO_LONG, LeftOut, read_summary
from gpt2lab.text.settings import ColumnSettings, PrepareSettings
from gpt2lab.text.sources import chosen_columns, open_source
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.text.workers import Job, Workers, make_parts, part_file, start

LATER = ("validation", "test", "shard_tokens", "deduplicate")  # what parts are the same for
TRAINED = ("builtin", "own")  # tokenizers that are trained on the spot: on the built-in text, on this very data
CHARACTERS_TO_TRAIN_ON = 100_000_000
OTHER_ENCODING = "another encoding? `iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW` converts a common one"
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
    wait: bool = False,
) -> Corpus:
    """The corpus at `out`, made now or found finished from the same source with the same settings.

    Where another process makes it, `wait` for that.
    """
    held_out = settings.test + (settings.validation if isinstance(settings.validation, float) else 0)
    if held_out >= 1:
        raise UserError(f"validation and test take {held_out:.0%} of the documents, and nothing is left to train on")
    own_memory.keep_pages()
    shards, staging = find_shards(data), staging_of(out)
    columns = columns or ColumnSettings()
    if shards:
        _refuse_training(tokenizer, data)
        warn_of_ignored(settings, columns, local)
    source = None if shards else open_source(data, local, chosen_columns(columns))

    def finished() -> Corpus:
        wanted = _wanted(source, settings, tokenizer) if source else _wanted_shards(shards, tokenizer)
        return _finished(out, wanted)

    if is_corpus(out) and not staging.exists():
        return finished()  # however many look for it at once
    with lock.locked(out.parent / f".{out.name}.lock", wait):
        if is_corpus(out):
            shutil.rmtree(staging, ignore_errors=True)
            return finished()
        files.refuse_taken(out)
        if source is None:
            corpus = adopt(shards, out, tokenizers.load(tokenizer), _wanted_shards(shards, tokenizer))
            _say_what_is_missing(corpus)
            return corpus
        count = workers or (hardware.cores() if (source.size or 0) > WORTH_PROCESSES else 1)
        with start(count) as started:
            wanted = _wanted(source, settings, tokenizer)
            encoder = _begin(staging, wanted, source, tokenizer, settings)
            _make_missing_parts(source, Job(staging, settings, strict), started)
        corpus = _put_together(source, staging, out, encoder, settings, wanted)
        shutil.rmtree(staging)
        _say_what_is_missing(corpus)
        return corpus


def staging_of(out: Path) -> Path:
    """Where a preparation keeps what it has done until the corpus is whole."""
    return out.parent / f".{out.name}.preparing"


def describe(data: str, columns: ColumnSettings | None, local: Path | None) -> dict[str, Any]:
    """What the source of a corpus is now, as its manifest holds it."""
    if shards := find_shards(data):
        return describe_shards(shards)
    return open_source(data, local, chosen_columns(columns or ColumnSettings())).describe()


def describe_tokenizer(name: str) -> dict[str, Any]:
    """Of a folder, where another tokenizer may lie by now."""
    is_folder = name not in TRAINED and Path(name).exists()
    return {"tokenizer": {"hash": tokenizers.load(name).hash}} if is_folder else {}


def describe_evaluation_sets(addresses: Sequence[str]) -> dict[str, Any]:
    """What the texts are compared with; each counts as one file, whatever it is."""
    found = {address: open_source(address, None, EVERY_TEXT).describe() for address in addresses}
    return {"evaluation_sets": {"files": found}} if found else {}


def another(what: str, changed: list[str], place: Path) -> UserError:
    return UserError(
        f"{what}: {'; '.join(changed)}", place=place, way_out=f"choose another --out, or remove {place} and go on"
    )


def _begin(
    staging: Path, wanted: dict[str, Any], source: Source, tokenizer: str, settings: PrepareSettings
) -> Tokenizer:
    """The tokenizer of this corpus, kept where a continuation and the workers find it."""
    plan = staging / "plan.json"
    settings_of_parts = {key: value for key, value in wanted["settings"].items() if key not in LATER}
    planned = {**wanted, "settings": settings_of_parts}
    if plan.is_file():
        changed = changes(files.read_json(plan), planned)
        if changed and any((staging / "parts").iterdir()):
            raise another("another preparation was interrupted here", changed, staging)
        if not changed:
            console.say(f"continuing an interrupted preparation: {staging}")
            return tokenizers.load(staging / "tokenizer")
    shutil.rmtree(staging, ignore_errors=True)
    encoder = _tokenizer(tokenizer, source, settings)
    with files.new_folder(staging / "tokenizer") as beside:
        encoder.save(beside)
    if settings.contamination:
        for number, address in enumerate(settings.contamination):
            contamination.write(staging, number, _evaluation_texts(address))
    (staging / "parts").mkdir()
    files.write_json(plan, planned)
    return encoder


def _wanted(source: Source, settings: PrepareSettings, tokenizer: str) -> dict[str, Any]:
    decided = {"source": source.describe(), "settings": _relevant(settings, tokenizer)}
    return {**decided, **describe_evaluation_sets(settings.contamination), **describe_tokenizer(tokenizer)}


def _wanted_shards(shards: list[Path], tokenizer: str) -> dict[str, Any]:
    decided = {"source": describe_shards(shards), "settings": {"tokenizer": tokenizer}}
    return {**decided, **describe_tokenizer(tokenizer)}


def _relevant(settings: PrepareSettings, tokenizer: str) -> dict[str, Any]:
    """What decides the bytes of the corpus."""
    values = {**settings.as_dict(), "tokenizer": tokenizer}
    del values["weights"]  # of a mixture that this may be a source of
    if tokenizer not in TRAINED:
        del values["vocabulary"]
    return values


def _refuse_training(tokenizer: str, data: str) -> None:
    if tokenizer in TRAINED:
        raise UserError(
            "token shards have a tokenizer already: none can be trained for them",
            place=data,
            way_out="name the tokenizer the shards were made with: --tokenizer FOLDER",
        )


def _tokenizer(name: str, source: Source, settings: PrepareSettings) -> Tokenizer:
    if name not in TRAINED:
        return tokenizers.load(name)
    if name == "builtin":
        encoder = builtin.tokenizer(settings.vocabulary)
    else:
        console.say(f"training a tokenizer on this text, at most its first {CHARACTERS_TO_TRAIN_ON:,} characters …")
        encoder = tokenizers.train(_first_texts(source), settings.vocabulary)
    if encoder.size < settings.vocabulary:
        console.say(
            f"the text gives a vocabulary of {encoder.size:,}, not {settings.vocabulary:,}: nothing more to merge"
        )
    return encoder


def _evaluation_texts(address: str) -> Iterator[str]:
    unread = LeftOut()
    for piece in open_source(address, None, EVERY_TEXT).pieces():
        for row in piece.documents():
            if isinstance(row, Document):
                yield row.prompt + row.text
            else:
                unread.add(row.reason, row.place)
    _warn_of(unread.as_dict(), f"not compared with {address}")


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
            nonlocal count, documents, tokens
            for count, piece in enumerate(source.pieces(), 1):
                if part_file(folder, count - 1).is_file():
                    before = read_summary(part_file(folder, count - 1)).lengths
                    documents, tokens = documents + len(before), tokens + int(before.sum())
                    progress.skip(piece.size / scale)
                else:
                    yield count - 1, piece

        for done in make_parts(missing(), job, workers):
            documents, tokens = documents + done.documents, tokens + done.tokens
            progress.advance(done.size / scale, f"{counted(documents, 'document')}, {tokens:,} tokens")
    if count == 0:
        raise UserError("there is nothing to prepare: the source is empty", place=source.describe()["data"])
    files.write_json(job.staging / "parts.json", {"count": count})


def _put_together(
    source: Source, staging: Path, out: Path, encoder: Tokenizer, settings: PrepareSettings, wanted: dict[str, Any]
) -> Corpus:
    count = files.read_json(staging / "parts.json")["count"]
    parts = [part_file(staging / "parts", number) for number in range(count)]
    with files.new_folder(out) as beside:
        made = assemble(parts, beside, encoder, settings, wanted["source"].get("labels") or ())
        if not made["splits"]:
            shutil.rmtree(staging)  # other settings may begin here
            raise UserError(
                f"no document is left: {'; '.join(_reasons(made['left_out'], 'left out')) or 'there was none'}",
                place=wanted["source"]["data"],
                way_out="repair the rows, or choose other columns or settings",
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
    if changed := changes(corpus.manifest, wanted):
        raise another("another corpus is here", changed, out)
    console.say(f"{out}: already prepared with these settings")
    _say_what_is_missing(corpus)
    return corpus


def _say_what_is_missing(corpus: Corpus) -> None:
    manifest = corpus.manifest
    unvalidated = "validation" not in corpus.splits and "train" in corpus.splits
    if is_adopted(manifest):  # as others have made it: no text was left out here, and none compared
        if unvalidated:
            console.warn("there is no validation split: no shard is named for it")
        return
    _warn_of(manifest["left_out"], "left out")
    kept = {
        reason: found
        for reason, found in manifest["contaminated"].items()
        if TOO_LONG in reason or not manifest["settings"]["drop_contaminated"]
    }
    _warn_of(kept, "contaminated")
    share = manifest["settings"]["validation"]
    if share and unvalidated:
        console.warn(f"there is no validation split: prepare.validation={share} of so few documents is none")
    if repeated := manifest["held_out_and_in_train"]:
        console.warn(
            f"in train as well: the texts of {counted(repeated, 'held-out document')}; "
            "prepare.deduplicate=true leaves repeated texts out"
        )


def _warn_of(found: dict[str, Any], what: str) -> None:
    for line in _reasons(found, what):
        console.warn(line)


def _reasons(found: dict[str, Any], what: str) -> Iterator[str]:
    for reason, about in found.items():
        where = f", first {'; '.join(about['places'][:3])}" if about["places"] else ""
        hint = f" ({OTHER_ENCODING})" if reason.startswith("invalid UTF-8") else ""
        yield f"{counted(about['count'], 'document')} {what}: {reason}{where}{hint}"
