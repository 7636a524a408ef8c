"""What a worker hears while it draws: RQ's own commands, sent by RQ's own functions, and the bell."""

from __future__ import annotations

import queue as queues
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import ConnectionError
from rq.command import send_command, send_shutdown_command, send_stop_job_command
from rq.serializers import JSONSerializer

from contract.bell import BELL
from contract.queue import JobQueue
from contract.states import JobState
from tests.workers.endings import submitted
from tests.workers.plain import make_spec
from workers import clerk as clerks
from workers import ear as ears
from workers.clerk import Clerk, Drop, Pace, orders
from workers.ear import Command, Ear, Ring
from workers.engine import Order
from workers.recovery import Recovery

SOON_SECONDS = 10.0
SETTLED_SECONDS = 0.3
"""After which a clerk that has nothing to do waits for news. Where it does not yet, a test shows less and fails no more."""


def new_clerk(worker, rows: int = 8, pace: Pace | None = None) -> Clerk:
    return Clerk(worker, Recovery(worker.connection, 4), pace or Pace.of(8), rows)


@pytest.fixture
def clerk(worker, redis) -> Iterator[Clerk]:
    """One whose rounds the test makes, with an ear that listens."""
    clerk = new_clerk(worker)
    clerk._ear.start()
    until(lambda: listens(redis, worker.name))
    yield clerk
    clerk._ear.close()


@pytest.fixture
def patient(worker, redis, monkeypatch) -> Iterator[Callable[[int], Clerk]]:
    """Starts clerks that come round on news alone."""
    monkeypatch.setattr(clerks, "LOOK_SECONDS", 1000.0)
    started = []

    def start(rows: int) -> Clerk:
        clerk = new_clerk(worker, rows, Pace(beat_seconds=1000, recovery_seconds=1000))
        clerk.start()
        started.append(clerk)
        until(lambda: listens(redis, worker.name))
        return clerk

    yield start
    for clerk in started:
        clerk.close()


@pytest.fixture
def heard(redis) -> Iterator[queues.SimpleQueue[Command | Ring]]:
    """What the ear of a worker called `w` tells."""
    told: queues.SimpleQueue[Command | Ring] = queues.SimpleQueue()
    ear = Ear(redis, "w", told.put)
    ear.start()
    until(lambda: listens(redis, "w"))
    yield told
    ear.close()


def until(is_so: Callable[[], bool], meanwhile: Callable[[], object] = lambda: time.sleep(0.01)) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        meanwhile()


def listens(redis: Redis, name: str) -> bool:
    return all(count for _, count in redis.pubsub_numsub(f"rq:pubsub:{name}", BELL))


def is_running(jobs: JobQueue, job_id: str) -> bool:
    return jobs.fetch(job_id).state is JobState.RUNNING


def test_shutdown_is_passed_on(clerk, worker, redis):
    asked: list[bool] = []
    clerk.on_shutdown = lambda: asked.append(True)
    send_shutdown_command(redis, worker.name)
    until(lambda: asked == [True], clerk._turn)


def test_a_stopped_job_is_canceled(clerk, jobs, redis):
    job_id = submitted(jobs)
    until(lambda: is_running(jobs, job_id), clerk._turn)
    send_stop_job_command(redis, job_id, serializer=JSONSerializer)
    until(lambda: jobs.fetch(job_id).state is JobState.CANCELED, clerk._turn)
    messages = [type(message) for message in orders(clerk.for_engine, 0)]
    assert messages[0] is Order
    assert set(messages[1:]) == {Drop}


def test_the_stop_of_a_job_that_is_not_here_does_nothing(clerk, worker, jobs, redis):
    job_id = submitted(jobs)
    until(lambda: is_running(jobs, job_id), clerk._turn)
    asked: list[bool] = []
    clerk.on_shutdown = lambda: asked.append(True)
    send_command(redis, worker.name, "stop-job", job_id="0" * 32)
    send_command(redis, worker.name, "kill-horse")
    send_shutdown_command(redis, worker.name)  # the last that it hears: those before it have been obeyed by then
    until(lambda: asked == [True], clerk._turn)
    assert is_running(jobs, job_id)


def test_a_worker_that_draws_hears_the_bell_and_takes_the_job(patient, jobs):
    patient(8)
    first = submitted(jobs)
    until(lambda: is_running(jobs, first))
    time.sleep(SETTLED_SECONDS)
    second = submitted(jobs)
    until(lambda: is_running(jobs, second))


def test_a_job_that_leaves_the_engine_makes_room_at_once(patient, jobs):
    clerk = patient(1)
    first, second = submitted(jobs), submitted(jobs)
    until(lambda: is_running(jobs, first))
    time.sleep(SETTLED_SECONDS)
    clerk.drawn(first)  # its pictures are still on their way to the store
    until(lambda: is_running(jobs, second))
    assert is_running(jobs, first)


def test_a_bell_that_nobody_hears_delays_a_job_and_no_more(worker, jobs):
    clerk = new_clerk(worker)  # its ear does not listen
    first = submitted(jobs)
    until(lambda: is_running(jobs, first), clerk._turn)
    clerk._thread.start()
    time.sleep(SETTLED_SECONDS)
    second = submitted(jobs)
    until(lambda: is_running(jobs, second))
    clerk.close()


def test_a_claim_passes_stale_ids_by(worker, jobs, redis, rq_queue):
    redis.rpush(rq_queue.key, *("0" * 31 + str(number) for number in range(5)))
    job_id = submitted(jobs)
    holding = worker.claim()
    assert holding is not None
    assert holding.id == job_id
    assert redis.llen(rq_queue.key) == redis.llen(rq_queue.intermediate_queue_key) == 0


def test_only_the_first_job_of_an_empty_queue_rings_for_those_who_draw(jobs, redis):
    with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(BELL)
        pubsub.get_message(timeout=SOON_SECONDS)
        jobs.submit(make_spec())
        jobs.submit(make_spec())
        redis.publish(BELL, "the end")
        assert [pubsub.get_message(timeout=SOON_SECONDS)["data"] for _ in range(2)] == [b"1", b"the end"]


def test_a_job_is_queued_although_its_submitter_may_not_ring(jobs, redis, valkey, settings):
    redis.acl_setuser("mute", enabled=True, nopass=True, keys=["*"], commands=["+@all"], reset_channels=True)
    mute = Redis.from_url(valkey.url, username="mute", password="x", protocol=2)
    job_id = JobQueue(mute, settings).submit(make_spec()).id
    mute.close()
    assert jobs.fetch(job_id).state is JobState.QUEUED


def test_commands_pass_at_once_and_many_rings_are_one_a_little_later(heard, redis, monkeypatch):
    monkeypatch.setattr(ears, "IDLE_FIRST_SECONDS", 0.5)
    for _ in range(100):
        redis.publish(BELL, "1")
    send_shutdown_command(redis, "w")
    assert heard.get(timeout=SOON_SECONDS) == Command("shutdown")
    assert heard.get(timeout=SOON_SECONDS) == Ring()
    send_shutdown_command(redis, "w")
    assert heard.get(timeout=SOON_SECONDS) == Command("shutdown")


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'"shutdown"', b"{}", b"[" * 100_000])
def test_what_is_no_command_is_ignored(heard, redis, data):
    redis.publish("rq:pubsub:w", data)
    redis.publish(BELL, "1")
    assert heard.get(timeout=SOON_SECONDS) == Ring()


@pytest.mark.parametrize("error", [ConnectionError("away"), ValueError("a fault of ours")])
def test_it_listens_anew_after_an_outage_and_whatever_else(redis, monkeypatch, error):
    told: queues.SimpleQueue[Command | Ring] = queues.SimpleQueue()
    ear, refusals = Ear(redis, "w", told.put), [error, error]
    listen = ear._listen

    def refuse_twice(pubsub) -> None:
        if refusals:
            raise refusals.pop()
        listen(pubsub)

    monkeypatch.setattr(ear, "_listen", refuse_twice)
    ear.start()
    try:
        until(lambda: not refusals)
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # cut off while it listens
        until(lambda: not told.empty(), lambda: (send_shutdown_command(redis, "w"), time.sleep(0.05)))
        assert told.get() == Command("shutdown")
    finally:
        ear.close()
