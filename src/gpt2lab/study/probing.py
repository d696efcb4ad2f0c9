"""What a run's `probe.*` settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpt2lab.core.errors import UserError
from gpt2lab.measure import probes
from gpt2lab.measure.settings import EvaluateSettings, Evaluation
from gpt2lab.study.settings import ProbeSettings
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.loop import Probe
from gpt2lab.train.processes import Team


def looker(settings: ProbeSettings, tokenizer: Tokenizer, window: int) -> Callable[[Team], Probe] | None:
    """What makes the probe, its data read already; None where nothing is asked for."""
    if not settings.protocols:
        return None
    if settings.data is None:
        raise UserError("what to measure on is missing", place="probe.protocols", way_out="add probe.data=DATA")
    asked = Evaluation(evaluate=EvaluateSettings(limit=settings.limit))
    made = probes.measure(
        settings.protocols, settings.data, asked, settings.every, tokenizer, window,
        local=Path(settings.local) if settings.local else None,
    )  # fmt: skip
    return made.with_team
