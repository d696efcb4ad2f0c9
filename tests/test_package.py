"""A built wheel, installed elsewhere, has its recipes inside and works."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir", "-w", str(place), str(ROOT)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", place / "site", wheel], check=True)
    return place, wheel


def test_the_wheel_holds_recipes_templates_types_and_licence(installed):
    names = zipfile.ZipFile(installed[1]).namelist()
    assert "gpt2lab/recipes/quickstart.yaml" in names
    assert "gpt2lab/recipes/synthesis/fantasy-locations.yaml" in names
    assert "gpt2lab/study/templates/report.html.jinja" in names
    assert "gpt2lab/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_the_installed_wheel_runs_the_quickstart(installed, tmp_path):
    place, _ = installed

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(place / "site")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert str(place / "site") in run("-c", "import gpt2lab; print(gpt2lab.__file__)")
    assert "quickstart" in run("-m", "gpt2lab", "recipe", "list")
    assert "report:" in run("-m", "gpt2lab", "run", "quickstart", "--out", "study", "--only", "base", "train.steps=2")
    assert (tmp_path / "study" / "report.html").is_file()
