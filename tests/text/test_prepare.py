"""`prepare`: built-in text and plain files, split by a stable hash, done once."""

import pytest

from gpt2lab.core.errors import UserError
from gpt2lab.text import builtin
from gpt2lab.text.prepare import prepare, split_of
from gpt2lab.text.settings import PrepareSettings


@pytest.fixture(scope="module")
def docs():
    return list(builtin.docs())


def test_builtin_docs_are_real_english_and_about_half_a_million_tokens(docs):
    text = "\n\n".join(docs)
    words = text.lower().split()
    assert 300 < len(docs) < 3000
    assert 1_200_000 < len(text) < 4_000_000
    assert 0.04 < sum(word == "the" for word in words) / len(words) < 0.09
    assert ">>>" not in text


def test_builtin_docs_are_the_same_every_time(docs):
    assert list(builtin.docs()) == docs


def test_the_split_of_a_document_depends_on_its_text_alone():
    settings = PrepareSettings(validation=0.2, test=0.1)
    splits = [split_of(f"text {number}", settings) for number in range(3000)]
    assert splits == [split_of(f"text {number}", settings) for number in range(3000)]
    for name, share in (("validation", 0.2), ("test", 0.1), ("train", 0.7)):
        assert splits.count(name) / 3000 == pytest.approx(share, abs=0.03)


def test_the_same_call_again_finds_it_finished_and_another_names_the_difference(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("Some text.")
    settings = PrepareSettings(validation=0, vocabulary=300)
    prepare(str(tmp_path / "a.txt"), tmp_path / "c", "builtin", settings)
    prepare(str(tmp_path / "a.txt"), tmp_path / "c", "builtin", settings)
    assert "already prepared" in capsys.readouterr().out
    with pytest.raises(UserError, match="validation is 0"):
        prepare(str(tmp_path / "a.txt"), tmp_path / "c", "builtin", PrepareSettings(validation=0.5, vocabulary=300))
    (tmp_path / "a.txt").write_text("Some other text.")
    with pytest.raises(UserError, match="sha256"):
        prepare(str(tmp_path / "a.txt"), tmp_path / "c", "builtin", settings)


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\nalso fine\n\xff\xfe\n")
    with pytest.raises(UserError, match="not UTF-8") as caught:
        prepare(str(tmp_path / "a.txt"), tmp_path / "c", "builtin", PrepareSettings(vocabulary=300))
    assert "line 3" in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_data_that_does_not_exist_is_named(tmp_path):
    for name in ("builtin:nothing", "nowhere.txt", "hub"):
        with pytest.raises(UserError):
            prepare(name, tmp_path / "c", "builtin", PrepareSettings(vocabulary=300))
