"""Two workers and one job: who was taken for dead can no longer end it, and every end is told once."""

from __future__ import annotations

import pytest

from contract.ended import ENDED, read_entries
from contract.record import Progress
from contract.states import JobState
from tests.workers.endings import FAULT, result_of, submitted, taken_from
from workers.ends import belongs_to

ENDINGS = [
    lambda worker, holding: worker.succeed(holding, result_of(holding.id)),
    lambda worker, holding: worker.fail(holding, FAULT),
    lambda worker, holding: worker.cancel(holding),
    lambda worker, holding: worker.hand_back(holding),
]


@pytest.mark.parametrize("end", ENDINGS)
def test_a_worker_that_was_taken_for_dead_can_no_longer_end_its_job(jobs, new_worker, rq_queue, end):
    submitted(jobs)
    cut_off, other = new_worker(), new_worker()
    ours = cut_off.claim()
    taken_from(cut_off, ours)
    theirs = other.claim()
    assert theirs.id == ours.id
    assert end(cut_off, ours) is False
    assert jobs.fetch(ours.id).state is JobState.RUNNING
    assert other.succeed(theirs, result_of(theirs.id)) is True
    assert end(cut_off, ours) is False
    assert jobs.fetch(ours.id).state is JobState.SUCCEEDED
    assert rq_queue.started_job_registry.get_job_ids(cleanup=False) == []


def test_a_late_end_is_refused_while_the_job_still_waits_for_its_next_run(jobs, new_worker, rq_queue):
    submitted(jobs)
    cut_off = new_worker()
    ours = cut_off.claim()
    taken_from(cut_off, ours)
    assert cut_off.succeed(ours, result_of(ours.id)) is False
    assert rq_queue.job_ids == [ours.id]


def test_an_end_loses_against_a_claim_that_comes_between_asking_and_writing(jobs, new_worker, monkeypatch):
    submitted(jobs)
    cut_off, other = new_worker(), new_worker()
    ours = cut_off.claim()
    asked: list[bool] = []

    def ask_then_lose_the_job(*args):
        answer = belongs_to(*args)
        if not asked:
            asked.append(answer)
            taken_from(cut_off, ours)
            other.claim()
        return answer

    monkeypatch.setattr("workers.worker.belongs_to", ask_then_lose_the_job)
    assert cut_off.succeed(ours, result_of(ours.id)) is False
    assert asked == [True]
    assert jobs.fetch(ours.id).state is JobState.RUNNING


def test_a_worker_of_the_release_before_this_one_that_took_over_a_job_keeps_it(jobs, new_worker, redis):
    submitted(jobs)
    cut_off = new_worker()
    ours = cut_off.claim()
    taken_from(cut_off, ours)
    # What earlier releases wrote: no attempt.
    redis.hset(ours.job.key, mapping={"status": "started", "worker_name": "earlier"})
    assert cut_off.ended_elsewhere([ours]) == {ours.id: False}
    assert cut_off.succeed(ours, result_of(ours.id)) is False


def test_progress_of_a_worker_that_was_taken_for_dead_is_not_told(jobs, new_worker):
    submitted(jobs)
    cut_off, other = new_worker(), new_worker()
    ours = cut_off.claim()
    taken_from(cut_off, ours)
    theirs = other.claim()
    other.report([(theirs, Progress(stage="decoder", step=1, steps=9, fraction=0.1))])
    cut_off.report([(ours, Progress(stage="decoder", step=8, steps=9, fraction=0.9))])
    assert jobs.fetch(theirs.id).progress.step == 1


def test_progress_brings_no_expired_job_back(jobs, worker, redis):
    submitted(jobs)
    holding = worker.claim()
    redis.delete(holding.job.key)
    worker.report([(holding, Progress(stage="decoder", step=1, steps=9, fraction=0.1))])
    assert not redis.exists(holding.job.key)


def test_every_beginning_and_end_is_told_once(jobs, worker, redis):
    for end in ENDINGS[:3]:
        submitted(jobs)
        end(worker, worker.claim())
    told = [(entry.state, entry.queue) for entry in read_entries(redis.xrange(ENDED))]
    ends = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED)
    assert told == [(state, "interactive:local") for end in ends for state in (JobState.RUNNING, end)]


def test_a_worker_hands_back_nothing_that_another_one_is_drawing(jobs, new_worker):
    submitted(jobs)
    cut_off, other = new_worker(), new_worker()
    ours = cut_off.claim()
    taken_from(cut_off, ours)
    theirs = other.claim()
    cut_off.hand_back(ours)
    assert jobs.fetch(theirs.id).state is JobState.RUNNING
