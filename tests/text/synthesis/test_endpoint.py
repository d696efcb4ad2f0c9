"""A key goes to the host that the user gave it for, and to no other."""

import pytest

from gpt2lab.core.errors import UserError
from gpt2lab.text.synthesis.endpoint import OPENAI, endpoint

KEY = "sk-a-key-that-nobody-else-may-see"
OTHER = "key-of-another-host"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("GPT2LAB_OFFLINE", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OTHER_KEY", OTHER)
    return monkeypatch


def test_openai_gets_openais_key():
    found = endpoint(None, [])
    assert (found.address, found.key, found.key_from) == (OPENAI, KEY, "OPENAI_API_KEY")


def test_the_host_of_openai_base_url_gets_it_and_then_openai_itself_does_not(environment):
    environment.setenv("OPENAI_BASE_URL", "https://models.example.org/v1/")
    assert endpoint(None, []).key == KEY
    assert endpoint(None, []).address == "https://models.example.org/v1"
    assert endpoint("https://models.example.org/other", []).key == KEY
    with pytest.raises(UserError, match="belongs to the host of OPENAI_BASE_URL"):
        endpoint(OPENAI, [])


@pytest.mark.parametrize(
    "address",
    [
        "https://elsewhere.example.org/v1",
        "http://api.openai.com/v1",
        "https://api.openai.com:8443/v1",
        "https://api.openai.com.example.org/v1",
        "https://openai.com/v1",
        "http://127.0.0.1:9/v1",
    ],
)
def test_an_address_in_a_recipe_gets_no_key_that_was_not_given_for_it(address):
    found = endpoint(address, [])
    assert found.key is None


@pytest.mark.parametrize(
    ("address", "given", "key"),
    [
        ("https://models.example.org/v1", "models.example.org=OTHER_KEY", OTHER),
        ("https://models.example.org/v1", "MODELS.example.org:443=OTHER_KEY", OTHER),
        ("http://127.0.0.1:9/v1", "127.0.0.1:9=OTHER_KEY", OTHER),
        ("http://192.0.2.1:9/v1", "http://192.0.2.1:9=OTHER_KEY", OTHER),
        (OPENAI, "api.openai.com=OTHER_KEY", OTHER),
    ],
)
def test_the_user_names_the_host_and_the_variable_of_its_key(address, given, key):
    assert endpoint(address, [given]).key == key


@pytest.mark.parametrize(
    ("address", "given"),
    [
        ("https://evil.example.org/v1", "models.example.org=OTHER_KEY"),
        ("http://models.example.org/v1", "models.example.org=OTHER_KEY"),
        ("https://models.example.org:444/v1", "models.example.org=OTHER_KEY"),
    ],
)
def test_a_recipe_that_leads_elsewhere_than_the_user_said_is_refused(address, given):
    with pytest.raises(UserError, match="names another host"):
        endpoint(address, [given])


@pytest.mark.parametrize(
    "given", [f"api.example.org={KEY}", KEY, "=OTHER_KEY", f"{KEY}=", "api.example.org=", f"u:{KEY}@h=A"]
)
def test_a_key_typed_in_place_of_a_name_is_refused_and_not_shown(given):
    with pytest.raises(UserError) as error:
        endpoint("https://api.example.org/v1", [given])
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        f"https://u:{KEY}@h/v1",
        f"https://h/v1?key={KEY}",
        f"https://h/#{KEY}",
        f"ftp://{KEY}",
        KEY,
        "https://",
        "https://h:x",
    ],
)
def test_an_address_holds_no_secret_and_a_wrong_one_is_not_shown(address):
    with pytest.raises(UserError) as error:
        endpoint(address, [])
    assert KEY not in str(error.value)


def test_a_variable_that_is_not_set_or_holds_no_key_is_named(environment):
    with pytest.raises(UserError, match="NOT_SET is not set"):
        endpoint(OPENAI, ["api.openai.com=NOT_SET"])
    environment.setenv("OTHER_KEY", "a\nb")
    with pytest.raises(UserError, match="OTHER_KEY holds is no key") as error:
        endpoint(OPENAI, ["api.openai.com=OTHER_KEY"])
    assert "a\nb" not in str(error.value)


def test_without_a_key_openai_is_not_even_asked(environment):
    environment.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        endpoint(None, [])
    assert endpoint(None, [], dry_run=True).key is None


def test_offline_means_this_machine_alone(environment):
    environment.setenv("GPT2LAB_OFFLINE", "1")
    for address in (None, "http://192.0.2.1/v1", "http://localhost.example.org/v1"):
        with pytest.raises(UserError, match="GPT2LAB_OFFLINE"):
            endpoint(address, [])
    for address in ("http://127.0.0.1:9/v1", "http://localhost:9/v1", "http://[::1]:9/v1"):
        assert endpoint(address, []).key is None


def test_a_key_shows_in_no_representation_and_is_scrubbed_from_what_comes_back():
    found = endpoint(None, [])
    assert KEY not in repr(found)
    assert found.scrub(f"you sent {KEY}!") == "you sent [key removed]!"
