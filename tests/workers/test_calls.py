"""Calls that raise: who is tried again, who fails, and what memory has to do with it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.workers.plain import PlainStages, make_spec
from workers.calls import is_out_of_memory
from workers.engine import Drawn, Engine, Failed, Order
from workers.pick import Budget

ROOMY = Budget(call_cost=100.0, patience_seconds=0.0, rows=64)


def draw(engine: Engine, *prompts: str) -> dict[str, Drawn | Failed]:
    for seed, prompt in enumerate(prompts):
        engine.admit(Order(f"{seed}", make_spec(prompt, seed=seed), float("inf")))
    ended = {}
    while engine.tick():
        ended.update({outcome.order.job_id: outcome for outcome in engine.outcomes()})
    return ended


def test_a_row_too_large_for_memory_is_tried_again_alone_and_then_fails_by_name():
    cascade = PlainStages()
    ended = draw(Engine(cascade, ROOMY), "fine", "huge", "fine", "fine")
    assert ended["1"].fault.code == "out_of_memory"
    alone = [call for call in cascade.stages["decoder"].trace if [seed for seed, _ in call] == [1]]
    assert len(alone) == 2, "once in its turn, once after memory was given back"
    assert all(isinstance(ended[name], Drawn) for name in "023")


def test_the_mates_of_a_row_without_memory_come_out_as_in_a_clean_run():
    clean = draw(Engine(PlainStages(), ROOMY), "fine", "fine", "fine", "fine")
    beside = draw(Engine(PlainStages(), ROOMY), "fine", "huge", "fine", "fine")
    for name in "023":
        assert np.array_equal(clean[name].pictures[0], beside[name].pictures[0])


def test_calls_that_do_not_fit_get_smaller_and_stay_so():
    cascade = PlainStages()
    cascade.stages["decoder"].most_rows = 3
    engine = Engine(cascade, ROOMY)
    ended = draw(engine, *["fine"] * 8)
    assert all(isinstance(outcome, Drawn) for outcome in ended.values())
    assert engine.budget.ceilings["decoder"] == 2
    too_large = [call for call in cascade.stages["decoder"].trace if len(call) > 3]
    assert len(too_large) <= 3, "it must learn from the first calls, not run into the same wall at every step"
    assert cascade.relieved


def test_a_row_that_fits_once_memory_was_given_back_is_drawn():
    cascade = PlainStages()
    decoder = cascade.stages["decoder"]
    run, hogged = decoder.run, [True]

    def run_while_hogged(rows):
        if hogged:
            raise MemoryError
        run(rows)

    decoder.run = run_while_hogged
    cascade.relieve = hogged.clear
    assert isinstance(draw(Engine(cascade, ROOMY), "fine")["0"], Drawn)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_faults(error, expected):
    assert is_out_of_memory(error) is expected
