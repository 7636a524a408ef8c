"""What a worker hears while it draws: RQ's own commands, sent by RQ's own functions, and the bell."""

from __future__ import annotations

import queue as queues
import time
from collections.abc import Callable

import pytest
from redis.exceptions import ConnectionError
from rq.command import send_command, send_shutdown_command, send_stop_job_command
from rq.serializers import JSONSerializer

from contract.bell import BELL, ring
from contract.states import JobState
from tests.workers.endings import submitted
from workers import clerk as clerks
from workers.clerk import Clerk, Drop, Pace, orders
from workers.ear import Command, Ear, Ring
from workers.engine import Order
from workers.recovery import Recovery

SOON_SECONDS = 10.0


@pytest.fixture
def clerk(worker):
    clerk = Clerk(worker, Recovery(worker.connection, 4), Pace.of(8), rows=8)
    clerk._ear.start()
    assert clerk._ear.listens.wait(SOON_SECONDS)
    yield clerk
    clerk._ear.close()


@pytest.fixture
def ear(redis):
    heard: queues.SimpleQueue[Command | Ring] = queues.SimpleQueue()
    ear = Ear(redis, "w", heard.put)
    ear.start()
    assert ear.listens.wait(SOON_SECONDS)
    yield heard
    ear.close()


def turn_until(clerk: Clerk, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        clerk._turn()


def test_shutdown_is_passed_on(clerk, worker, redis):
    asked: list[bool] = []
    clerk.on_shutdown = lambda: asked.append(True)
    send_shutdown_command(redis, worker.name)
    turn_until(clerk, lambda: asked == [True])


def test_a_stopped_job_is_canceled(clerk, jobs, redis):
    job_id = submitted(jobs)
    turn_until(clerk, lambda: jobs.fetch(job_id).state is JobState.RUNNING)
    send_stop_job_command(redis, job_id, serializer=JSONSerializer)
    turn_until(clerk, lambda: jobs.fetch(job_id).state is JobState.CANCELED)
    messages = [type(message) for message in orders(clerk.for_engine, 0)]
    assert messages[0] is Order
    assert set(messages[1:]) == {Drop}


def test_the_stop_of_a_job_that_is_not_here_does_nothing(clerk, worker, jobs, redis):
    job_id = submitted(jobs)
    turn_until(clerk, lambda: jobs.fetch(job_id).state is JobState.RUNNING)
    asked: list[bool] = []
    clerk.on_shutdown = lambda: asked.append(True)
    send_command(redis, worker.name, "stop-job", job_id="0" * 32)
    send_command(redis, worker.name, "kill-horse")
    send_shutdown_command(redis, worker.name)  # the last that it hears: those before it have been obeyed by then
    turn_until(clerk, lambda: asked == [True])
    assert jobs.fetch(job_id).state is JobState.RUNNING


def test_a_worker_that_draws_hears_the_bell_and_takes_the_job(clerk, jobs, monkeypatch):
    monkeypatch.setattr(clerks, "LOOK_SECONDS", 1000.0)  # the bell itself must wake it
    first = submitted(jobs)
    turn_until(clerk, lambda: jobs.fetch(first).state is JobState.RUNNING)
    clerk._turn()  # finds nothing more, and waits for news from now on
    second = submitted(jobs)
    began = time.monotonic()
    turn_until(clerk, lambda: jobs.fetch(second).state is JobState.RUNNING)
    assert time.monotonic() - began < clerk.pace.beat_seconds / 2


def test_a_job_that_leaves_the_engine_makes_room_at_once(worker, jobs, monkeypatch):
    monkeypatch.setattr(clerks, "LOOK_SECONDS", 1000.0)
    clerk = Clerk(worker, Recovery(worker.connection, 4), Pace.of(8), rows=1)
    first, second = submitted(jobs), submitted(jobs)
    turn_until(clerk, lambda: jobs.fetch(first).state is JobState.RUNNING)
    clerk.drawn(first)  # its pictures are still on their way to the store
    began = time.monotonic()
    turn_until(clerk, lambda: jobs.fetch(second).state is JobState.RUNNING)
    assert time.monotonic() - began < clerk.pace.beat_seconds / 2
    assert jobs.fetch(first).state is JobState.RUNNING


def test_only_the_first_job_of_a_queue_rings_for_those_who_draw(ear, jobs):
    submitted(jobs)
    submitted(jobs)
    assert ear.get(timeout=SOON_SECONDS) == Ring()
    with pytest.raises(queues.Empty):
        ear.get(timeout=0.3)


def test_a_job_that_comes_back_rings(ear, jobs, worker):
    submitted(jobs)
    holding = worker.claim()
    assert ear.get(timeout=SOON_SECONDS) == Ring()
    worker.hand_back(holding)
    assert ear.get(timeout=SOON_SECONDS) == Ring()


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'"shutdown"', b"{}"])
def test_what_is_no_command_is_ignored(ear, redis, data):
    redis.publish("rq:pubsub:w", data)
    ring(redis)
    assert ear.get(timeout=SOON_SECONDS) == Ring()


def test_it_listens_anew_after_an_outage(redis, monkeypatch):
    heard: queues.SimpleQueue[Command | Ring] = queues.SimpleQueue()
    ear = Ear(redis, "w", heard.put)
    refusals = [ConnectionError(), ConnectionError()]
    listen = ear._listen

    def refuse_twice(backoff) -> None:
        if refusals:
            raise refusals.pop()
        listen(backoff)

    monkeypatch.setattr(ear, "_listen", refuse_twice)
    ear.start()
    assert ear.listens.wait(SOON_SECONDS)
    redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # cut off while it listens
    deadline = time.monotonic() + SOON_SECONDS
    while heard.empty():
        assert time.monotonic() < deadline
        send_shutdown_command(redis, "w")
        time.sleep(0.05)
    assert heard.get(timeout=SOON_SECONDS) == Command("shutdown")
    assert not refusals
    ear.close()


def test_idle_workers_hear_of_it_by_the_list(redis):
    ring(redis)
    assert redis.lpop(BELL) == b"1"
