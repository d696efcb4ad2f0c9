"""What all tests share: a home of their own, and the rule that nothing is skipped without saying why."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from gpt2lab.core import console
from loopback_hub import LoopbackHub, environment

# These machines are noisy, so no example has a time limit; in CI the examples are the same every time.
hypothesis.settings.register_profile("ours", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("ours")

# A test may be skipped for these reasons alone; .ci/run fails on any other.
REASONS = {
    "gpu": "no CUDA device",
    "browser": "no Chromium",
    "compile": "no C++ compiler",
    "real_data": "GPT2LAB_REAL_DATA names no folder",
}
ROOT = Path(__file__).parent.parent


def _missing(marker: str) -> bool:
    if marker == "gpu":
        import torch

        return not torch.cuda.is_available()
    if marker == "browser":
        return not (shutil.which("chromium") or shutil.which("google-chrome"))
    if marker == "compile":
        return not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++"))
    return not Path(os.environ.get("GPT2LAB_REAL_DATA", "/nowhere")).is_dir()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {marker: _missing(marker) for marker in REASONS if any(item.get_closest_marker(marker) for item in items)}
    for item in items:
        for marker, reason in REASONS.items():
            if item.get_closest_marker(marker) and missing[marker]:
                item.add_marker(pytest.mark.skip(reason=f"{marker}: {reason}"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that was skipped for a reason of its own is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    skipped = reporter.stats.get("skipped", ())
    if named := os.environ.get("GPT2LAB_SKIPPED"):
        with Path(named).open("a") as file:
            file.writelines(f"{_reason(report)}: {report.nodeid}\n" for report in skipped)
    unexplained = [report for report in skipped if not _explained(report)]
    for report in unexplained:
        reporter.write_line(f"skipped without an allowed reason: {report.nodeid}", red=True)
    if unexplained:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _explained(report: pytest.TestReport) -> bool:
    return any(_reason(report).startswith(f"{marker}: ") for marker in REASONS)


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes what belongs to the user, and none waits for a network."""
    console.configure("normal")
    base = Path(os.environ.get("GPT2LAB_TEST_HOME") or tmp_path_factory.getbasetemp().parent / "home")
    monkeypatch.setenv("GPT2LAB_HOME", str(base))
    monkeypatch.setenv("GPT2LAB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(base / "huggingface"))
    return base


@pytest.fixture(scope="session")
def real_data() -> Path:
    return Path(os.environ["GPT2LAB_REAL_DATA"])


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[LoopbackHub], None]:
    """`online(hub)`: from here on the Hub is this one on loopback, with an empty cache."""

    def use(hub: LoopbackHub) -> None:
        monkeypatch.delenv("GPT2LAB_OFFLINE")
        for name, value in environment(hub, tmp_path / "cache").items():
            monkeypatch.setenv(name, value)

    return use
