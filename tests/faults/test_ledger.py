"""The ledger sees what it is there to see."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contract.record import JobFault, JobRecord
from contract.states import JobState
from tests.faults.ledger import Ledger, Truth
from tests.workers.plain import make_spec

JOB = "a" * 32


def record(job_id: str = JOB, seed: int = 7, state: JobState = JobState.SUCCEEDED, **fields: object) -> JobRecord:
    spec = make_spec(seed=seed)
    return JobRecord(id=job_id, operation="generate", state=state, created_at=datetime.now(UTC), spec=spec, **fields)


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    entry = ledger.sent(7)
    entry.answer, entry.job_id = "accepted", JOB
    return ledger


@pytest.fixture
def truth() -> Truth:
    return Truth({JOB: record(attempts=1)}, Counter({JOB: 1}), {}, [], [])


def test_a_job_that_ended_well_is_clean(ledger, truth):
    assert ledger.judge(truth).is_clean
    assert ledger.judge(truth).recovered == []


def test_an_end_told_twice_is_clean(ledger, truth):
    verdict = ledger.judge(replace(truth, told={JOB: Counter({"job.succeeded": 2})}))
    assert verdict.is_clean
    assert verdict.counts["calls more than once"] == 1


def test_a_job_begun_twice_is_clean_and_recovered(ledger, truth):
    verdict = ledger.judge(replace(truth, records={JOB: record(attempts=2)}))
    assert verdict.is_clean
    assert verdict.recovered == [JOB]


@pytest.mark.parametrize(
    ("difference", "which"),
    [
        ({"records": {}}, "lost"),
        ({"records": {JOB: record(state=JobState.RUNNING)}}, "lost"),
        ({"wrong": {JOB: "picture cannot be read"}}, "lost"),
        ({"ends": Counter({JOB: 2})}, "double"),
        ({"records": {JOB: record(), "b" * 32: record("b" * 32)}}, "double"),
        ({"records": {JOB: record(), "b" * 32: record("b" * 32, seed=8)}}, "unexpected"),
        ({"records": {JOB: record(state=JobState.FAILED, error=JobFault(code="x", message="x"))}}, "unexpected"),
        ({"records": {JOB: record(state=JobState.CANCELED)}}, "unexpected"),
        ({"strays": [f"{JOB}-0"]}, "unexpected"),
        ({"leftovers": ["1 in the queue"]}, "unexpected"),
        ({"told": {}}, "lost"),
        ({"told": {JOB: Counter({"job.succeeded": 1, "job.failed": 1})}}, "unexpected"),
        ({"told": {JOB: Counter({"job.succeeded": 1}), "b" * 32: Counter({"job.succeeded": 1})}}, "unexpected"),
        ({"told": {JOB: Counter({"job.succeeded": 1})}, "forged": ["x"]}, "unexpected"),
    ],
)
def test_each_kind_of_loss_is_seen(ledger, truth, difference, which):
    verdict = ledger.judge(replace(truth, **difference))
    assert not verdict.is_clean
    assert len(getattr(verdict, which)) == 1


def test_a_refused_request_that_became_a_job_is_unexpected(ledger, truth):
    ledger.entries[7].answer, ledger.entries[7].job_id = "queue_full", None
    assert len(ledger.judge(truth).unexpected) == 1


def test_a_request_without_an_answer_may_have_become_a_job(ledger, truth):
    ledger.entries[7].answer, ledger.entries[7].job_id = "none", None
    assert ledger.judge(truth).is_clean
    assert ledger.judge(replace(truth, records={}, ends=Counter())).is_clean


def test_a_canceled_job_must_not_succeed_after_all(ledger, truth):
    ledger.entries[7].cancel = "canceled"
    assert len(ledger.judge(truth).unexpected) == 1
    ledger.entries[7].cancel = "running"
    assert ledger.judge(truth).is_clean
