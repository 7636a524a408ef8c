"""What a worker counts."""

from __future__ import annotations

from contract.metrics import StageCounters
from contract.record import JobFault, JobResult
from tests.workers.plain import PlainStages, make_spec
from workers.engine import Engine, Order
from workers.pick import Budget
from workers.tally import Tally


def test_calls_rows_and_seconds_are_counted_by_stage():
    tally = Tally("tiny", "cpu", clock=lambda: 5.0)
    tally.called("decoder", 3, 0.5)
    tally.called("decoder", 1, 0.25)
    counters = tally.counters(rows_in_flight=4, jobs_in_hand=2)
    assert counters.stages == {"decoder": StageCounters(calls=2, row_steps=4, seconds=0.75)}
    assert (counters.model, counters.device, counters.at, counters.rows_in_flight, counters.jobs_in_hand) == (
        "tiny",
        "cpu",
        5.0,
        4,
        2,
    )


def test_jobs_are_counted_by_how_they_ended():
    tally = Tally()
    tally.ended(JobResult(images=(), native_size=8, timings={"publish": 0.5}))
    tally.ended(JobFault(code="numerical_failure", message="…"))
    tally.ended(None)
    tally.handed_back()
    counters = tally.counters(0, 0)
    assert (counters.succeeded, counters.canceled, counters.handed_back, counters.published_seconds) == (1, 1, 1, 0.5)
    assert counters.failed == {"numerical_failure": 1}


def test_an_engine_counts_what_it_does():
    engine = Engine(PlainStages(), Budget(call_cost=4.0, patience_seconds=0.0, rows=64))
    engine.admit(Order("a", make_spec(prior_steps=2, steps=5, upsample_steps=1), float("inf")))
    engine.admit(Order("b", make_spec("raise", prior_steps=2, steps=5, upsample_steps=1), float("inf")))
    while engine.tick():
        pass
    counters = engine.tally.counters(0, 0)
    assert counters.stages["text"].row_steps == 2
    assert counters.stages["prior"].row_steps == 4
    assert counters.stages["decoder"].calls >= 5
    assert counters.halved == 1
