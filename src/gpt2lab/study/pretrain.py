"""`gpt2lab pretrain`: random weights and a corpus become a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2lab.core import console
from gpt2lab.core.errors import UserError
from gpt2lab.model.gpt2 import GPT2, build, initialise
from gpt2lab.model.writing import write_model
from gpt2lab.study import run_folder, tasks, training
from gpt2lab.study.job import Job, block_of
from gpt2lab.study.run_folder import Intent
from gpt2lab.study.settings import RunSettings
from gpt2lab.text.corpus import open_corpus


def pretrain(settings: RunSettings, out: Path, intent: Intent, *, dry_run: bool = False) -> dict[str, Any]:
    if (found := run_folder.finished(out, settings, intent)) is not None:
        _refuse_changed(found, settings, out)
        console.say(f"{out}: already finished with these settings")
        return found
    corpus = open_corpus(Path(settings.data.source))
    tokenizer = corpus.tokenizer()
    config = settings.model.config(tokenizer.size, tokenizer.end_of_text)
    block = block_of(settings, config.context)

    def make() -> GPT2:
        model = build(GPT2, config, settings.model.vocabulary_multiple)
        initialise(model, settings.train.seed)
        return model

    job = Job(
        corpus,
        config,
        block,
        tasks.text(settings, corpus, block),
        make,
        lambda folder, model: write_model(folder, model, tokenizer),
        untrained=True,
    )
    return training.carry_out(settings, out, job, intent, dry_run=dry_run)


def _refuse_changed(found: dict[str, Any], settings: RunSettings, out: Path) -> None:
    """What a finished run was trained on may be gone; where it is there, or at another place, it is what it was."""
    try:
        corpus = open_corpus(Path(settings.data.source))
    except UserError:
        if run_folder.has_data_elsewhere(out, settings):
            raise
        return
    run_folder.refuse_changed(found, corpus, None)
