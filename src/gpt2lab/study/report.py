"""A study folder becomes `report.html`: one file, no request leaves it, everything shown is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from gpt2lab.core import files, lines
from gpt2lab.core.errors import UserError
from gpt2lab.model.config import from_huggingface, parameter_count


def write(study: Path) -> Path:
    pages = Environment(loader=PackageLoader("gpt2lab.study"), autoescape=True)
    path = study / "report.html"
    files.write_text(path, pages.get_template("report.html.jinja").render(**facts(study)))
    return path


def facts(study: Path) -> dict[str, Any]:
    """Everything the page shows, each from the file that holds it."""
    if not (study / "study.json").is_file():
        raise UserError("no study is here", place=study, way_out="name the folder that gpt2lab run made")
    return {
        "recipe": files.read_json(study / "study.json"),
        "corpus": files.read_json(corpus) if (corpus := study / "corpus" / "corpus.json").is_file() else None,
        "variants": [_variant(folder) for folder in _finished(study / "runs")],
    }


def _finished(runs: Path) -> list[Path]:
    return sorted(path.parent.parent for path in runs.glob("*/model/config.json"))


def _variant(folder: Path) -> dict[str, Any]:
    config_path = folder / "model" / "config.json"
    results = [files.read_json(path) for path in sorted((folder / "results").glob("*.json"))]
    return {
        "name": folder.name,
        "run": files.read_json(folder / "run.json"),
        "parameters": parameter_count(from_huggingface(files.read_json(config_path), config_path)),
        "losses": [line["loss"] for line in lines.read(folder / "metrics.jsonl")],
        "results": results,
        "samples": list(lines.read(folder / "samples.jsonl")),
    }
