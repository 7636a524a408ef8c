"""Coalesced progress."""

from __future__ import annotations

import pytest

from contract.record import Progress
from workers.progress import ProgressBoard


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    return Clock()


def at(step: int) -> Progress:
    return Progress(stage="decoder", step=step, steps=9, fraction=step / 9)


def test_the_first_progress_is_due_at_once(clock):
    board = ProgressBoard(clock)
    board.post("a", at(1))
    assert board.due() == {"a": at(1)}


def test_many_posts_within_a_moment_become_one(clock):
    board = ProgressBoard(clock)
    for step in range(5):
        board.post("a", at(step))
    assert board.due() == {"a": at(4)}


def test_a_job_tells_at_most_five_times_a_second(clock):
    board = ProgressBoard(clock)
    told = 0
    for millisecond in range(0, 2000, 10):
        clock.now = millisecond / 1000
        board.post("a", Progress(stage="decoder", step=millisecond, steps=2000, fraction=0))
        due = board.due()
        board.sent(due)
        told += len(due)
    assert told <= 10


def test_what_did_not_change_is_not_told_again(clock):
    board = ProgressBoard(clock)
    board.post("a", at(1))
    board.sent(board.due())
    clock.now = 10
    board.post("a", at(1))
    assert board.due() == {}


def test_what_could_not_be_sent_stays_due(clock):
    board = ProgressBoard(clock)
    board.post("a", at(1))
    board.due()
    assert board.due() == {"a": at(1)}


def test_a_job_that_ended_is_forgotten(clock):
    board = ProgressBoard(clock)
    board.post("a", at(1))
    board.forget("a")
    assert board.due() == {}
