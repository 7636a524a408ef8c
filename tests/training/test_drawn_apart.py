"""Processes that draw: their chunks come in order, a fault in one is told with its reason, and none outlives who asked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from training.data.errors import DataError
from training.drawn_apart import Chunk, draw_all

CHUNKS = [Chunk(seed, 3) for seed in range(7)]


class Seeded:
    """Pictures that tell their chunk's seed."""

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        seed = generator.initial_seed()
        return torch.zeros(batch, 3, 64, 64), [f"chunk {seed}"] * batch, torch.zeros(batch, 64, 64, dtype=torch.uint8)


class Wordless(Seeded):
    """Ends its process."""

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        os._exit(3)


class Failing(Seeded):
    """Raises."""

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        raise ValueError("no such sprite")


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("processes", [0, 1, 3, 20])
def test_chunks_come_in_their_order_whoever_draws_them(processes: int) -> None:
    assert [drawn.captions[0] for drawn in draw_all(Seeded(), CHUNKS, processes)] == [f"chunk {seed}" for seed in range(7)]


def test_a_process_that_ends_is_told_and_not_waited_for() -> None:
    with pytest.raises(DataError, match="code 3"):
        list(draw_all(Wordless(), CHUNKS, 2))


def test_what_a_process_raised_is_the_reason() -> None:
    with pytest.raises(DataError, match="no such sprite"):
        list(draw_all(Failing(), CHUNKS, 2))


def test_a_process_killed_in_the_middle_of_a_message_is_told() -> None:
    every = draw_all(Seeded(), [Chunk(seed, 400) for seed in range(4)], 1)  # 6 MB each: the pipe is full, `send` waits
    next(every)
    time.sleep(0.3)
    [painter] = multiprocessing.active_children()
    os.kill(painter.pid or 0, signal.SIGKILL)
    with pytest.raises(DataError, match="ended with code -9"):
        list(every)


def test_nothing_draws_on_for_who_has_left() -> None:
    every = draw_all(Seeded(), CHUNKS, 3)
    next(every)
    every.close()


def test_painters_end_with_a_parent_that_was_killed() -> None:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()

    def ask() -> None:
        every = draw_all(Seeded(), [Chunk(seed, 400) for seed in range(40)], 2)
        next(every)
        there.send([child.pid for child in multiprocessing.active_children()])
        time.sleep(60)

    parent = context.Process(target=ask)
    parent.start()
    painters = here.recv()
    os.kill(parent.pid or 0, signal.SIGKILL)
    parent.join()
    until = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") and state_of(pid) != "Z" for pid in painters):
        assert time.monotonic() < until, "painters draw on without a parent"
        time.sleep(0.05)


def state_of(pid: int) -> str:
    """A process's state in /proc: Z has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
