"""The shipped recipes say, offline, the numbers that the studies say of themselves; a small one of one's own runs."""

import pytest
import yaml

from command_line import gpt2lab, last_json
from gpt2lab.core import files
from gpt2lab.measure import records
from gpt2lab.model.reading import read_model
from gpt2lab.study import recipe as recipes
from small_recipe import RECIPE


@pytest.fixture
def planned(capsys):
    def facts(name, *overrides):
        assert gpt2lab("run", name, "--dry-run", "--json", *overrides) == 0
        return last_json(capsys.readouterr().out)

    return facts


def test_agnews_trains_the_published_numbers_of_parameters_three_times(planned):
    facts = planned("agnews")
    trainable = {name: about["trainable"] for name, about in facts["variants"].items()}
    assert trainable["full"] == 124_442_880
    assert trainable["prompt"] == 18_432
    assert trainable["partial-published"] == trainable["partial-described"] == 42_531_840
    assert facts["seeds"] == [42, 43, 44]
    full = facts["variants"]["full"]
    assert (full["rows"], full["steps"]) == (108_000, 4219)  # 5 epochs of 90 % of 120,000 in batches of 128


def test_wikitext2_medium_is_the_published_training(planned):
    facts = planned("wikitext2-medium")
    assert facts["parameters"] == 354_823_168
    assert "4,671" in facts["published"]["blocks and steps"]
    assert "1,752" in facts["published"]["blocks and steps"]
    published = facts["variants"]["as-published"]
    assert (published["rows_a_step"], published["tokens_a_row"], published["epochs"]) == (8, 512, 3)


@pytest.mark.real_data
def test_where_wikitext_lies_here_the_plan_counts_its_blocks_and_steps(planned, real_data):
    """The write-up's 4,671 and 1,752 leave out remainders and end-of-text."""
    here = [f"data.local={real_data / 'wikitext-2'}", f"data.tokenizer={real_data / 'gpt2-bpe'}"]
    published = planned("wikitext2-medium", "data.source=wikitext-2-tokenised", *here)["variants"]["as-published"]
    assert (published["rows"], published["steps"]) == (4674, 1753)


def test_wikitext2_full_and_lora(planned):
    facts = planned("wikitext2-full-vs-lora")
    trials = {name: len(over["train.learning_rate"].split(",")) for name, over in facts["searches"].items()}
    assert trials == {"full": 5, "lora": 5, "lora-all": 5}  # no rate is given: each is searched with the same budget
    variants = facts["variants"]
    assert variants["full"]["trainable"] == 124_439_808
    assert variants["lora"]["trainable"] == 294_912
    assert variants["lora-all"]["trainable"] == 1_179_648


def test_from_scratch_fantasy(planned):
    facts = planned("from-scratch-fantasy")
    assert (facts["parameters"], facts["steps"], facts["warmup_steps"]) == (124_439_808, 19_073, 200)
    assert len(facts["searches"]["full"]["train.learning_rate"].split(",")) == 6
    assert facts["variants"]["full"]["rows_a_step"] == 64


def test_every_variant_of_every_shipped_recipe_is_a_valid_tuning():
    for name in recipes.shipped():
        found = recipes.read(name, [])
        for variant in recipes.trained(found):
            assert recipes.tuning(found, variant, found.base or "base").method


def test_overrides_reach_what_all_variants_share_one_of_them_and_what_is_searched():
    given = ["tune.train.clip=none", "tune.prepare.detokenise=none", "over.train.learning_rate=1e-4,2e-4"]
    given += ["variants.lora.seeds=5", "variants.lora.lora.targets=c_attn,c_proj"]
    given += ["variants.full.over.train.learning_rate=1e-5..1e-3"]
    found = recipes.read("wikitext2-full-vs-lora", given)
    tuning = recipes.tuning(found, "lora", "gpt2")
    assert (tuning.train.clip, tuning.prepare.detokenise) == (None, "none")
    assert tuning.lora.targets == ("c_attn", "c_proj")
    assert recipes.seeds_of(found, "lora") == (5,)
    assert found.over["train.learning_rate"] == "1e-4,2e-4"
    assert recipes.searches(found)["full"][0].text == "1e-5..1e-3"


def test_a_wrong_setting_of_a_variant_is_named_with_its_variant(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(recipes.shipped()["agnews"].replace("{tokens: 20}", "{tokns: 20}"))
    assert gpt2lab("run", path, "--dry-run") == 2
    said = capsys.readouterr().err
    assert "did you mean prompt.tokens" in said
    assert "variants.prompt" in said


def test_a_recipe_of_ones_own_pretrains_searches_and_tunes(tmp_path, capsys):
    """Finished pieces are not made again; a variant that cannot be trained stops nothing else."""
    mine = {
        "name": "mine",
        "question": "Does it run?",
        "data": {"source": "builtin:fantasy", "tokenizer": "builtin"},
        "prepare": {"vocabulary": 400},
        "model": {"layers": 1, "heads": 1, "width": 16, "context": 32},
        "train": {"steps": 4, "batch_rows": 8, "precision": "fp32"},
        "tune": {"task": "text", "train": {"epochs": None, "steps": 3, "batch_rows": 8, "precision": "fp32"}},
        "variants": {
            "full": {"method": "full"},
            "too-many": {"method": "prompt", "prompt": {"tokens": 32}},
            "soft": {"method": "prompt", "prompt": {"tokens": 2}},
        },
        "over": {"train.learning_rate": "1e-3,1e-2"},
        "measures": [
            {"protocol": "bits-per-byte", "settings": {"evaluate.limit": 12}},
            {"protocol": "forgetting", "data": "builtin:docs", "settings": {"evaluate.limit": 12}},
            {"protocol": "hellaswag/harness", "data": str(tmp_path / "no-questions.jsonl")},
        ],
        "prompts": ["<LOC>"],
        "samples": {"max_new_tokens": 5},
    }
    path, out = tmp_path / "mine.yaml", tmp_path / "study"
    path.write_text(yaml.safe_dump(mine))
    (tmp_path / "no-questions.jsonl").write_text('{"text": "no endings here"}\n')
    assert gpt2lab("run", path, "--out", out) == 1
    said = capsys.readouterr().err
    assert "too-many failed, and the study goes on" in said
    assert "full: hellaswag/harness was not measured" in said
    assert (out / "runs" / "too-many" / "failed.json").is_file()
    assert read_model(out / "runs" / "soft").transformer.soft_tokens == 2
    best = files.read_json(out / "searches" / "full" / "result.json")["best"]["point"]["train.learning_rate"]
    stored = yaml.safe_load((out / "runs" / "full" / "run.yaml").read_text())
    assert stored["train"]["learning_rate"] == float(best)
    searched = files.read_json(out / "searches" / "full" / "search.json")["settings"]["train"]["seed"]
    assert searched not in {1, stored["train"]["seed"]}  # the winner is judged by seeds that it has not won with
    before = (out / "runs" / "full" / "run.json").stat().st_mtime_ns
    assert (out / "recipe.yaml").read_text() == path.read_text()
    assert gpt2lab("run", path, "--out", out, "--only", "nothing") == 2
    assert gpt2lab("run", path, "--out", out, "--only", "full") == 1
    assert (out / "runs" / "full" / "run.json").stat().st_mtime_ns == before
    page = (out / "report.html").read_text()
    assert ">soft</h4>" in page
    assert "too-many: failed: soft tokens leave no room" in page
    assert "full: hellaswag/harness was not measured" in page
    del mine["measures"][2]  # what is measured may change without a training; what could not be is then forgotten
    path.write_text(yaml.safe_dump(mine))
    assert gpt2lab("run", path, "--out", out, "--only", "full") == 0
    assert (out / "runs" / "full" / "run.json").stat().st_mtime_ns == before
    measured = {name: protocols_in(out / "runs" / name) for name in ("base", "full", "soft")}
    assert "bits-per-byte@1" in measured["base"]
    assert "forgetting@1" not in measured["base"]
    assert {"bits-per-byte@1", "forgetting@1"} <= measured["full"]
    assert {"bits-per-byte@1", "forgetting@1"} <= measured["soft"]


def protocols_in(run):
    return {records.read(path)["protocol"] for path in (run / "results").glob("*.json")}


def test_an_untouched_base_is_measured_and_writes_beside_its_variants(tmp_path):
    given = ["--out", tmp_path / "corpus", "--tokenizer", "builtin", "prepare.vocabulary=400"]
    assert gpt2lab("prepare", "builtin:fantasy", *given) == 0
    shape = ["model.layers=1", "model.heads=1", "model.width=16", "model.context=32", "train.steps=2"]
    assert gpt2lab("pretrain", "--data", tmp_path / "corpus", "--out", tmp_path / "base", *shape) == 0
    mine = {
        "name": "mine",
        "question": "Does it help?",
        "data": {"source": str(tmp_path / "corpus")},
        "base": str(tmp_path / "base"),
        "tune": {"train": {"epochs": None, "steps": 2, "batch_rows": 8}},
        "variants": {"full": {"method": "full"}},
        "untouched": True,
        "measures": [{"protocol": "perplexity/blocks"}, {"protocol": "text-quality", "data": "samples"}],
        "prompts": ["<LOC>", "The market"],
        "samples": {"max_new_tokens": 8},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    assert gpt2lab("run", tmp_path / "mine.yaml", "--out", tmp_path / "study") == 0
    runs = tmp_path / "study" / "runs"
    assert protocols_in(runs / "untouched") == {"perplexity/blocks@1"}
    assert protocols_in(runs / "full") == {"perplexity/blocks@1", "text-quality@1"}
    assert (runs / "untouched" / "samples.jsonl").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ({"protocol": "label"}, "did you mean labels?"),
        ({"protocol": "labels", "data": "tikets.csv"}, "there is no data named 'tikets.csv'"),
        ({"protocol": "perplexity/word", "data": "builtin:fantasies"}, "there are docs, fantasy"),
        ({"protocol": "perplexity/word", "data": "wikitext2"}, "did you mean wikitext-2?"),
        ({"protocol": "perplexity/word", "data": "sampels"}, "did you mean samples?"),
        ({"protocol": "perplexity/word", "data": "mine"}, "there is no data named 'mine'"),
        ({"protocol": "labels", "settings": {"data.splt": "test"}}, "did you mean data.split?"),
        ({"protocol": "lambada", "settings": {"data.split": "test"}}, "data.split has no effect on lambada"),
    ],
)
def test_a_measure_that_cannot_be_made_is_refused_before_anything_is_trained(tmp_path, capsys, measure, said):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "measures": [measure]}))
    assert gpt2lab("run", path, "--dry-run") == 2
    assert gpt2lab("run", path, "--out", tmp_path / "study") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "study" / "runs").exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [("tikets.csv", "there is no data named 'tikets.csv'"), ("sinthesized", "did you mean synthesized?")],
)
def test_data_to_tune_on_that_are_not_there_are_refused_before_the_base_is_pretrained(tmp_path, capsys, source, said):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({**RECIPE, "variants": {"full": {"method": "full"}}}))
    given = [f"tune.data.source={source}", "variants.full.untouched=false"]
    assert gpt2lab("run", tmp_path / "small.yaml", "--out", tmp_path / "study", *given) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"train.learningrate": "1e-4,2e-4"}, "did you mean train.learning_rate?"),
        ({"lora.rank": "4,many"}, "lora.rank"),
        ({"train.warmup": "-2,1"}, "train.warmup"),
    ],
)
@pytest.mark.parametrize("own", [True, False], ids=["of a variant", "of all"])
def test_what_cannot_be_searched_over_is_refused_before_anything_is_trained(tmp_path, capsys, over, said, own):
    path = tmp_path / "small.yaml"
    lora = {"method": "lora", **({"over": over} if own else {})}
    mine = {**RECIPE, "variants": {"lora": lora}, "over": {} if own else over}
    path.write_text(yaml.safe_dump(mine))
    assert gpt2lab("run", path, "--dry-run") == 2
    assert gpt2lab("run", path, "--out", tmp_path / "study") == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "the search with lora" in printed
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("name", ["base", "untouched", "lora/8", ".lora", "", " ", "..", "a\\b"])
def test_a_variant_has_a_name_that_its_folder_can_have_and_no_base_has(tmp_path, capsys, name):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "variants": {name: {"method": "lora"}}}))
    assert gpt2lab("run", path, "--out", tmp_path / "study") == 2
    printed = capsys.readouterr().err
    assert "variants" in printed
    assert "way out" in printed
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tune": {"data": "builtin:fantasy"}}, "tune.data"),
        ({"tune": {"prepare": 0.1}}, "tune.prepare"),
        ({"variants": {"lora": {"method": "lora", "data": ["builtin:fantasy"]}}}, "variants.lora.data"),
        ({"variants": {"lora": {"method": "lora", "over": "train.learning_rate=1,2"}}}, "variants.lora.over"),
        ({"variants": {"lora": {"method": "lora", "over": {"train.steps": [1, 2]}}}}, "over: train.steps"),
        ({"variants": {"lora": {"method": ["lora"]}}}, "variants.lora"),
    ],
)
def test_a_setting_of_another_shape_than_it_has_is_one_clear_message(tmp_path, capsys, changes, said):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes}))
    assert gpt2lab("run", path, "--dry-run") == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed


def test_a_column_is_written_as_a_word_or_as_a_list(tmp_path):
    data = {"source": "builtin:topics", "tokenizer": "builtin"}
    for text, wanted in (("body", ("body",)), ("title, body", ("title", "body")), (["a"], ("a",))):
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump({**RECIPE, "data": {**data, "text": text}}))
        assert recipes.read(str(path), []).data.text == wanted
