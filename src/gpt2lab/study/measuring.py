"""What a recipe measures, on every variant and on what it began from, under the same protocols and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2lab.core import console, files
from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.measure import evaluate, plans, records
from gpt2lab.measure.settings import Evaluation
from gpt2lab.study.data import refuse_unknown
from gpt2lab.study.recipe import CORPUS, SYNTHESIZED, MeasureSettings, Recipe
from gpt2lab.text.sources import chosen_columns

OF_A_CORPUS = ("labels", "perplexity/blocks")  # measured on the splits that the tuning was given
NEEDS_A_BASE = ("forgetting", "text-quality")
SAMPLES = "samples"  # as the data of a measure: what the model has written
GAPS = "unmeasured.json"  # protocol → why it could not be measured


def measure(recipe: Recipe, model: str, place: Path, base: str, device: str) -> None:
    """Records in `place/results`; one that cannot be made is said, kept for the report, and stops nothing else."""
    gaps: dict[str, str] = {}
    for wanted in recipe.measures:
        tuned = model != base
        protocols = [name for name in wanted.protocols if tuned or name not in NEEDS_A_BASE]
        if not protocols:
            continue
        try:
            found = evaluate.evaluate(
                model,
                protocols,
                _data(recipe, wanted, place),
                settings_of(wanted),
                device,
                local=Path(wanted.local) if wanted.local else None,
                base=base if set(protocols) & set(NEEDS_A_BASE) else None,
            )
        except UserError as error:
            console.warn(f"{place.name}: {wanted.protocol} was not measured: {error}")
            gaps[wanted.protocol] = error.cause
            continue
        for record in found:
            records.write(place / "results", record)
            _say(place.name, record)
    if gaps:
        files.write_json(place / GAPS, gaps)
    else:
        (place / GAPS).unlink(missing_ok=True)


def settings_of(wanted: MeasureSettings) -> Evaluation:
    """Checked before anything is trained, and the protocols too."""
    for name in wanted.protocols:
        evaluate.family_of(name)
    overrides = [f"{key}={value}" for key, value in wanted.settings.items()]
    settings = strict.resolve(Evaluation, overrides=overrides, said=f"measures, {wanted.protocol}")
    plans.refuse_idle(settings, wanted.protocols)
    if wanted.data is not None:
        local, columns = Path(wanted.local) if wanted.local else None, chosen_columns(settings.data)
        made = (SYNTHESIZED, CORPUS, SAMPLES)
        refuse_unknown(wanted.data, local, columns, f"measures, {wanted.protocol}", made)
    return settings


def _data(recipe: Recipe, wanted: MeasureSettings, place: Path) -> str:
    if wanted.data == SAMPLES:
        return str(place / "samples.jsonl")
    if wanted.data is None and wanted.protocol in OF_A_CORPUS and (place / "run.json").is_file():
        return files.read_json(place / "run.json")["corpus_folder"]
    return wanted.data or recipe.data.source


def _say(name: str, record: dict[str, Any]) -> None:
    interval = record.get("interval")
    around = f" [{interval['low']:.4g}, {interval['high']:.4g}]" if interval else ""
    value = record.get("value")
    console.say(
        f"{name}: {record['protocol']} {value:.4g}{around}" if value is not None else f"{name}: {record['protocol']}"
    )
