"""A data set through a real endpoint on loopback that misbehaves in every way, and through the built-in grammar."""

import json
import logging
import time

import pytest

from gpt2lab.core.errors import Failed, UserError
from gpt2lab.text.synthesis.synthesize import synthesize
from loopback_chat import LoopbackChat, completion, cut, drip, good_text, raw, slow, status, text
from syntheses import prompts_answered, recipe, rows

KEY = "sk-a-key-that-nobody-else-may-see"


@pytest.fixture
def chat(monkeypatch):
    with LoopbackChat() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
def out(tmp_path):
    return tmp_path / "places.jsonl"


def everything_written(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode()


def test_every_row_says_where_it_comes_from_and_both_files_hold_the_texts(chat, out):
    used = recipe(prompt={"system": "You know {tag}."}, model={"temperature": 0.5, "options": {"top_k": 3}})
    summary = synthesize(used, out, 7)
    found = rows(out)
    assert [row["number"] for row in found] == list(range(7))
    assert sorted(chat.answered) == sorted(f"Describe {', '.join(list(row['variables'].values())[:2])} and "
                                           f"{row['variables']['c']}." for row in found)  # fmt: skip
    for row in found:
        assert row["text"] == good_text(f"Describe {row['variables']['tag']}, {row['variables']['b']} and "
                                        f"{row['variables']['c']}./None")  # fmt: skip
        facts = {"words": 40, "model": "loopback-1", "host": chat.host, "finish": "stop", "attempt": 1, "seed": 1}
        assert facts.items() <= row.items()
        assert row["tokens"] == {"prompt": 100, "completion": 50}
        assert row["template"] == summary["template"]
    assert (out.parent / "places.txt").read_text() == "\n\n".join(row["text"] for row in found) + "\n"
    assert summary["words"] == {"total": 280, "mean": 40, "fewest": 40, "median": 40, "most": 40}
    assert summary["bill"]["cost"] == pytest.approx(7 * (100 * 1000 + 50 * 2000) / 1e6)
    assert json.loads((out.parent / "places.summary.json").read_text()) == summary
    for seen in chat.requests:
        assert seen.path == "/v1/chat/completions"
        assert [message["role"] for message in seen.body["messages"]] == ["system", "user"]
        assert (seen.body["temperature"], seen.body["max_tokens"], seen.body["top_k"]) == (0.5, 200, 3)
    assert chat.most_at_once <= 4
    assert sorted(path.name for path in out.parent.iterdir()) == [
        *("places.journal", "places.jsonl", "places.summary.json", "places.txt")
    ]


TROUBLE = {
    "429 with Retry-After": status(429, Retry_After="0.2"),
    "429 without": status(429),
    "500": status(500),
    "503 with a date": status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "slow": slow(20),
    "slow byte by byte": drip(0.3),
    "cut at once": cut(0),
    "cut in the middle": cut(60),
    "reset": cut(60, rudely=True),
    "malformed JSON": raw(b'{"choices": [{"message"'),
    "no JSON at all": raw(b"<html>try later</html>", **{"Content-Type": "text/html"}),
    "another shape": raw(b'{"choices": []}'),
    "a list": raw(b"[1]"),
    "not UTF-8": raw(b'{"choices": "\xff\xfe"}'),
    "a text that is a number": text(17),
}
FREE = {"429 with Retry-After", "429 without", "500", "503 with a date"}


@pytest.mark.parametrize("kind", TROUBLE)
def test_a_request_without_an_answer_is_sent_again_and_may_have_been_paid(chat, out, kind):
    chat.then(TROUBLE[kind])
    summary = synthesize(recipe(requests={"timeout": 1.5, "concurrency": 1}), out, 2)
    assert len(rows(out)) == 2
    assert len(chat.requests) == 3
    assert chat.requests[0].user == chat.requests[1].user
    assert summary["bill"]["answers"] == 2
    assert summary["bill"]["without_an_answer"] == (kind not in FREE)
    assert (summary["bill"]["cost_at_most"] > summary["bill"]["cost"]) == (kind not in FREE)


REFUSED = {
    "short": (text("<LOC>too short</LOC>"), "fewer than 20 words"),
    "long": (text(good_text("x", 61)), "more than 60 words"),
    "truncated": (text(good_text("x")[:-6], "length"), "cut off at model.max_tokens"),
    "no delimiters": (text(good_text("x")[5:-6]), "without <LOC>…</LOC>"),
    "chatter": (text(f"Sure! {good_text('x')}"), "with text around <LOC>…</LOC>"),
    "empty": (text(""), "empty"),
    "null": (text(None), "empty"),
    "half of a pair": (text(good_text("x").replace("amber", "\ud800")), "broken characters"),
    "filtered": (text("", "content_filter"), "held back by the endpoint's filter"),
    "filtered before": (status(400, "no", "content_filter"), "held back by the endpoint's filter"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_wrong_answer_is_counted_and_written_again(chat, out, kind):
    reply, reason = REFUSED[kind]
    chat.then(reply)
    summary = synthesize(recipe(requests={"concurrency": 1}), out, 2)
    assert summary["refused"] == {reason: 1}
    assert summary["bill"]["answers"] == 3
    assert [(row["number"], row["attempt"]) for row in rows(out)] == [(0, 2), (1, 1)]


def test_of_texts_that_are_nearly_the_same_one_is_kept(chat, out):
    same = good_text("x")
    chat.then(text(same), text(same), text(same.replace("LOC>", "LOC>And ", 1)))
    summary = synthesize(recipe(requests={"concurrency": 1}), out, 2)
    assert summary["refused"] == {"nearly the same as another": 2}
    assert rows(out)[0]["text"] == same


def test_a_text_that_was_refused_too_often_gives_its_place_to_another(chat, out):
    chat.then(*[text("<LOC>no</LOC>")] * 3)
    summary = synthesize(recipe(checks={"attempts": 3}, requests={"concurrency": 1}), out, 4)
    assert [row["number"] for row in rows(out)] == [1, 2, 3, 4]
    assert summary["given_up"] == 1


def test_when_every_answer_is_refused_it_stops_soon_and_other_checks_judge_what_was_paid(chat, out):
    chat.always = lambda handler, seen: text(good_text(seen.user, 10))(handler, seen)
    with pytest.raises(Failed, match="6 answers in a row were refused") as error:
        synthesize(recipe(checks={"refused_in_a_row": 6}, requests={"concurrency": 1}), out, 50)
    assert "fewer than 20 words" in str(error.value)
    assert len(chat.requests) == 6
    assert not out.exists()
    summary = synthesize(recipe(checks={"fewest_words": 10}), out, 2)
    assert summary["count"] == 2
    assert len(chat.requests) == 6


def test_what_an_answer_holds_stays_text(chat, out):
    hostile = "<LOC>{tag} {0} %s ${HOME} <script>alert(1)</script> \\n [bold] <|endoftext|> " + good_text("x")[5:]
    chat.then(text(hostile))
    synthesize(recipe(requests={"concurrency": 1}), out, 2)
    assert rows(out)[0]["text"] == hostile


def test_the_budget_is_never_exceeded_and_more_money_goes_on(chat, out):
    used = recipe(checks={"fewest_words": 1})
    price = (100 * 1000 + 50 * 2000) / 1e6  # of an answer; the most that a request can cost is 0.5 and more
    with pytest.raises(Failed, match="the budget is used up") as error:
        synthesize(used, out, 12, max_cost=2.0)
    paid = len(chat.answered)
    assert 2 <= paid < 12
    assert paid * price <= 2.0
    assert "of 12 texts are written" in str(error.value)
    assert "higher --max-cost" in str(error.value)
    summary = synthesize(used, out, 12, max_cost=100)
    assert summary["count"] == 12
    assert len(chat.answered) == 12
    assert len(set(chat.answered)) == 12


def test_what_may_have_been_paid_counts_against_the_budget(chat, out):
    chat.always = cut(60)
    with pytest.raises(Failed, match="the budget is used up"):
        synthesize(
            recipe(checks={"fewest_words": 1}, requests={"retries": 100, "concurrency": 1}), out, 3, max_cost=2.0
        )
    assert len(chat.requests) <= 4  # a request is 0.5 at the most


def test_a_budget_that_cannot_do_or_has_no_prices_is_refused_before_anything_is_asked(chat, out):
    with pytest.raises(UserError, match="cannot be enough"):
        synthesize(recipe(), out, 1000, max_cost=1.0)
    with pytest.raises(UserError, match="a budget needs prices"):
        synthesize(recipe().model_copy(update={"prices": None}), out, 10, max_cost=1.0)
    assert chat.requests == []


def test_an_endpoint_that_does_not_count_is_charged_at_the_most(chat, out):
    chat.then(raw(completion(good_text("x"), usage=None)), raw(completion(good_text("y"), usage=(-1, "many"))))
    summary = synthesize(recipe(requests={"concurrency": 1}), out, 2)
    assert summary["bill"]["tokens"]["completion"] == 400


def test_a_dead_endpoint_stops_the_work_and_keeps_what_is_there(chat, out):
    chat.then(text(good_text("x")))
    chat.always = status(500)
    with pytest.raises(Failed, match="4 tries, and no answer"):
        synthesize(recipe(requests={"concurrency": 1}), out, 3)
    chat.always = lambda handler, seen: text(good_text(seen.user))(handler, seen)
    assert synthesize(recipe(), out, 3)["bill"]["answers"] == 3


def test_pauses_grow_while_an_endpoint_is_out_of_order(chat, out):
    chat.then(*[status(500)] * 3)
    start = time.monotonic()
    synthesize(recipe(requests={"concurrency": 1, "backoff": 0.2}), out, 1)
    assert time.monotonic() - start > 0.2 + 0.4 + 0.8


def test_as_many_requests_are_under_way_as_allowed_and_no_more_are_sent_than_needed(chat, out):
    chat.always = slow(0.2)
    synthesize(recipe(), out, 10)
    assert chat.most_at_once == 4
    assert len(chat.requests) == 10


def test_retry_after_is_waited_for_and_a_pause_that_is_too_long_is_not(chat, out):
    chat.then(status(429, Retry_After="1.2"))
    start = time.monotonic()
    synthesize(recipe(requests={"concurrency": 3}), out, 3)
    assert time.monotonic() - start > 1.2
    chat.then(status(429, Retry_After="7200"))
    with pytest.raises(Failed, match="come back in 2 h"):
        synthesize(recipe(), out.with_name("other.jsonl"), 1)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (status(401, f"wrong key {KEY}"), "the key was from OPENAI_API_KEY"),
        (status(403), "answered 403"),
        (status(404, "there is no model some-model"), "there is no model some-model"),
        (status(400, "temperature must be 1"), "temperature must be 1"),
        (status(429, "pay", "insufficient_quota"), "no money left"),
        (status(307, Location="http://127.0.0.1:9/v1"), "another address"),
    ],
)
def test_what_the_user_must_repair_is_said_at_once_and_not_tried_again(chat, out, reply, message):
    chat.then(reply)
    with pytest.raises(UserError, match=message) as error:
        synthesize(recipe(requests={"concurrency": 1}), out, 2)
    assert len(chat.requests) == 1
    assert KEY not in str(error.value)
    assert synthesize(recipe(), out, 2)["bill"]["without_an_answer"] == 0


def test_the_key_reaches_its_host_and_neither_a_file_nor_a_log(chat, out, monkeypatch, caplog, capfd):
    monkeypatch.setenv("OPENAI_LOG", "debug")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: custom-secret")
    caplog.set_level(logging.DEBUG)
    echo = text(good_text("x").replace("<LOC>", f"<LOC>{KEY} "), model=KEY)
    chat.then(echo, status(500, KEY), status(429, f"slow down, {KEY}"), raw(KEY.encode()), cut(30))
    synthesize(recipe(requests={"concurrency": 1, "retries": 9}), out, 3)
    assert {seen.headers["authorization"] for seen in chat.requests} == {f"Bearer {KEY}"}
    assert not any("secret" in str(seen.headers) for seen in chat.requests)
    printed = capfd.readouterr()
    assert KEY not in everything_written(out.parent) + caplog.text + printed.out + printed.err


def test_another_host_never_sees_the_key_not_even_through_a_redirect(chat, out, monkeypatch):
    with LoopbackChat() as other:
        synthesize(recipe(model={"address": other.address}), out, 2)
        assert len(other.requests) == 2
        chat.then(status(308, Location=f"{other.address}/chat/completions"))
        with pytest.raises(UserError, match="another address"):
            synthesize(recipe(requests={"concurrency": 1}), out.with_name("redirected.jsonl"), 1)
        assert len(other.requests) == 2
        assert not any(KEY in str(seen.headers) + str(seen.body) for seen in other.requests)
        monkeypatch.setenv("OTHER_KEY", "the-other-key")
        synthesize(
            recipe(model={"address": other.address}), out.with_name("b.jsonl"), 1, keys=[f"{other.host}=OTHER_KEY"]
        )
        assert other.requests[-1].headers["authorization"] == "Bearer the-other-key"


def test_a_finished_one_says_so_and_another_one_is_not_written_over(chat, out, capsys):
    synthesize(recipe(), out, 3)
    before = everything_written(out.parent)
    assert synthesize(recipe(requests={"concurrency": 2}), out, 3)["count"] == 3
    assert "already written" in capsys.readouterr().out
    for changes, difference in [
        ({"model": {"temperature": 0.1}}, "model.temperature: 1.0 there, 0.1 asked for"),
        ({"prompt": {"seed": 2}}, "prompt.seed: 1 there, 2 asked for"),
        ({"checks": {"most_words": 50}}, "checks.most_words: 60 there, 50 asked for"),
    ]:
        with pytest.raises(UserError, match="another data set is here") as error:
            synthesize(recipe(**changes), out, 3)
        assert difference in str(error.value)
    for count, backend, difference in [(4, "api", "count: 3 there, 4"), (2, "api", "count"), (3, "builtin", "backend")]:
        with pytest.raises(UserError, match=difference):
            synthesize(recipe(), out, count, backend=backend)
    assert everything_written(out.parent) == before
    assert len(chat.requests) == 3


def test_where_nothing_was_answered_a_mistake_can_be_repaired_in_place(chat, out):
    chat.then(status(404), status(404))
    with pytest.raises(UserError, match="answered 404"):
        synthesize(recipe(model={"name": "mistyped"}, requests={"concurrency": 2}), out, 3)
    assert synthesize(recipe(), out, 2)["plan"]["model"]["name"] == "some-model"
    chat.then(cut(30), status(404))
    with pytest.raises(UserError, match="answered 404"):
        synthesize(recipe(requests={"concurrency": 1}), out.with_name("b.jsonl"), 3)
    with pytest.raises(UserError, match="an unfinished data set with other settings"):  # the first may have been paid
        synthesize(recipe(model={"name": "other"}), out.with_name("b.jsonl"), 3)


def test_extending_writes_only_what_is_more(chat, out):
    synthesize(recipe(), out, 3)
    first = rows(out)
    summary = synthesize(recipe(), out, 8, extend=True)
    assert rows(out)[:3] == first
    assert (len(rows(out)), summary["bill"]["answers"], len(chat.requests)) == (8, 8, 8)


def test_a_lost_file_is_made_again_without_paying_and_a_changed_one_is_kept(chat, out):
    synthesize(recipe(), out, 3)
    before = out.read_bytes()
    out.unlink()
    synthesize(recipe(), out, 3)
    assert out.read_bytes() == before
    out.write_bytes(before + b"mine\n")
    with pytest.raises(UserError, match="changed since"):
        synthesize(recipe(), out, 3)
    with pytest.raises(UserError, match="changed since"):
        synthesize(recipe(), out, 5, extend=True)
    assert out.read_bytes() == before + b"mine\n"
    assert len(chat.requests) == 5  # what was added is in the journal, and is not asked for again


def test_a_file_of_somebody_else_is_not_written_over(chat, out):
    out.with_suffix(".txt").write_text("my notes")
    with pytest.raises(UserError, match="not written here"):
        synthesize(recipe(), out, 2)
    assert chat.requests == []


def test_a_key_typed_on_the_command_line_is_refused_before_a_lock_could_name_it(chat, out, monkeypatch):
    from gpt2lab.core import lock

    monkeypatch.setattr(lock, "locked", lambda path: pytest.fail("the lock file holds the command line"))
    with pytest.raises(UserError, match="never a key"):
        synthesize(recipe(), out, 2, keys=[f"api.example.com={KEY}"])


def test_seeds_are_sent_when_asked_for_and_differ_between_attempts(chat, out):
    chat.then(text("<LOC>no</LOC>"))
    synthesize(recipe(model={"send_seed": True}, requests={"concurrency": 1}), out, 2)
    seeds = [seen.body["seed"] for seen in chat.requests]
    assert len(set(seeds)) == 3
    synthesize(recipe(model={"send_seed": True}), out.with_name("again.jsonl"), 2)
    assert set(seeds[1:]) & {seen.body["seed"] for seen in chat.requests[3:]}


def test_requests_are_spread_over_the_minute(chat, out):
    start = time.monotonic()
    synthesize(recipe(requests={"requests_a_minute": 240}), out, 5)
    assert time.monotonic() - start >= 1.0


def test_it_works_where_a_loop_is_running_already(chat, out):
    import asyncio

    async def notebook():
        return synthesize(recipe(), out, 2)

    assert asyncio.run(notebook())["count"] == 2


def test_every_answered_prompt_is_in_the_journal(chat, out):
    used = recipe()
    synthesize(used, out, 9)
    assert sorted(prompts_answered(out.with_suffix(".journal"), used)) == sorted(chat.answered)


def test_the_grammar_writes_the_same_files_offline_and_the_same_bytes_each_time(tmp_path):
    used = recipe(checks={"fewest_words": 150, "most_words": 400})
    summaries = [synthesize(used, tmp_path / name / "p.jsonl", 30, backend="builtin") for name in "ab"]
    assert summaries[0] == summaries[1]
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == [
        *("p.journal", "p.jsonl", "p.summary.json", "p.txt")
    ]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert all(row["backend"] == "builtin" and 150 <= row["words"] <= 400 for row in rows(tmp_path / "a" / "p.jsonl"))
    assert summaries[0]["bill"]["cost"] == 0


@pytest.mark.parametrize(("fewest", "most"), [(20, 60), (5, 30), (700, 900), (150, 400)])
def test_the_grammar_fits_other_lengths_and_delimiters(tmp_path, fewest, most):
    used = recipe(checks={"fewest_words": fewest, "most_words": most}, delimiters={"open": "«", "close": "»"})
    summary = synthesize(used, tmp_path / "p.jsonl", 10, backend="builtin")
    assert fewest <= summary["words"]["fewest"]
    assert summary["words"]["most"] <= most
    assert all(row["text"][0] == "«" and row["text"][-1] == "»" for row in rows(tmp_path / "p.jsonl"))


def test_prepare_reads_both_files(tmp_path):
    from gpt2lab.text.prepare import prepare
    from gpt2lab.text.settings import PrepareSettings
    from vocabularies import small

    synthesize(recipe(checks={"fewest_words": 150, "most_words": 400}), tmp_path / "p.jsonl", 20, backend="builtin")
    (tmp_path / "tokenizer").mkdir()
    small().save(tmp_path / "tokenizer")
    written = [row["text"].encode() for row in rows(tmp_path / "p.jsonl")]
    settings = PrepareSettings(validation=0)
    for name, documents, size in [
        ("p.jsonl", 20, sum(map(len, written))),
        ("p.txt", 1, (tmp_path / "p.txt").stat().st_size),
    ]:
        made = prepare(str(tmp_path / name), tmp_path / f"{name}.corpus", str(tmp_path / "tokenizer"), settings)
        split = made.manifest["splits"]["train"]
        assert (split["documents"], split["bytes"], made.manifest["left_out"]) == (documents, size, {})
