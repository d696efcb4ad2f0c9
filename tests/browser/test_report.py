"""The report in a real Chromium: it opens from disk, its table is drawn, and no request leaves it."""

import shutil
import subprocess

import pytest

from command_line import fresh

pytestmark = pytest.mark.browser
QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")


def chromium(tmp_path, page, *options):
    program = shutil.which("chromium") or shutil.which("google-chrome")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    line = [program, "--headless", "--no-sandbox", "--disable-gpu", *QUIET, profile, "--enable-logging=stderr"]
    return subprocess.run([*line, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    made = fresh("run", "quickstart", "--out", place / "study", "train.steps=2", GPT2LAB_HOME=str(place / "home"))
    assert made.returncode == 0, made.stderr
    return place / "study" / "report.html"


def test_it_opens_from_disk_without_a_message_on_its_console(page, tmp_path):
    shown = chromium(tmp_path, page, "--dump-dom")
    assert "perplexity/blocks@1" in shown.stdout
    assert "CONSOLE" not in shown.stderr


@pytest.mark.parametrize("size", ["1200,900", "360,800"])
def test_a_picture_of_it_is_not_empty(page, tmp_path, size):
    picture = tmp_path / "report.png"
    chromium(tmp_path, page, f"--window-size={size}", f"--screenshot={picture}")
    assert picture.stat().st_size > 10_000
