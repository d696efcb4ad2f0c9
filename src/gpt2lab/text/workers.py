"""Pieces become parts on all cores: one process each, bounded queues, and nothing left behind when the parent dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from gpt2lab.core import own_memory
from gpt2lab.core.errors import UserError
from gpt2lab.text import contamination
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.contamination import Known
from gpt2lab.text.documents import Piece
from gpt2lab.text.formats import FilePiece
from gpt2lab.text.parts import make_part
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.tokenizer import Tokenizer

WAITING_PER_WORKER = 2  # pieces whose bytes may have been read


@dataclass(frozen=True)
class Done:
    number: int
    size: int
    documents: int
    tokens: int


def part_file(folder: Path, number: int) -> Path:
    return folder / f"part-{number:07d}.safetensors"


@dataclass(frozen=True)
class Job:
    """What is the same for all pieces of a source."""

    staging: Path
    settings: PrepareSettings
    strict: bool


@dataclass(frozen=True)
class Workers:
    count: int
    pool: ProcessPoolExecutor | None  # none for one worker, which works in this process


@dataclass(frozen=True)
class Maker:
    """Everything one process needs to make parts."""

    job: Job
    tokenizer: Tokenizer
    known: Known

    def __call__(self, number: int, piece: Piece) -> Done:
        file = part_file(self.job.staging / "parts", number)
        documents, tokens = make_part(piece, file, self.tokenizer, self.job.settings, self.job.strict, self.known)
        return Done(number, piece.size, documents, tokens)


def maker(job: Job) -> Maker:
    known = contamination.load(job.staging, job.settings.contamination)
    return Maker(job, tokenizers.load(job.staging / "tokenizer"), known)


@contextlib.contextmanager
def start(count: int) -> Iterator[Workers]:
    """Workers that get ready while this process still looks at the source."""
    if count == 1:
        yield Workers(count, None)
        return
    context = multiprocessing.get_context("spawn")  # forked threads of native engines may deadlock
    pool = ProcessPoolExecutor(count, context, _begin, (os.getpid(),))
    try:
        with _deaf_to_ctrl_c():  # workers inherit this
            for _ in range(count):
                pool.submit(_arrive)
        yield Workers(count, pool)
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died: no memory left, or a script that lacks `if __name__ == '__main__'`",
            way_out="run it again to continue; one worker (--workers 1) needs the least memory and no such guard",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def make_parts(pieces: Iterator[tuple[int, Piece]], job: Job, workers: Workers) -> Iterator[Done]:
    """Parts for these numbered pieces, as they get ready."""
    if workers.pool is None:
        make = maker(job)
        yield from (make(number, piece) for number, piece in pieces)
        return
    waiting: set[Future[Done]] = set()
    for number, piece in pieces:
        handed = piece.in_a_file(_handed(job, number)) if isinstance(piece, FilePiece) else piece
        with _deaf_to_ctrl_c():  # a submission may start a worker
            waiting.add(workers.pool.submit(_work, job, number, handed))
        if len(waiting) >= WAITING_PER_WORKER * workers.count:
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ready)
    while waiting:
        ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in ready)


def _handed(job: Job, number: int) -> Path:
    """What the parent has read for a worker. The name is that of a leftover, which a continuation removes."""
    return job.staging / "parts" / f".piece-{number}.writing"


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A terminal sends it to every process; ours answers it once this is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Process:
    """What a worker process keeps between pieces."""

    make: Maker | None = None


def _begin(parent: int) -> None:
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    own_memory.keep_pages()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    """A killed parent cannot tell its children; without this they would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _arrive() -> None:
    """By now the process has started and imported this module."""


def _work(job: Job, number: int, piece: Piece) -> Done:
    _Process.make = _Process.make or maker(job)
    done = _Process.make(number, piece)
    _handed(job, number).unlink(missing_ok=True)
    return done
