"""What a tuning names as its data becomes a corpus with the base's tokenizer: prepared once, found again later."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from gpt2lab.core import console, files, lock
from gpt2lab.core.errors import UserError
from gpt2lab.study.recipe import CORPUS, SYNTHESIZED
from gpt2lab.study.settings import TuneSettings
from gpt2lab.text import builtin, named
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.columns import LABEL, Columns
from gpt2lab.text.corpus import Corpus, is_corpus, open_corpus
from gpt2lab.text.mixture import prepare_mixture
from gpt2lab.text.prepare import describe_evaluation_sets, prepare
from gpt2lab.text.settings import ColumnSettings
from gpt2lab.text.sources import chosen_columns, open_source
from gpt2lab.text.tokenizer import Tokenizer


def corpus_for(settings: TuneSettings, tokenizer_place: str | Path) -> Corpus:
    """The corpus folder itself, or one under the cache whose name follows from source, settings and tokenizer."""
    source, tokenizer = settings.data.source, tokenizers.load(tokenizer_place)
    if is_corpus(Path(source)) and settings.data.also:
        raise UserError(
            "a corpus that is prepared cannot be mixed with more", place="data.also",
            way_out=f"mix when preparing: gpt2lab prepare DATA {' '.join(settings.data.also)} prepare.weights=…",
        )  # fmt: skip
    if is_corpus(Path(source)):
        corpus = open_corpus(Path(source))
        if corpus.manifest["tokenizer"]["hash"] != tokenizer.hash:
            raise UserError(
                "the corpus was made with another tokenizer than the base", place=corpus.folder,
                way_out=f"prepare it with --tokenizer {tokenizer_place}",
            )  # fmt: skip
        return corpus
    columns = ColumnSettings(**settings.data.model_dump(include=set(ColumnSettings.model_fields)))
    if settings.task == "labels" and columns.label is None:
        columns = columns.model_copy(update={"label": LABEL})
    local = Path(settings.data.local) if settings.data.local else None
    sources = [source, *settings.data.also]
    found = [open_source(one, local, chosen_columns(columns)).describe() for one in sources]
    compared = describe_evaluation_sets(settings.prepare.contamination).values()
    name = files.fingerprint([*found, *compared, settings.prepare.as_dict(), tokenizer.hash])[:16]
    out = files.home() / "corpora" / name
    console.say(f"data: {' and '.join(sources)}, prepared with the base's tokenizer in {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    kept = kept_tokenizer(tokenizer, files.home() / "tokenizers" / tokenizer.hash[:16])
    if settings.data.also:
        return prepare_mixture(sources, out, str(kept), settings.prepare, columns=columns, local=local, wait=True)
    return prepare(source, out, str(kept), settings.prepare, columns=columns, local=local, wait=True)


def refuse_unknown(
    data: str, local: Path | None, columns: Columns, place: str, made: Sequence[str] = (SYNTHESIZED, CORPUS)
) -> None:
    """Said now, not after hours of training. What the study will have `made`, named sets and the Hub are left alone."""
    known = [*made, *named.SETS, *(f"builtin:{name}" for name in builtin.NAMES)]
    if data in known or data.startswith("hub:") or is_corpus(Path(data)):
        return
    close = difflib.get_close_matches(data, known, n=1)
    if close and not data.startswith("builtin:") and not Path(data).exists():
        raise UserError(f"there is no data named {data!r}", place=place, way_out=f"did you mean {close[0]}?")
    open_source(data, local, columns)


def kept_tokenizer(tokenizer: Tokenizer, kept: Path) -> Path:
    """A copy whose address stays the same when the base is reached by another path."""
    if not kept.is_dir():
        with lock.locked(kept.parent / f".{kept.name}.lock", wait=True):
            if not kept.is_dir():
                with files.new_folder(kept) as beside:
                    tokenizer.save(beside)
    return kept
