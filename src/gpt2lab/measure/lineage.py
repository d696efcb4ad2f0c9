"""Which model a tuned one came from, as its run or its adapter's folder says."""

from __future__ import annotations

from pathlib import Path

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.model.reading import find_model, weight_hash

NAME_IT = "name it with --base MODEL"


def is_another(base: str, tuned: str | Path) -> bool:
    """Whether it is known that this is not what was tuned; where nothing says what was, anyone's word is taken."""
    try:
        _, weights = _named(tuned)
    except UserError:
        return False
    return weight_hash(find_model(base)) != weights


def base_of(tuned: str | Path) -> str:
    """A place that can be read, with the very weights that were tuned."""
    base, weights = _named(tuned)
    try:
        found = find_model(base)
    except UserError as error:
        raise UserError(f"the base it was tuned from is not at {base}", place=tuned, way_out=NAME_IT) from error
    if weight_hash(found) != weights:
        raise UserError(f"the model at {base} has other weights than the base that was tuned", place=tuned)
    return base


def _named(tuned: str | Path) -> tuple[str, str]:
    """The base's place and the hash of its weights."""
    run, adapter = Path(tuned) / "run.json", find_model(tuned) / "gpt2lab.json"
    if run.is_file():
        about = files.read_json(run).get("base")
        if not about:
            raise UserError("this run began from random weights: it has no base", place=tuned, way_out=NAME_IT)
        return str(about["path"]), about["weights"]
    about = files.read_json(adapter) if adapter.is_file() else {}
    if "base" not in about:
        raise UserError("nothing here says which base this model was tuned from", place=tuned, way_out=NAME_IT)
    return about["base"] if about.get("on_hub") else str(adapter.parent / about["base"]), about["base_weights"]
