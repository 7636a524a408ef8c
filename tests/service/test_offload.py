"""Blocking calls on threads: bounded waits, and no part that takes another's threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import anyio
import pytest

from contract.errors import QueueDown, StoreDown
from service.offload import Offload


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """Calls that wait for this event hang until the test is over."""
    event = threading.Event()
    yield event
    event.set()


async def outcome(offload: Offload, call: object) -> str:
    try:
        return str(await offload(QueueDown, call))  # type: ignore[arg-type]
    except QueueDown as down:
        return down.code


def test_a_call_s_answer_comes_back() -> None:
    assert anyio.run(Offload(), QueueDown, "a-b".split, "-") == ["a", "b"]


def test_a_call_s_error_comes_back() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        anyio.run(Offload(), QueueDown, int, "x")


def test_a_call_that_hangs_is_an_outage(hang: threading.Event) -> None:
    assert anyio.run(outcome, Offload(patience_seconds=0.1), hang.wait) == "queue_unavailable"


def test_callers_without_a_thread_wait_no_longer_than_those_with_one(hang: threading.Event) -> None:
    async def many() -> float:
        offload, began = Offload(threads=1, patience_seconds=0.2), time.monotonic()
        async with anyio.create_task_group() as callers:
            for _ in range(10):
                callers.start_soon(outcome, offload, hang.wait)
        return time.monotonic() - began

    assert anyio.run(many) < 1.0


def test_a_store_that_hangs_leaves_the_queue_its_threads(hang: threading.Event) -> None:
    async def queue_beside_store() -> str:
        offload = Offload(threads=1, patience_seconds=5)
        async with anyio.create_task_group() as callers:
            callers.start_soon(offload, StoreDown, hang.wait)
            await anyio.sleep(0.05)
            answer = await outcome(offload, lambda: "answer")
            callers.cancel_scope.cancel()
        return answer

    assert anyio.run(queue_beside_store) == "answer"


def test_an_event_loop_that_stands_still_is_no_outage() -> None:
    async def ask_before_it_stands_still() -> str:
        offload, answers = Offload(patience_seconds=0.2), []

        async def ask() -> None:
            answers.append(await outcome(offload, lambda: "answer"))

        async def stand_still() -> None:
            time.sleep(0.3)

        async with anyio.create_task_group() as both:
            both.start_soon(ask)
            both.start_soon(stand_still)
        return answers[0]

    assert anyio.run(ask_before_it_stands_still) == "answer"
