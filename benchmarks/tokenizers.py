"""python benchmarks/tokenizers.py: text to ids in MB/s, one core, GPT-2's vocabulary, English.

Every round encodes text that no engine has seen before, so that caches help only as they would on a real corpus.
Needs GPT2LAB_REAL_DATA (gpt2-bpe and wikipedia). The two slow engines get a tenth of it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # before any engine starts its threads
os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path[0] = str(Path(__file__).parent.parent)  # this file's own folder would hide the package of its name

import json  # noqa: E402
import lzma  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Callable  # noqa: E402

import transformers  # noqa: E402
from benchmarks.common import median, save, table, take_turns  # noqa: E402
from tests.vocabularies import as_tiktoken, gpt2  # noqa: E402

from gpt2lab.text import engines  # noqa: E402

MEGABYTES = 14
ROUNDS = 5


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    folder = Path(os.environ["GPT2LAB_REAL_DATA"])
    texts = slices(folder)
    ours = gpt2(folder)
    reference, tiktoken = engines.Reference(ours.vocabulary), as_tiktoken(ours)
    assert ours.engine.name == "fastokens"
    with tempfile.TemporaryDirectory() as place:
        ours.save(Path(place))
        auto = transformers.AutoTokenizer.from_pretrained(place)
    assert ours.encode(texts[0]).tolist() == tiktoken.encode_ordinary(texts[0])
    encoders = {
        "ours, extra `fast` (fastokens)": ours.encode,
        "tiktoken": lambda text: tiktoken.encode_to_numpy(text, disallowed_special=()),
        "ours, without the extra (tokenizers)": lambda text: reference.encode_many([text]),
        "transformers": auto,
    }
    seconds = take_turns({name: turn(name, encode, texts) for name, encode in encoders.items()}, ROUNDS + 1)
    rows = []
    for name, spent in seconds.items():
        rates = [len(part(name, text).encode()) / 1e6 / second for text, second in zip(texts[1:], spent[1:])]
        rows.append({"engine": name, "mb_per_second": median(rates), "rounds": rates})
    base = next(row["mb_per_second"] for row in rows if row["engine"] == "tiktoken")
    for row in rows:
        row["times_tiktoken"] = row["mb_per_second"] / base
    table(
        ("engine", "MB/s", "× tiktoken"),
        [(row["engine"], f"{row['mb_per_second']:.1f}", f"{row['times_tiktoken']:.1f}") for row in rows],
    )
    save(
        "tokenizers",
        {"what": f"{MEGABYTES} MB of English a round, {ROUNDS} rounds after one to warm up, one core", "engines": rows},
    )


def slices(folder: Path) -> list[str]:
    """Distinct texts, one a round."""
    found, current, size = [], [], 0
    for name in ("good_articles_2019", "short_articles_2021"):
        with lzma.open(folder / "wikipedia" / f"{name}.jsonl.xz", "rt", encoding="utf-8") as file:
            for line in file:
                text = json.loads(line)["text"]
                current.append(text)
                size += len(text.encode())
                if size >= MEGABYTES * 1e6:
                    found.append("\n".join(current))
                    current, size = [], 0
    assert len(found) > ROUNDS, "not enough text"
    return found[: ROUNDS + 1]


def part(name: str, text: str) -> str:
    """The two slow engines get a tenth."""
    return text[: len(text) // 10] if name.endswith(("(tokenizers)", "transformers")) else text


def turn(name: str, encode: Callable[[str], object], texts: list[str]) -> Callable[[int], Callable[[], object]]:
    """First a little untimed: in its turn each engine finds its tables pushed out of the processor's caches."""

    def ready(number: int) -> Callable[[], object]:
        encode(texts[number - 1][:500_000])
        text = part(name, texts[number])
        return lambda: encode(text)

    return ready


if __name__ == "__main__":
    main()
