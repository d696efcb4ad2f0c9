"""A run's folder: begun once, resumed only as what it is, prolonged on purpose."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from gpt2lab.core import environment, files, hardware
from gpt2lab.core import settings as strict
from gpt2lab.core.errors import UserError
from gpt2lab.study.settings import AnySettings, resumed
from gpt2lab.text.corpus import Corpus
from gpt2lab.train.plan import Plan
from gpt2lab.train.processes import Team

LIMITS = ("steps", "tokens", "epochs", "minutes", "patience")
WHERE = {"device", "track"}
DATA_WHERE = {"source", "local"}  # the corpus may have moved: what it holds is checked by its hash
HOW = ("threads", "processes", "torch", "device", "precision", "compile", "micro_batch")
SAME_UP_TO_ROUNDING = ("micro_batch", "compile")  # settings that --allow-different lets change


@dataclass(frozen=True)
class Intent:
    """What the user asked for beside the settings."""

    resume: bool = False
    extend: bool = False
    allow_different: bool = False


def finished(out: Path, settings: AnySettings, intent: Intent) -> dict[str, Any] | None:
    """A finished run's record, where nothing is left to do."""
    if not (out / "run.json").is_file():
        return None
    stored = _record(out)
    if stored["state"] != "finished" or (intent.extend and _other_limits(out, settings)):
        return None
    refuse_change(out, settings, intent)
    return stored


def refuse_what_else_is_here(out: Path, own: str) -> None:
    """A folder holds one run, one search or one study; `own` is the file by which it is told."""
    for name, what in {"run.json": "a run", "search.json": "a search", "study.json": "a study"}.items():
        if name != own and (out / name).is_file():
            raise UserError(f"{what} is here", place=out, way_out="choose another --out")


def is_unfinished(out: Path) -> bool:
    """Whether a run is here that `--resume` continues."""
    return (out / "run.json").is_file() and _record(out)["state"] == "unfinished"


def _record(out: Path) -> dict[str, Any]:
    stored = files.read_json(out / "run.json")
    if not isinstance(stored, dict) or not stored.keys() >= {"kind", "state", "corpus", "tokenizer", "decided"}:
        raise UserError(
            "the run is damaged: its record does not say what it is",
            place=out / "run.json",
            way_out="put the file back, or choose another --out",
        )
    return stored


def begun(
    out: Path, settings: AnySettings, corpus: Corpus, intent: Intent, lineage: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """The record of a run that goes on; None where none has begun."""
    refuse_what_else_is_here(out, "run.json")
    if not (out / "run.json").is_file():
        return None
    stored = _record(out)
    if not (intent.resume or intent.extend):
        raise UserError(f"an {stored['state']} run is here", place=out, way_out=resume_command(stored["kind"], out))
    refuse_change(out, settings, intent)
    refuse_changed(stored, corpus, lineage)
    return stored


def refuse_changed(stored: dict[str, Any], corpus: Corpus, lineage: dict[str, Any] | None) -> None:
    """What a run began from must be what it was, whatever its path says."""
    began = {"corpus": stored["corpus"], "tokenizer": stored["tokenizer"]}
    now = {"corpus": corpus.hash, "tokenizer": corpus.manifest["tokenizer"]["hash"]}
    if lineage:
        began["base"], now["base"] = stored["base"]["weights"], lineage["weights"]
    for what, there in began.items():
        if there != now[what]:
            place = lineage["path"] if lineage and what == "base" else corpus.folder
            raise UserError(f"the {what} has changed since the run began", place=place, way_out="start a new run")


def has_data_elsewhere(out: Path, settings: AnySettings) -> bool:
    """Whether the data are asked for at another place than when the run began."""
    there, wanted = resumed(out).data, settings.data
    return any(getattr(there, name, None) != getattr(wanted, name, None) for name in DATA_WHERE)


def decided(plan: Plan, team: Team) -> dict[str, Any]:
    """What `auto`, a time limit and this machine decided, as numbers."""
    return {
        "steps": plan.steps,
        "last_row": plan.last_row,
        "partial": plan.partial,
        "rows": plan.rows,
        "batch_rows": plan.batch_rows,
        "micro_batch": plan.micro_batch,
        "precision": plan.precision,
        "compile": plan.settings.compile,
        "device": hardware.device_name(plan.device),
        "threads": torch.get_num_threads(),
        "processes": team.size,
        "torch": torch.__version__,
    }


def refuse_other_circumstances(stored: dict[str, Any], now: dict[str, Any], out: Path, intent: Intent) -> None:
    """Bit-equal needs the same machine, torch, threads, processes and micro-batch; others agree to rounding."""
    changed = [f"{key}: {stored[key]} there, {now[key]} here" for key in HOW if stored[key] != now[key]]
    if changed and not intent.allow_different:
        raise UserError(
            "here the run would go on equal up to rounding alone, not bit for bit: " + "; ".join(changed),
            place=out,
            way_out="restore that, or accept it with --allow-different",
        )


def write(
    out: Path,
    settings: AnySettings,
    corpus: Corpus,
    choices: dict[str, Any],
    before: dict[str, Any] | None,
    lineage: dict[str, Any] | None = None,
) -> None:
    """run.json and run.yaml as the run begins or goes on."""
    record = before or {
        "kind": settings.kind,
        "started": _now(),
        "corpus": corpus.hash,
        "corpus_folder": str(corpus.folder.resolve()),
        "tokenizer": corpus.manifest["tokenizer"]["hash"],
        "environment": environment.record(),
        "base": lineage,
    }
    files.write_text(out / "run.yaml", yaml.safe_dump(settings.as_dict(), sort_keys=False, allow_unicode=True))
    files.write_json(out / "run.json", {**record, "state": "unfinished", "decided": choices})


def finish(out: Path, facts: dict[str, Any]) -> dict[str, Any]:
    stored = {**files.read_json(out / "run.json"), "state": "finished", "finished": _now(), **facts}
    files.write_json(out / "run.json", stored)
    return stored


def resume_command(kind: str, out: Path, processes: int = 1) -> str:
    several = f" --processes {processes}" if processes > 1 else ""
    return f"gpt2lab {kind} --resume --out {shlex.quote(str(out))}{several}"


def refuse_change(out: Path, settings: AnySettings, intent: Intent) -> None:
    there, wanted = _compared(resumed(out), intent), _compared(settings, intent)
    if there["kind"] != wanted["kind"]:
        raise UserError(f"a {there['kind']} run is here", place=out, way_out="choose another --out")
    if changed := strict.differences(there, wanted):
        longer = all(one.partition(":")[0] in {f"train.{name}" for name in LIMITS} for one in changed)
        raise UserError(
            "a run with other settings is here: " + "; ".join(changed),
            place=out,
            way_out="prolong it with --extend, or choose another --out" if longer else "choose another --out",
        )


def _compared(settings: AnySettings, intent: Intent) -> dict[str, Any]:
    values = {key: value for key, value in settings.as_dict().items() if key not in WHERE}
    values["data"] = {key: value for key, value in values["data"].items() if key not in DATA_WHERE}
    free = (LIMITS if intent.extend else ()) + (SAME_UP_TO_ROUNDING if intent.allow_different else ())
    values["train"] = {key: value for key, value in values["train"].items() if key not in free}
    return values


def _other_limits(out: Path, settings: AnySettings) -> bool:
    there, wanted = resumed(out).train, settings.train
    return any(getattr(there, name) != getattr(wanted, name) for name in LIMITS)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
