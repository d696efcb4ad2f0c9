"""python docs/pictures/take.py STUDY: the pictures of the docs, taken from a study's report by a headless Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions")
# Name → what is shown of the page, the window, and what else the browser is told.
PICTURES: dict[str, tuple[str | None, str, tuple[str, ...]]] = {
    "verdict": (None, "1100,760", ()),
    "variants": ("variants", "1100,700", ()),
    "curves": ("curves", "1100,900", ()),
    "texts": ("texts", "1100,820", ()),
    "phone-in-the-dark": (None, "500,900", ("--force-dark-mode", "--blink-settings=preferredColorScheme=0")),
}


def alone(page: str, section: str | None) -> str:
    """The page with one of its sections, or as it begins."""
    if section is None:
        return page
    hidden = f"<style>main > *:not(#{section}), header, nav {{ display: none !important }}</style>"
    assert re.search(rf'id="{section}"', page), section
    return page.replace("</head>", f"{hidden}</head>")


def main() -> None:
    page = (Path(sys.argv[1]) / "report.html").read_text("utf-8")
    program = shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("no Chromium here")
    with tempfile.TemporaryDirectory() as place:
        for name, (section, window, more) in PICTURES.items():
            shown, picture = Path(place) / f"{name}.html", HERE / f"{name}.png"
            shown.write_text(alone(page, section), "utf-8")
            options = (f"--user-data-dir={place}/profile", f"--window-size={window}", f"--screenshot={picture}", *more)
            subprocess.run([program, *QUIET, *options, shown.as_uri()], check=True, capture_output=True, timeout=120)
            sys.stdout.write(f"{picture}: {picture.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main()
