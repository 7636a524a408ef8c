"""API keys: kept as hashes, opened by their own secret alone, rotated and revoked at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from contract.errors import KeyNotFound, QueueDown
from contract.keys import KEYS, KeyRing
from tests.conftest import Valkey

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(valkey: Valkey, clock: Clock) -> KeyRing:
    return KeyRing(valkey.client(), clock)


def test_a_token_opens_its_key(keys: KeyRing) -> None:
    made = keys.create("studio")
    assert keys.find(made.token) == made.key
    assert made.key.scopes == ("generate", "read")


def test_another_secret_or_another_s_opens_nothing(keys: KeyRing) -> None:
    made, other = keys.create("studio"), keys.create("other")
    _, key_id, secret = made.token.split("_", 2)
    wrong = [
        "",
        "unused",
        made.token[:-1],
        made.token + "x",
        f"uk_{key_id}_{'A' * 43}",
        f"uk_{other.key.id}_{secret}",
        f"uk_{'0' * 12}_{secret}",
        f"uk_{'0' * 12}_{'A' * 43}",
        secret,
        f"uk_{key_id}_{secret}\n",
    ]
    assert [keys.find(token) for token in wrong] == [None] * len(wrong)


def test_redis_never_holds_a_secret(keys: KeyRing, valkey: Valkey) -> None:
    made = keys.create("studio")
    rotated = keys.rotate(made.key.id, timedelta(hours=1))
    dump = b"".join(valkey.client().dump(name) for name in valkey.client().scan_iter())
    for token in (made.token, rotated.token):
        assert token.split("_", 2)[2].encode() not in dump
        assert token.encode() not in dump


def test_a_revoked_key_opens_nothing_and_still_counts_as_one(keys: KeyRing) -> None:
    made = keys.create("studio")
    keys.revoke(made.key.id)
    assert keys.find(made.token) is None
    assert not keys.is_empty()
    with pytest.raises(KeyNotFound):
        keys.rotate(made.key.id, timedelta(0))


def test_a_rotated_key_has_two_secrets_until_the_first_runs_out(keys: KeyRing, clock: Clock) -> None:
    made = keys.create("studio")
    rotated = keys.rotate(made.key.id, timedelta(hours=24))
    assert rotated.key.id == made.key.id
    clock.now += timedelta(hours=23, minutes=59)
    assert keys.find(made.token) is not None
    assert keys.find(rotated.token) is not None
    clock.now += timedelta(minutes=2)
    assert keys.find(made.token) is None
    assert keys.find(rotated.token) is not None


def test_another_rotation_does_not_prolong_the_first_secret(keys: KeyRing, clock: Clock) -> None:
    made = keys.create("studio")
    keys.rotate(made.key.id, timedelta(hours=1))
    keys.rotate(made.key.id, timedelta(hours=48))
    clock.now += timedelta(hours=2)
    assert keys.find(made.token) is None


def test_keys_are_listed_oldest_first(keys: KeyRing, clock: Clock) -> None:
    names = []
    for name in ("a", "b", "c"):
        clock.now += timedelta(seconds=1)
        names.append(keys.create(name).key.id)
    assert [key.id for key in keys.list()] == names


def test_a_ring_is_empty_until_the_first_key(keys: KeyRing) -> None:
    assert keys.is_empty()
    keys.create("studio")
    assert not keys.is_empty()


def test_a_scope_that_does_not_exist_is_refused(keys: KeyRing) -> None:
    with pytest.raises(ValidationError, match="scopes"):
        keys.create("studio", ["everything"])  # type: ignore[list-item]
    assert keys.is_empty()


def test_a_record_that_cannot_be_read_opens_nothing(keys: KeyRing, valkey: Valkey) -> None:
    made = keys.create("studio")
    valkey.client().hset(KEYS, made.key.id, '{"id": 3}')
    assert keys.find(made.token) is None
    assert not keys.is_empty()


def test_a_record_of_a_newer_release_is_read(keys: KeyRing, valkey: Valkey) -> None:
    made = keys.create("studio")
    text = made.key.model_dump_json()
    valkey.client().hset(KEYS, made.key.id, text[:-1] + ',"colour":"blue"}')
    assert keys.find(made.token) == made.key


def test_an_unknown_key_cannot_be_revoked(keys: KeyRing) -> None:
    with pytest.raises(KeyNotFound, match="no key 'abc'"):
        keys.revoke("abc")


def test_a_queue_that_is_away_is_told(closed_port: int) -> None:
    with pytest.raises(QueueDown):
        KeyRing(Valkey(closed_port, "x").client()).find(f"uk_{'0' * 12}_{'A' * 43}")


def test_secrets_are_compared_in_constant_time(keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    # Timing itself cannot be told apart from noise here; that each look-up compares, found or not, can be.
    compared: list[int] = []
    monkeypatch.setattr("contract.keys.hmac.compare_digest", lambda a, b: bool(compared.append(len(a))) or a == b)
    made = keys.create("studio")
    for token in (made.token, f"uk_{made.key.id}_{'A' * 43}", f"uk_{'0' * 12}_{'A' * 43}", "unused"):
        keys.find(token)
    assert compared == [64] * 4
