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

from gpt2lab.core.errors import UserError
from gpt2lab.text import contamination
from gpt2lab.text import tokenizer as tokenizers
from gpt2lab.text.contamination import Known
from gpt2lab.text.documents import Piece
from gpt2lab.text.parts import make_part
from gpt2lab.text.settings import PrepareSettings
from gpt2lab.text.tokenizer import Tokenizer

WAITING_PER_WORKER = 2  # pieces that may hold their bytes in memory


@dataclass(frozen=True)
class Done:
    number: int
    size: int
    documents: int
    tokens: int


def part_file(folder: Path, number: int) -> Path:
    return folder / f"part-{number:07d}.safetensors"


@dataclass(frozen=True)
class Maker:
    """Everything one process needs to make parts."""

    folder: Path
    tokenizer: Tokenizer
    settings: PrepareSettings
    strict: bool
    known: Known

    def __call__(self, number: int, piece: Piece) -> Done:
        file = part_file(self.folder, number)
        documents, tokens = make_part(piece, file, self.tokenizer, self.settings, self.strict, self.known)
        return Done(number, piece.size, documents, tokens)


def maker(staging: Path, settings: PrepareSettings, strict: bool) -> Maker:
    known = contamination.load(staging, settings.contamination)
    return Maker(staging / "parts", tokenizers.load(staging / "tokenizer"), settings, strict, known)


def make_parts(
    pieces: Iterator[tuple[int, Piece]], staging: Path, settings: PrepareSettings, strict: bool, count: int
) -> Iterator[Done]:
    """Parts for these numbered pieces, as they get ready; one worker works in this process."""
    if count == 1:
        make = maker(staging, settings, strict)
        yield from (make(number, piece) for number, piece in pieces)
        return
    context = multiprocessing.get_context("spawn")  # forked threads of native engines may deadlock
    with ProcessPoolExecutor(count, context, _begin, (os.getpid(), staging, settings, strict)) as pool:
        waiting: set[Future[Done]] = set()
        try:
            for number, piece in pieces:
                with _deaf_to_ctrl_c():  # a submission may start a worker, which inherits this
                    waiting.add(pool.submit(_work, number, piece))
                if len(waiting) >= WAITING_PER_WORKER * count:
                    ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in ready)
            while waiting:
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ready)
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process died: no memory left, or a script that lacks `if __name__ == '__main__'`",
                way_out="run it again to continue; one worker (--workers 1) needs the least memory and no such guard",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


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

    make: Maker


def _begin(parent: int, staging: Path, settings: PrepareSettings, strict: bool) -> None:
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    _Process.make = maker(staging, settings, strict)


def _die_with(parent: int) -> None:
    """A killed parent cannot tell its children; without this they would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(number: int, piece: Piece) -> Done:
    return _Process.make(number, piece)
