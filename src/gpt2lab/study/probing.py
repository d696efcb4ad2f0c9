"""What is looked at while a run is trained: what its `probe.*` settings ask for, and what `train.watch` may name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpt2lab.core.errors import UserError
from gpt2lab.measure import probes
from gpt2lab.measure.settings import EvaluateSettings, Evaluation
from gpt2lab.study.settings import AnySettings, ProbeSettings
from gpt2lab.text.tokenizer import Tokenizer
from gpt2lab.train.loop import Probe
from gpt2lab.train.plan import Unit
from gpt2lab.train.processes import Team
from gpt2lab.train.watch import is_low_better


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


def refuse_blind_watch(settings: AnySettings, unit: Unit) -> None:
    """What nobody says is never best, and patience with it never ends."""
    train, probes = settings.train, settings.probe.protocols
    own = ["validation_loss", *(["validation_accuracy"] if unit == "texts" else [])]
    if train.watch not in own and not any(f"{train.watch}/".startswith(f"{name}/") for name in probes):
        probed = [name if is_low_better(name) else f"{name}/accuracy" for name in probes]
        raise UserError(
            f"nothing says {train.watch!r} while this is trained", place="train.watch",
            way_out=f"one of: {', '.join([*own, *probed])}; more with probe.protocols",
        )  # fmt: skip
    asked, every = "train.validate_every", train.validate_every
    if train.watch not in own:
        asked, every = "probe.every", settings.probe.every
    if train.patience and not every:
        raise UserError("train.patience needs something to look at", way_out=f"give {asked} as well")
