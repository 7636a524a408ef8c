"""What is said of a server's own settings."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from contract.durability import shortcomings
from contract.settings import Settings


@pytest.fixture
def configured(redis):
    """Sets what a test needs, and puts it back."""
    before: dict[str, str] = {}

    def configure(**values: str) -> None:
        for name, value in {name.replace("_", "-"): value for name, value in values.items()}.items():
            before.setdefault(name, redis.config_get(name)[name])
            redis.config_set(name, value)

    yield configure
    for name, value in before.items():
        redis.config_set(name, value)


@pytest.mark.parametrize(
    ("values", "durable", "words"),
    [
        ({"maxmemory_policy": "allkeys-lru", "appendonly": "yes"}, False, ["allkeys-lru"]),
        ({"appendonly": "no"}, False, ["appendonly is no"]),
        ({"appendonly": "yes", "appendfsync": "everysec"}, False, []),
        ({"appendonly": "yes", "appendfsync": "everysec"}, True, ["UNCLIP_DURABLE"]),
        ({"appendonly": "yes", "appendfsync": "always"}, True, []),
    ],
)
def test_what_endangers_jobs_is_told(redis, configured, values, durable, words):
    configured(**values)
    short = shortcomings(redis, Settings(durable=durable))
    assert len(short) == len(words)
    assert all(word in line for word, line in zip(words, short, strict=True))


def test_a_server_that_tells_no_settings_is_believed(redis, monkeypatch):
    def refuse(*_: str) -> None:
        raise ResponseError("unknown command 'CONFIG'")

    monkeypatch.setattr(redis, "config_get", refuse)
    assert shortcomings(redis, Settings(durable=True)) == []
