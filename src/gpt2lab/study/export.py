"""`gpt2lab export`: a model folder that stands alone, with a card that says what the model is and how that is known."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpt2lab.core import console, files, hub
from gpt2lab.core.errors import UserError
from gpt2lab.model.reading import ABOUT, HUB_NAMES, SIDE_FILES, find_model, read_config, weight_files, weight_hash
from gpt2lab.study import card
from gpt2lab.study.card_facts import Facts
from gpt2lab.study.runs import Run, open_run

CARD = "README.md"
Contents = dict[str, bytes | Path]  # what is written, or what is copied as it is


def export(source: str | Path, out: Path, repository: str | None = None, base: str | None = None) -> dict[str, Any]:
    """The folder at `out`; where one is already, it must hold the same model."""
    run = _finished(Path(source)) if (Path(source) / "run.json").is_file() else None
    folder = find_model(source)
    if folder.is_file():
        raise UserError("a checkpoint of another program is no model folder", place=source, way_out="name a run")
    on_hub, is_adapter = _base_on_hub(folder, run, base), (folder / "adapter_config.json").is_file()
    if is_adapter and on_hub is None:
        merge = shlex.join(["gpt2lab", "merge", str(source), "--out", "MODEL"])
        raise UserError(
            "this adapter's base is a folder here, which nobody else has", place=source,
            way_out=f"{merge}, and export MODEL; or name the base: --base OWNER/NAME",
        )  # fmt: skip
    contents = _adapter(folder, str(on_hub)) if is_adapter else _model(folder)
    weights = weight_hash(folder)
    results = _results(weights, run)
    facts = Facts(out.name, folder, read_config(folder), weights, results, run, on_hub)
    contents[CARD] = card.write(replace(facts, name=repository or out.name)).encode()
    _put(out, contents, card.write(facts).encode())
    return {
        "folder": str(out),
        "files": sorted(contents),
        "weights": weights,
        "base": on_hub,
        "results": [record["protocol"] for record in results],
    }


def _finished(source: Path) -> Run:
    run = open_run(source)
    if run.state != "finished":
        way_out = shlex.join(["gpt2lab", run.kind, "--resume", "--out", str(source)])
        raise UserError(f"the run is {run.state}, so its model is not made yet", place=source, way_out=way_out)
    return run


def _base_on_hub(folder: Path, run: Run | None, named: str | None) -> str | None:
    """The Hub id of what the model was tuned from, where that is no folder of this machine."""
    if named is not None and not hub.NAME.fullmatch(named):
        raise UserError("not the name of a repository", place="--base", way_out="names look like gpt2 or owner/name")
    known = named or _stored_base(folder, run)
    if known is None or not (named or hub.looks_like_repository(known)):
        return None
    return HUB_NAMES.get(known, known)


def _stored_base(folder: Path, run: Run | None) -> str | None:
    if run:
        return (run.record.get("base") or {}).get("path")
    about, config = folder / ABOUT, folder / "adapter_config.json"
    if about.is_file() and (stored := files.read_json(about)).get("base"):
        return stored["base"] if stored.get("on_hub") else None
    return files.read_json(config).get("base_model_name_or_path") if config.is_file() else None


def _results(weights: str, run: Run | None) -> list[dict[str, Any]]:
    """Every record of these very weights: the run's own, and those measured without one."""
    places = [*([run.folder / "results"] if run else []), files.home() / "results" / weights[:16]]
    found = [files.read_json(path) for place in places for path in sorted(place.glob("*.json"))]
    return [record for record in found if record.get("model", {}).get("weights") == weights]


def _model(folder: Path) -> Contents:
    weights = weight_files(folder)
    if any(file.suffix != ".safetensors" for file in weights):
        raise UserError("the weights are not in safetensors", place=folder, way_out="name a run, or what merge wrote")
    index = folder / "model.safetensors.index.json"
    in_shards = [index] if weights[0].name != "model.safetensors" else []
    return {path.name: path for path in [*_side_files(folder), *weights, *in_shards]}


def _adapter(folder: Path, base: str) -> Contents:
    """PEFT's files, with the base's name on the Hub in place of an address on this machine."""
    contents: Contents = {path.name: path for path in [*_side_files(folder), folder / "adapter_model.safetensors"]}
    stored = files.read_json(folder / "adapter_config.json")
    about = files.read_json(folder / ABOUT) if (folder / ABOUT).is_file() else {}
    contents["adapter_config.json"] = _json({**stored, "base_model_name_or_path": base})
    contents[ABOUT] = _json({**about, "base": base, "on_hub": True})
    return contents


def _side_files(folder: Path) -> list[Path]:
    return [folder / name for name in dict.fromkeys(SIDE_FILES) if (folder / name).is_file()]


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _put(out: Path, contents: Contents, under_its_own_name: bytes) -> None:
    """Made, or found made. A card that a person has changed is kept; one without the repository's name is not."""
    if out.exists():
        other = _other(out, contents)
        if other not in ([], [CARD]):
            way_out = "remove it, or choose another --out"
            raise UserError(f"something else is here: {', '.join(other[:3])}", place=out, way_out=way_out)
        console.say(f"{out}: already exported")
        if other and (out / CARD).is_file() and (out / CARD).read_bytes() != under_its_own_name:
            console.warn(f"the card is not the one that would be written now, and is kept: {out / CARD}")
        elif other:
            files.write_bytes(out / CARD, bytes(contents[CARD]))
        return
    with files.new_folder(out) as beside:
        for name, content in contents.items():
            if isinstance(content, bytes):
                files.write_bytes(beside / name, content)
            else:
                shutil.copyfile(content, beside / name)
    console.say(f"{out}: {console.counted(len(contents), 'file')}")


def _other(out: Path, contents: Contents) -> list[str]:
    """What is there and should not be, or is not as it would be written."""
    there = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    return sorted(
        name for name in there | contents.keys() if name not in contents or not _same(out / name, contents[name])
    )


def _same(path: Path, content: bytes | Path) -> bool:
    if not path.is_file():
        return False
    return path.read_bytes() == content if isinstance(content, bytes) else files.sha256(path) == files.sha256(content)
