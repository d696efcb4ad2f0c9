"""Which model a tuned one came from, as its run or its adapter's folder says."""

from __future__ import annotations

from pathlib import Path

from gpt2lab.core import files
from gpt2lab.core.errors import UserError
from gpt2lab.model.reading import find_model, weight_hash

NAME_IT = "name it with --base MODEL"


def base_of(tuned: str | Path) -> str:
    """A place that can be read, with the very weights that were tuned."""
    run, adapter = Path(tuned) / "run.json", find_model(tuned) / "gpt2lab.json"
    if run.is_file():
        about = files.read_json(run).get("base")
        if not about:
            raise UserError("this run began from random weights: it has no base", place=tuned, way_out=NAME_IT)
        base, weights = str(about["path"]), about["weights"]
    elif "base" in (about := files.read_json(adapter) if adapter.is_file() else {}):
        base = about["base"] if about.get("on_hub") else str(adapter.parent / about["base"])
        weights = about["base_weights"]
    else:
        raise UserError("nothing here says which base this model was tuned from", place=tuned, way_out=NAME_IT)
    try:
        found = find_model(base)
    except UserError as error:
        raise UserError(f"the base it was tuned from is not at {base}", place=tuned, way_out=NAME_IT) from error
    if weight_hash(found) != weights:
        raise UserError(f"the model at {base} has other weights than the base that was tuned", place=tuned)
    return base
