"""The report in a real Chromium: it opens from disk, its charts are drawn and answer, and no request leaves it."""

import html
import json
import re
import shutil
import struct
import subprocess
import zlib

import pytest

import studies
from command_line import fresh
from gpt2lab.core import files, lines
from gpt2lab.study import report

pytestmark = pytest.mark.browser
QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> \u202eabc "
    + "W" * 400
)


def chromium(tmp_path, page, *options):
    program = shutil.which("chromium") or shutil.which("google-chrome")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    line = [program, "--headless", "--no-sandbox", "--disable-gpu", *QUIET, profile, "--enable-logging=stderr"]
    return subprocess.run([*line, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)


def asked(tmp_path, page, script):
    """What a script finds out in the page, once the page's own has run."""
    beside = tmp_path / "asked.html"
    ask = f"<script>document.body.dataset.answer = JSON.stringify((() => {{ {script} }})());</script></body>"
    beside.write_text(page.read_text("utf-8").replace("</body>", ask), "utf-8")
    shown = chromium(tmp_path, beside, "--dump-dom", "--window-size=1200,900")
    assert "CONSOLE" not in shown.stderr, shown.stderr
    return json.loads(html.unescape(re.search(r'data-answer="(.*?)"', shown.stdout, re.DOTALL)[1]))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    place = studies.text_study(tmp_path_factory.mktemp("written"), names=("<b>full", "lora"), question=HOSTILE)
    for path in place.glob("runs/*/samples.jsonl"):
        rows = [studies.sample(HOSTILE, HOSTILE), *lines.read(path)]
        files.write_text(path, "".join(lines.encode(row) for row in rows))
    return report.write(place)


def test_it_opens_from_disk_without_a_message_or_a_request(page, tmp_path):
    log = tmp_path / "net.json"
    shown = chromium(tmp_path, page, "--dump-dom", f"--log-net-log={log}")
    assert "CONSOLE" not in shown.stderr
    title = re.search(r"<title>(.*?)</title>", shown.stdout)[1]
    assert title == "castles · gpt2lab"
    text = log.read_text()
    own = [url for url in re.findall(r'"url":"([^"]+)"', text) if "castles" in url or url.startswith("http://x")]
    assert own == []


def test_hostile_text_stays_text(page, tmp_path):
    found = asked(
        tmp_path, page,
        "return {images: document.images.length, title: document.title,"
        " heading: document.querySelector('h1').textContent,"
        " bold: [...document.querySelectorAll('b')].length}",
    )  # fmt: skip
    assert found == {"images": 0, "title": "castles · gpt2lab", "heading": HOSTILE, "bold": 0}


def test_charts_are_drawn_hide_lines_and_answer_the_keyboard(page, tmp_path):
    found = asked(
        tmp_path, page,
        """
        const chart = document.querySelector('.chart[data-name="loss-tuning"]');
        const parts = () => [...chart.querySelectorAll('[id*="--series-0-"]')];
        const before = parts().map((one) => one.style.display);
        const button = chart.closest('figure').querySelector('.legend button');
        button.click();
        const after = parts().map((one) => one.style.display), pressed = button.getAttribute('aria-pressed');
        button.click();
        chart.focus();
        chart.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
        const said = chart.querySelector('[aria-live]').textContent;
        chart.dispatchEvent(new KeyboardEvent('keydown', {key: 'End'}));
        const sizes = [...document.querySelectorAll('.chart svg')].map((one) => one.getBoundingClientRect().height);
        return {before, after, pressed, again: parts().map((one) => one.style.display), said,
                last: chart.querySelector('[aria-live]').textContent, sizes, described:
                [...document.querySelectorAll('.chart')].every((one) => one.getAttribute('aria-label').length > 20)}
        """,
    )  # fmt: skip
    assert found["before"]
    assert set(found["before"]) == {""}
    assert set(found["after"]) == {"none"}
    assert set(found["again"]) == {""}
    assert found["pressed"] == "false"
    assert found["said"].startswith("<b>full-seed-1, training · step 1: ")
    assert "step 20: " in found["last"]
    assert min(found["sizes"]) > 100
    assert found["described"]


def test_blind_ratings_hide_the_names_and_are_saved_with_them(page, tmp_path):
    found = asked(
        tmp_path, page,
        """
        let saved = null, name = null;
        URL.createObjectURL = (blob) => { saved = blob; return 'data:,'; };
        HTMLAnchorElement.prototype.click = function () { name = this.download; };
        const shown = (one) => getComputedStyle(document.querySelector(one)).display !== 'none';
        const before = [shown('.named'), shown('.rating')];
        document.getElementById('judge').click();
        const after = [shown('.named'), shown('.rating')];
        document.querySelectorAll('input[type=radio][value="4"]')[1].checked = true;
        document.getElementById('export').click();
        const rows = JSON.parse(document.getElementById('rating').textContent);
        return {before, after, name, size: saved.size, second: rows[0].texts[1].variant,
                named: document.querySelector('.rating').innerText.includes('lora\\n'),
                status: document.getElementById('exported').textContent}
        """,
    )  # fmt: skip
    assert found["before"] == [True, False]
    assert found["after"] == [False, True]
    assert found["name"] == "ratings.json"
    assert found["size"] > 100
    assert not found["named"]
    assert found["status"] == "1 ratings written to ratings.json"


@pytest.mark.parametrize("size", ["1200,900", "500,900"])
def test_nothing_is_wider_than_the_window(page, tmp_path, size):
    beside = tmp_path / "asked.html"
    ask = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    beside.write_text(page.read_text("utf-8").replace("</body>", ask), "utf-8")
    shown = chromium(tmp_path, beside, "--dump-dom", f"--window-size={size}")
    wide, window = re.search(r"<title>(\d+) of (\d+)</title>", shown.stdout).groups()
    assert int(wide) <= int(window)


def test_dark_and_light_are_the_readers_choice(page, tmp_path):
    colours = {}
    for name, options in (("light", ()), ("dark", ("--force-dark-mode", "--blink-settings=preferredColorScheme=0"))):
        picture = tmp_path / f"{name}.png"
        chromium(tmp_path, page, "--window-size=600,600", f"--screenshot={picture}", *options)
        colours[name] = sum(corner(picture)[:3])
    assert colours["light"] > 700
    assert colours["dark"] < 120


def test_a_real_study_opens_as_well(tmp_path):
    made = fresh(
        "run",
        "quickstart",
        "--out",
        tmp_path / "study",
        "--only",
        "base",
        "train.steps=2",
        GPT2LAB_HOME=str(tmp_path / "home"),
    )
    assert made.returncode == 0, made.stderr
    shown = chromium(tmp_path, tmp_path / "study" / "report.html", "--dump-dom")
    assert "perplexity/blocks@1" in shown.stdout
    assert "CONSOLE" not in shown.stderr


def corner(picture):
    """The first pixel of a PNG: its filter has nothing before it to add."""
    data = picture.read_bytes()
    packed, place = b"", 8
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        packed += data[place + 8 : place + 8 + size] if kind == b"IDAT" else b""
        place += 12 + size
    return zlib.decompress(packed)[1:5]
