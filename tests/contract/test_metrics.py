"""Workers' counters on a real Valkey."""

from __future__ import annotations

from contract.metrics import FIELD, StageCounters, WorkerCounters, metrics_key, post_counters, read_counters

COUNTERS = WorkerCounters(at=100.0, stages={"decoder": StageCounters(calls=2, row_steps=5, seconds=0.25)}, failed={"poison": 1})


def test_what_a_worker_counts_is_read_back_by_its_name(redis):
    post_counters(redis, "one", COUNTERS, 24)
    post_counters(redis, "two", WorkerCounters(at=101.0), 24)
    assert read_counters(redis) == {"one": COUNTERS, "two": WorkerCounters(at=101.0)}


def test_a_silent_workers_counters_go_away(redis):
    post_counters(redis, "gone", COUNTERS, 24)
    assert 0 < redis.ttl(metrics_key("gone")) <= 24
    redis.delete(metrics_key("gone"))  # what its expiry does
    post_counters(redis, "alive", WorkerCounters(at=125.0), 24)
    assert list(read_counters(redis)) == ["alive"]
    assert redis.zcard("unclip:metrics") == 1


def test_a_newer_releases_counters_are_read_as_far_as_they_are_known(redis):
    post_counters(redis, "newer", COUNTERS, 24)
    redis.hset(metrics_key("newer"), FIELD, '{"at": 3, "pictures": 7, "fancy": 1}')
    assert read_counters(redis)["newer"].pictures == 7


def test_counters_that_nobody_can_read_are_left_out(redis):
    post_counters(redis, "odd", COUNTERS, 24)
    redis.hset(metrics_key("odd"), FIELD, "???")
    assert read_counters(redis) == {}
