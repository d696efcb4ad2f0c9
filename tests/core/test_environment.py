from gpt2lab.core import environment


def test_no_secret_is_ever_recorded(monkeypatch):
    """The record is an allow-list, so that keys in other variables cannot reach a file."""
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "WANDB_API_KEY", "MY_SECRET", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "sk-hush")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    record = environment.record()
    assert "sk-hush" not in str(record)
    assert record["variables"]["OMP_NUM_THREADS"] == "2"
    assert record["versions"]["torch"]


def test_offline_is_off_unless_set(monkeypatch):
    for value, expected in (("", False), ("0", False), ("1", True)):
        monkeypatch.setenv("GPT2LAB_OFFLINE", value)
        assert environment.offline() is expected
