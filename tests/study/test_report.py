"""The report shows what the study's files hold and nothing else, and hostile text stays text."""

import csv
import html
import json
import math
import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import yaml

import studies
from gpt2lab.core import files, lines
from gpt2lab.core.errors import UserError
from gpt2lab.measure import comparison, intervals, records
from gpt2lab.measure.differences import holm, paired_seeds
from gpt2lab.study import report
from gpt2lab.study.report import against, charts, columns, facts, uses

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=y> \"'`$\\frac{1}{0}$ | **b** \u202eright to left\u202c "
    + "W" * 300
)


def words(page):
    """What a reader sees of it."""
    page = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    place = studies.text_study(tmp_path_factory.mktemp("study"))
    report.write(place)
    return place


@pytest.fixture(scope="module")
def page(study):
    return (study / "report.html").read_text("utf-8")


def target_of(study):
    read = facts.of_study(study)
    return columns.aim(columns.columns(read), read)


def test_the_verdict_names_the_variant_that_is_shown_to_be_better(page):
    headline = re.search(r'class="verdict">\s*<p>(.*?)</p>', page, re.DOTALL)[1]
    assert headline.startswith("full is better than base, and better than lora, which is better than base as well")
    assert "full against lora, the next best: lower by" in words(page)


def test_a_difference_has_to_stand_out_among_documents_and_among_seeds(study):
    target = target_of(study)
    found = against.all_against(target, "base")
    assert found["full"].items.n == studies.DOCUMENTS
    by_seed = [comparison.compare(one, target.cells["base"][0][1]).value for _, one in target.cells["full"]]
    assert found["full"].items.value == pytest.approx(sum(by_seed) / 3)
    seeds = paired_seeds(by_seed, [0.0] * 3)
    assert found["full"].seeds.p == pytest.approx(seeds.p)
    assert found["full"].p == max(found["full"].items.p, found["full"].seeds.p)
    adjusted = holm([found[name].p for name in ("full", "lora")])
    assert [found[name].adjusted for name in ("full", "lora")] == pytest.approx(adjusted)


def test_seeds_that_disagree_show_nothing_however_many_documents_agree(tmp_path):
    for seed, gain in ((1, 0.3), (2, -0.25), (3, 0.28)):
        studies.run(
            tmp_path / "runs" / f"full-seed-{seed}", found=[studies.perplexity(f"f{seed}", gain, seed)], seed=seed
        )
    studies.run(tmp_path / "runs" / "base", kind="pretrain", found=[studies.perplexity("base", 0.0)])
    files.write_json(tmp_path / "study.json", {"name": "n", "question": "?", "variants": {"full": {}}})
    found = against.all_against(target_of(tmp_path), "base")["full"]
    assert found.items.shown
    assert not found.shown
    assert "the seeds spread more than that" in found.wording()
    text = words(report.write(tmp_path).read_text("utf-8"))
    assert "No variant is shown to be better than base" in text


def test_a_variant_against_itself_shows_no_difference(tmp_path):
    studies.run(tmp_path / "runs" / "base", kind="pretrain", found=[studies.perplexity("base", 0.0)])
    studies.run(tmp_path / "runs" / "same", found=[studies.perplexity("same", 0.0)])
    files.write_json(tmp_path / "study.json", {"name": "n", "question": "?", "variants": {"same": {}}})
    found = against.all_against(target_of(tmp_path), "base")["same"]
    assert (found.items.value, found.shown) == (0.0, False)
    assert found.wording().startswith("no difference shown")


def test_the_interval_of_several_seeds_is_that_of_their_mean_over_documents(study):
    target = target_of(study)
    found, _ = against.over_items(target, "full")
    mean = np.mean([[item["nll"] for item in record["items"]] for _, record in target.cells["full"]], axis=0)
    expected, _ = intervals.of_ratio(mean, studies.TOKENS)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    stored = target.cells["base"][0][1]["interval"]
    alone, _ = against.over_items(target, "base")
    assert (alone.low, alone.high) == (stored["low"], stored["high"])


def test_perplexities_of_several_seeds_are_averaged_on_the_logarithm_everywhere(tmp_path):
    """The value lies inside its interval even where a seed has diverged, and no interval reaches below 0."""
    for seed, gain in ((1, 0.3), (2, 0.28), (3, -4.0)):
        found = [studies.perplexity(f"f{seed}", gain, seed)]
        studies.run(tmp_path / "runs" / f"full-seed-{seed}", found=found, seed=seed)
    studies.run(tmp_path / "runs" / "base", kind="pretrain", found=[studies.perplexity("base", 0.0)])
    files.write_json(tmp_path / "study.json", {"name": "n", "question": "?", "variants": {"full": {}}})
    target = target_of(tmp_path)
    logs = [math.log(value) for value in target.values("full")]
    assert target.mean("full") == pytest.approx(math.exp(sum(logs) / 3))
    documents, seeds = against.over_items(target, "full")[0], intervals.over_seeds(logs)
    assert target.mean("full") in documents
    around = columns.around_seeds(target.what, target.values("full"))
    assert (around.low, around.high) == pytest.approx((math.exp(seeds.low), math.exp(seeds.high)))
    page = words(report.write(tmp_path).read_text("utf-8"))
    value, inside = f"{target.mean('full'):,.2f}", f"{documents.low:,.2f} to {documents.high:,.2f}"
    assert f"full: perplexity of a token {value} [{inside}; over 3 seeds {around.low:,.2f} to " in page
    assert f"full {value} {inside} {around.low:,.2f} to {around.high:,.2f}" in page  # the table's row
    assert f"full: mean {value}, 95 % over seeds" in (tmp_path / "report.html").read_text("utf-8")
    assert "of several seeds, the exponential of their mean log perplexity" in page


def test_accuracies_of_several_seeds_have_a_plain_mean(tmp_path):
    target = target_of(studies.class_study(tmp_path))
    values = target.values("full")
    assert target.mean("full") == pytest.approx(sum(values) / 3)
    assert "of several seeds, their mean" in words(report.write(tmp_path).read_text("utf-8"))


def test_results_under_other_settings_never_share_a_column(tmp_path):
    studies.run(tmp_path / "runs" / "base", kind="pretrain", found=[studies.perplexity("base", 0.0)])
    studies.run(tmp_path / "runs" / "other", found=[studies.perplexity("other", 0.5, stride=16)])
    files.write_json(tmp_path / "study.json", {"name": "n", "question": "?", "variants": {"other": {}}})
    read = facts.of_study(tmp_path)
    assert [list(one.cells) for one in columns.columns(read)] in ([["base"], ["other"]], [["other"], ["base"]])
    page = report.write(tmp_path).read_text("utf-8")
    assert "lower by" not in page
    assert "wikitext-2, test, stride 32" in page
    assert "measured under other settings" in page


def test_every_figure_comes_from_its_file(study, page):
    text = words(page)
    for run in sorted((study / "runs").iterdir()):
        for path in (run / "results").glob("perplexity*.json"):
            assert f"{records.read(path)['value']:,.2f}" in text, path
    for said in (
        "5,000",
        "96",
        "123.5 MB",
        "12 s",
        "4,321",
        "123,457",
        "20.06, under no stated protocol",
        "out of memory",
    ):
        assert said in text, said
    rows = list(csv.DictReader((study / "results.csv").open()))
    assert {row["run"] for row in rows} == {"base", *(f"{v}-seed-{s}" for v in ("full", "lora") for s in (1, 2, 3))}
    stored = {round(float(row["value"]), 6) for row in rows if row["protocol"].startswith("perplexity")}
    assert stored == {
        round(json.loads(path.read_text())["value"], 6) for path in study.glob("runs/*/results/perplexity*.json")
    }


def test_a_report_is_the_same_whenever_and_wherever_it_is_written(study, tmp_path):
    names = ["report.html", "report.md", "report.csv", "results.csv"]
    names += [f"figures/{path.name}" for path in sorted((study / "figures").iterdir())]
    before = {name: (study / name).read_bytes() for name in names}
    moved = tmp_path / "elsewhere"
    shutil.copytree(study, moved, ignore=shutil.ignore_patterns("report*", "figures", "results.csv"))
    report.write(moved)
    assert {name: (moved / name).read_bytes() for name in names} == before


def test_only_fields_marked_as_measured_follow_from_clocks_and_memory(tmp_path):
    pages = []
    for factor in (1, 3):
        place = studies.text_study(tmp_path / "study")
        for path in place.glob("runs/*/run.json"):
            about = files.read_json(path)
            for key in ("training_seconds", "peak_memory", "tokens_per_second"):
                about[key] *= factor
            about["environment"] = {**about["environment"], "platform": f"machine {factor}"}
            files.write_json(path, about)
        text = report.write(place).read_text("utf-8")
        assert f"machine {factor}" in text
        pages.append(re.sub(r"<t[dh][^>]*data-measured[^>]*>.*?</t[dh]>", "", text, flags=re.DOTALL))
        shutil.rmtree(place)
    assert pages[0] == pages[1]


def test_nothing_is_asked_of_the_network_and_the_page_is_small(page):
    assert len(page.encode()) < 3_000_000
    assert not re.search(r"(src|href|url\()\s*=?\s*[\"']?(https?:)?//", page.replace("http://www.w3.org", ""))
    assert "default-src 'none'" in page


def test_charts_stand_beside_the_page_as_svg_png_and_csv(study, page):
    drawn = re.findall(r'class="chart" data-name="([^"]+)"', page)
    assert {"target", "gain-forgetting", "loss-tuning", "loss-pretraining", "rate-tuning", "search-0", "quality"} <= {
        *drawn
    }
    for name in drawn:
        assert ET.fromstring((study / "figures" / f"{name}.svg").read_text()).tag.endswith("svg")
        assert (study / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (study / "figures" / f"{name}.csv").read_text().count("\n") > 1
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_each_seed_is_a_dot(page):
    points = json.loads(re.search(r'data-name="target".*?<script[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    dots = {one["name"]: len(one["points"]) for one in points}
    assert dots == {"base": 1, "full": 3, "full, mean": 1, "lora": 3, "lora, mean": 1}


def test_long_curves_are_thinned_to_means_of_equal_stretches(study):
    rows = list(csv.reader((study / "figures" / "loss-pretraining.csv").open()))[1:]
    training = [(float(x), float(y)) for name, x, y, *_ in rows if name == "base, training"]
    losses = [line["loss"] for line in lines.read(study / "runs" / "base" / "metrics.jsonl")]
    assert (len(losses), len(training)) == (400, 300)
    assert training[-1][0] == 400
    assert training[0] == pytest.approx((1, losses[0]))
    assert training[2][1] == pytest.approx((losses[2] + losses[3]) / 2) or training[2][1] in losses


def test_repeated_and_copied_passages_are_marked(page):
    assert re.search(r'<mark class="repeated"[^>]*>and the castle was old</mark>', page)
    assert re.search(r'<mark class="copied"[^>]*data-bits title="\d+\.\d bits"[^>]*>\s*\w+</mark>', page)


def test_when_validation_was_best_and_what_going_on_cost_stand_by_run(tmp_path):
    run = tmp_path / "runs" / "base"
    studies.run(run, kind="pretrain", found=[studies.perplexity("base", 0.0)])
    looks = [(10, 3.5), (20, 3.25), (30, 3.75)]
    metrics = [{"step": step, "loss": 4.0 - step / 100, "validation_loss": loss} for step, loss in looks]
    files.write_text(run / "metrics.jsonl", "".join(lines.encode(line) for line in metrics))
    about = files.read_json(run / "run.json")
    files.write_json(run / "run.json", {**about, "decided": {**about["decided"], "rows": 80, "batch_rows": 8}})
    files.write_json(tmp_path / "study.json", {"name": "n", "question": "?"})
    text = words(report.write(tmp_path).read_text("utf-8"))
    assert "base 20 2.00 3.2500 +0.5000" in text
    assert "went from 3.90 to 3.70 nats in 3 steps" in text


def test_use_follows_from_stated_thresholds(page):
    rows = re.search(r'<section id="uses">(.*?)</section>', page, re.DOTALL)[1]
    text = words(rows)
    assert "the best on the target full gain 0.3" in text
    assert re.search(r"the old text not forgotten lora full at most 0\.\d+; lora at most 0\.0\d+", text)
    assert "at least 80% of the best gain" in text


def smallest(study):
    read = facts.of_study(study)
    target = target_of(study)
    found = uses.uses(read, target, against.all_against(target, "base"), None, None)
    return next(one for one in found if one.use == "the smallest file to ship")


def test_the_smallest_file_to_ship_is_that_of_the_model_folder(tmp_path):
    """Partial tuning may train less than an adapter holds, and ships the whole model all the same."""
    place = studies.text_study(tmp_path, names=("partial", "lora"), gains=(0.3, 0.29))
    for run in place.glob("runs/*-seed-*"):
        if (run / "run.json").is_file():
            few = run.name.startswith("partial")
            settings = yaml.safe_load((run / "run.yaml").read_text())
            files.write_text(run / "run.yaml", yaml.safe_dump({**settings, "method": "partial" if few else "lora"}))
            about = files.read_json(run / "run.json")
            files.write_json(run / "run.json", {**about, "trainable_parameters": 50 if few else 96})
    found = smallest(place)  # the model folders are gone
    assert (found.answer, found.why) == ("lora", "lora 96; partial 5,000")
    for run in place.glob("runs/*-seed-*"):
        if (run / "run.json").is_file():
            size = 20_000 if run.name.startswith("partial") else 4_000
            files.write_bytes(run / "model" / "model.safetensors", b"0" * size)
    found = smallest(place)
    assert (found.answer, found.why) == ("lora", "lora 4.0 kB; partial 20.0 kB")
    assert found.rule.startswith("smallest model folder")


def test_a_failed_variant_is_shown_as_failed(page):
    assert "prompt-seed-1: failed: out of memory" in words(page)
    assert "Without a result: prompt" in words(page)


def test_hostile_text_stays_text_everywhere(tmp_path):
    name = 'x"onload=y <b>'
    place = studies.text_study(tmp_path, names=(name.replace("/", ""), "$lora_{a}^b$"), question=HOSTILE)
    for path in place.glob("runs/*/samples.jsonl"):
        rows = [studies.sample(HOSTILE, HOSTILE), *lines.read(path)]
        files.write_text(path, "".join(lines.encode(row) for row in rows))
    page = report.write(place).read_text("utf-8")
    assert "<img" not in page
    assert "<b>" not in page
    assert page.count("<script") == page.count("</script>")
    assert "alert(1)" not in "".join(re.findall(r"<script>.*?</script>", page, re.DOTALL))
    for tag in re.findall(r"<[a-z][^>]*\sonload", page):
        assert 'aria-label="' in tag or "data-" in tag, tag  # inside a quoted value
    assert "W" * 300 in page
    for path in (place / "figures").glob("*.svg"):
        drawn = ET.fromstring(path.read_text("utf-8"))
        assert not [one for one in drawn.iter() if one.tag.endswith(("script", "img"))]
        assert not [one for one in drawn.iter() for key in one.attrib if key.startswith("on")]
    assert "$lora_{a}^b$" in (place / "figures" / "target.svg").read_text("utf-8")
    markdown = (place / "report.md").read_text("utf-8")
    assert "<img" not in re.sub(r"(`{3,})text\n.*?\n\1", "", markdown, flags=re.DOTALL).replace("\\<img", "")


def test_classifiers_have_accuracy_curves_and_confusions(tmp_path):
    place = studies.class_study(tmp_path)
    page = report.write(place).read_text("utf-8")
    assert (place / "accuracy_curves.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.reader((place / "figures" / "confusion-0.csv").open()))
    summed = [records.read(path)["confusion"] for path in sorted(place.glob("runs/full-*/results/*.json"))]
    assert [[int(number) for number in row[1:]] for row in rows[1:]] == [
        [sum(one[i][j] for one in summed) for j in range(3)] for i in range(3)
    ]
    curve = list(csv.DictReader((place / "figures" / "accuracy_curves.csv").open()))
    assert float(curve[0]["low"]) < float(curve[0]["accuracy"]) < float(curve[0]["high"])
    assert "lower by" in words(page)
    assert "points" in words(page)
    assert "forgetting: not measured" not in words(page)


def test_a_section_without_data_is_left_out_and_said(tmp_path):
    studies.run(tmp_path / "runs" / "base", kind="pretrain", found=[studies.perplexity("base", 0.0)])
    files.write_json(tmp_path / "study.json", {"name": "n", "question": "Does it learn?", "over": {"a": "1,2"}})
    page = report.write(tmp_path).read_text("utf-8")
    for said in ("forgetting: not measured", "text quality: not measured", "samples: none", "search: asked for"):
        assert said in words(page), said
    assert 'id="texts"' not in page


def test_a_damaged_result_is_named_and_the_others_are_shown(tmp_path):
    place = studies.text_study(tmp_path)
    damaged = sorted((place / "runs" / "full-seed-2" / "results").glob("perplexity*.items.jsonl"))[0]
    damaged.write_text("{}\n")
    text = words(report.write(place).read_text("utf-8"))
    assert "full-seed-2: a result is left out: the file with what each item gave is missing or has changed" in text
    assert "full is better than base" in text


def test_reasons_are_the_comments_beside_values_that_still_hold(tmp_path):
    place = studies.text_study(tmp_path)
    stored = files.read_json(place / "study.json")
    text = "name: castles\nquestion: q\ndata: {source: x}\nseeds: [1, 2, 3]   # three, to see a spread\n"
    (place / "recipe.yaml").write_text(text)
    files.write_json(place / "study.json", stored)
    assert "three, to see a spread" in words(report.write(place).read_text("utf-8"))
    files.write_json(place / "study.json", {**stored, "seeds": [1]})
    assert "three, to see a spread" not in words(report.write(place).read_text("utf-8"))


def test_where_there_is_no_study_the_way_out_is_said(tmp_path):
    with pytest.raises(UserError, match="no study is here"):
        report.write(tmp_path)


def test_perplexity_change_is_the_exponential_of_the_difference(study, page):
    found = against.all_against(target_of(study), "base")["full"]
    assert f"−{1 - math.exp(found.items.value):.1%} perplexity" in words(page)


def test_hellaswag_while_pretraining_is_drawn_with_the_published_lines_of_its_protocol_and_items(tmp_path):
    def drawn(name, items):
        place = studies.text_study(tmp_path / name)
        base = place / "runs" / "base"
        looks = list(lines.read(base / "metrics.jsonl"))
        for line in looks[99::100]:
            line["hellaswag/completion/accuracy_normalised"] = 0.25 + line["step"] / 1e4
            line["hellaswag/completion/items"] = items
        files.write_text(base / "metrics.jsonl", "".join(lines.encode(line) for line in looks))
        settings = yaml.safe_load((base / "run.yaml").read_text())
        files.write_text(base / "run.yaml", yaml.safe_dump({**settings, "probe": {"data": "hellaswag"}}))
        report.write(place)
        with (place / "figures" / "probe-pretraining-0.csv").open() as file:
            return list(csv.DictReader(file))

    rows = drawn("all", 10_042)
    curve = [(float(row["step"]), float(row["accuracy normalised"])) for row in rows if row["series"] == "base"]
    assert curve == [(100, 0.26), (200, 0.27), (300, 0.28), (400, 0.29)]
    levels = {row["series"] for row in rows} - {"base"}
    assert any(name.startswith("gpt2, published 29.55") for name in levels)
    assert any(name.startswith("GPT-3 small, not comparable 33.70") for name in levels)
    assert {row["series"] for row in drawn("some", 300)} == {"base"}  # other items: no line may stand beside


def test_trials_that_tie_are_drawn():
    trials = [
        {"best": 0.5, "state": "finished", "point": {"train.learning_rate": "1e-3", "lora.rank": rank}} for rank in "48"
    ]
    plot = charts.search(1, "lora", {"watched": "validation_accuracy", "trials": trials})
    assert len(plot.series[0].points) == 2
