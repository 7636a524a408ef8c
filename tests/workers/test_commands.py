"""RQ's own commands, sent by RQ's own functions."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError
from rq.command import send_command, send_shutdown_command, send_stop_job_command
from rq.serializers import JSONSerializer

from contract.states import JobState
from tests.workers.endings import submitted
from tests.workers.plain import make_spec
from workers.clerk import Clerk, Drop, Pace, orders
from workers.commands import Commands
from workers.engine import Order
from workers.recovery import Recovery


@pytest.fixture
def clerk(worker):
    clerk = Clerk(worker, Recovery(worker.connection, 4), Pace.of(8), rows=8)
    clerk._turn()  # a first turn, so that it listens
    return clerk


def turn(clerk) -> None:
    clerk._due["beat"] = 0.0
    clerk._turn()


def test_shutdown_is_passed_on(clerk, worker, redis):
    asked: list[bool] = []
    clerk.on_shutdown = lambda: asked.append(True)
    send_shutdown_command(redis, worker.name)
    turn(clerk)
    assert asked == [True]


def test_a_stopped_job_is_canceled(clerk, jobs, redis):
    job_id = submitted(jobs)
    turn(clerk)
    assert jobs.fetch(job_id).state is JobState.RUNNING
    send_stop_job_command(redis, job_id, serializer=JSONSerializer)
    turn(clerk)
    assert jobs.fetch(job_id).state is JobState.CANCELED
    messages = [type(message) for message in orders(clerk.for_engine, 0)]
    assert messages[0] is Order
    assert set(messages[1:]) == {Drop}


def test_the_stop_of_a_job_that_is_not_here_does_nothing(clerk, worker, jobs, redis):
    job_id = jobs.submit(make_spec()).id
    send_command(redis, worker.name, "stop-job", job_id=job_id)
    send_command(redis, worker.name, "kill-horse")
    turn(clerk)
    assert jobs.fetch(job_id).state is JobState.RUNNING


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'"shutdown"', b"{}"])
def test_what_is_no_command_is_ignored(redis, data):
    commands = Commands(redis, "w")
    commands.heard()
    redis.publish("rq:pubsub:w", data)
    assert commands.heard() == []
    commands.close()


def test_it_listens_anew_after_an_outage(redis, monkeypatch):
    commands = Commands(redis, "w")
    commands.heard()
    assert commands._pubsub is not None

    def refuse(**_: float) -> None:
        raise ConnectionError

    monkeypatch.setattr(commands._pubsub, "get_message", refuse)
    with pytest.raises(ConnectionError):
        commands.heard()
    commands.heard()
    send_shutdown_command(redis, "w")
    assert [command.name for command in commands.heard()] == ["shutdown"]
    commands.close()
