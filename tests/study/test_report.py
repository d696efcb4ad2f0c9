"""The report shows what the files hold, and hostile text stays text."""

from gpt2lab.core import files, lines
from gpt2lab.model.config import parameter_count
from gpt2lab.model.writing import write_model
from gpt2lab.study import report
from models import TINY, language_model


def study(folder, sample):
    files.write_json(folder / "study.json", {"name": "<b>name</b>", "question": "Why <script>alert(1)</script>?"})
    splits = {"train": {"tokens": 1234}}
    files.write_json(folder / "corpus" / "corpus.json", {"source": {"data": "x"}, "splits": splits})
    run = folder / "runs" / "base"
    write_model(run / "model", language_model())
    facts = {"steps": 3, "training_seconds": 1.0, "device": "cpu", "precision": "fp32", "state": "finished"}
    files.write_json(run / "run.json", facts)
    files.write_text(run / "metrics.jsonl", lines.encode({"loss": 4.6}))
    files.write_text(run / "samples.jsonl", lines.encode({"prompt": "p", "text": sample}))
    result = {"protocol": "perplexity/blocks@1", "value": 12.345, "counts": {"tokens_scored": 678}}
    files.write_json(run / "results" / "a.json", result)
    return folder


def test_every_figure_comes_from_its_file(tmp_path):
    page = report.write(study(tmp_path, "fine")).read_text()
    for text in ("12.35", "678", "1,234", "4.60", f"{parameter_count(TINY):,}"):
        assert text in page, text


def test_hostile_text_stays_text(tmp_path):
    page = report.write(study(tmp_path, "</blockquote><script>alert(2)</script><img src=x onerror=y>")).read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(2)" in page
