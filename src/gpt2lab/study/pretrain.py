"""`gpt2lab pretrain`: random weights and a corpus become a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.measure import perplexity, records
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt2 import GPT2, build, initialise
from gpt2lab.model.reading import weight_hash
from gpt2lab.model.writing import write_model
from gpt2lab.study import run_folder, training
from gpt2lab.study.job import Job
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.sampling import Sample
from gpt2lab.study.settings import AnySettings, RunSettings
from gpt2lab.text.batches import Blocks, Mixture, Rows
from gpt2lab.text.corpus import Corpus, open_corpus
from gpt2lab.train.loop import Probe
from gpt2lab.train.objectives import language_modelling
from gpt2lab.train.processes import Team
from gpt2lab.train.validation import Validate


def pretrain(settings: RunSettings, out: Path, intent: Intent, *, dry_run: bool = False) -> dict[str, Any]:
    if (found := run_folder.finished(out, settings, intent)) is not None:
        console.say(f"{out}: already finished with these settings")
        return found
    corpus = open_corpus(Path(settings.data))
    tokenizer = corpus.tokenizer()
    config = settings.model.config(tokenizer.size, tokenizer.end_of_text)
    return training.carry_out(settings, out, _job(settings, corpus, config), intent, dry_run=dry_run)


def _job(settings: RunSettings, corpus: Corpus, config: GPT2Config) -> Job:
    block = block_of(settings, config)

    def make() -> GPT2:
        model = build(GPT2, config, settings.model.vocabulary_multiple)
        initialise(model, settings.train.seed)
        return model

    return Job(
        corpus,
        config,
        block,
        blocks_of(corpus, block),
        make,
        language_modelling,
        lambda team: text_probes(settings, corpus, block, team),
        lambda folder, model: write_model(folder, model, corpus.tokenizer()),
        lambda out, model: measure(out, model, corpus, block),
        untrained=True,
    )


def block_of(settings: AnySettings, config: GPT2Config) -> int:
    block = settings.train.block or config.context
    if block > config.context:
        raise UserError(f"train.block is {block} and the model's context only {config.context}")
    return block


def blocks_of(corpus: Corpus, block: int) -> Rows:
    """Blocks of the shuffled stream, or of several by weight."""
    parts = [Blocks(source.split("train"), block) for source in corpus.sources]
    rows = Mixture(parts, corpus.weights) if corpus.weights else parts[0]
    if rows.rows == 0:
        raise UserError("the corpus holds no text to train on", place=corpus.folder, way_out="prepare more text")
    return rows


def text_probes(settings: AnySettings, corpus: Corpus, block: int, team: Team) -> Sequence[Probe]:
    train, sampling = settings.train, settings.sample
    sample = Sample(corpus.tokenizer(), sampling.prompts, sampling, sampling.every) if sampling.prompts else None
    held_out = [Blocks(source.split("validation"), block) for source in corpus.sources if "validation" in source.splits]
    looks = [Validate(held_out, train.validate_every, train.validate_tokens, team)] if held_out else []
    return [*looks, *([sample] if sample else [])]


def measure(out: Path, model: GPT2, corpus: Corpus, block: int) -> None:
    """Every source's held-out text, under its protocol."""
    for source in corpus.sources:
        if "validation" in source.splits:
            record = perplexity.blocks(model, source.split("validation"), block)
            record["model"] = {"path": "model", "weights": weight_hash(out / "model")}
            record["data"] = {"path": str(source.folder), "hash": source.hash}
            records.write(out / "results", record)
            scored = console.counted(record["counts"]["tokens_scored"], "token")
            console.say(f"validation: perplexity {record['value']:.2f} ({record['protocol']}, {scored})")
