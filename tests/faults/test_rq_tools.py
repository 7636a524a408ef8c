"""What operators do with RQ's own tools (`rq`, rq-dashboard, a Python prompt) is seen by everybody who follows the job."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from redis import Redis
from rq.cli.cli import main as rq_command
from rq.command import send_stop_job_command
from rq.job import Job, cancel_job, requeue_job
from rq.queue import Queue
from rq.registry import CanceledJobRegistry
from rq.serializers import JSONSerializer

from contract.ended import ENDED, OPEN, read_entries
from contract.errors import JobNotFound
from contract.states import JobState
from contract.store import ImageStore
from tests.faults.conftest import is_in_decoder, wait
from tests.faults.installation import pictures_in
from tests.workers.plain import make_spec
from workers.untold import Untold


def delete(job_id: str, connection: Redis) -> None:
    Job.fetch(job_id, connection=connection, serializer=JSONSerializer).delete()


def cancel(job_id: str, connection: Redis) -> None:
    cancel_job(job_id, connection, serializer=JSONSerializer)


def stop(job_id: str, connection: Redis) -> None:
    send_stop_job_command(connection, job_id, serializer=JSONSerializer)


def told(redis: Redis, job_id: str, seconds: float = 30) -> Counter[JobState]:
    """Return which ends of a job were told, waiting for the first."""
    deadline = time.monotonic() + seconds
    while not (found := ends(redis, job_id)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def ends(redis: Redis, job_id: str) -> Counter[JobState]:
    entries = read_entries(redis.xrange(ENDED))
    return Counter(entry.state for entry in entries if entry.job_id == job_id and entry.state.is_terminal)


def test_running_jobs_that_tools_end_are_canceled_for_everybody(jobs, redis, start_worker, fault_settings):
    start_worker(step_seconds=0.05)
    canceled, deleted, stopped = (jobs.submit(make_spec(steps=250, seed=seed)).id for seed in range(3))
    wait(jobs, stopped, is_in_decoder)
    cancel(canceled, redis)
    delete(deleted, redis)
    stop(stopped, redis)
    assert [told(redis, job_id) for job_id in (canceled, deleted, stopped)] == [{JobState.CANCELED: 1}] * 3
    for job_id in (canceled, stopped):
        record = jobs.fetch(job_id)
        assert (record.state, record.finished_at is not None) == (JobState.CANCELED, True)
        assert 0 < redis.ttl(Job.key_for(job_id)) <= fault_settings.result_ttl_seconds
    with pytest.raises(JobNotFound):
        jobs.fetch(deleted)
    assert pictures_in(ImageStore.open(fault_settings)) == []
    assert not redis.exists(OPEN)


def test_waiting_jobs_that_tools_end_are_canceled_for_everybody(jobs, redis, rq_queue, start_worker, outages):
    canceled, deleted, emptied = (jobs.submit(make_spec(seed=seed)).id for seed in range(3))
    cancel(canceled, redis)
    delete(deleted, redis)
    options = ["--url", outages.valkey.url, "--serializer", "json", rq_queue.name]
    rq_command(["empty", *options], standalone_mode=False)
    start_worker()
    assert [told(redis, job_id) for job_id in (canceled, deleted, emptied)] == [{JobState.CANCELED: 1}] * 3
    registry = CanceledJobRegistry(rq_queue.name, connection=redis, serializer=JSONSerializer)
    assert canceled in registry.get_job_ids(), "RQ alone would forget it at once, and keep its record for ever"
    assert redis.ttl(Job.key_for(canceled)) > 0


def test_a_failed_job_that_a_tool_queues_again_runs_again(jobs, redis, rq_queue: Queue, start_worker):
    start_worker()
    job_id = jobs.submit(make_spec("raise for want of room")).id
    assert wait(jobs, job_id).state is JobState.FAILED
    requeue_job(job_id, redis, serializer=JSONSerializer)
    wait(jobs, job_id, lambda record: ends(redis, job_id)[JobState.FAILED] == 2)
    assert jobs.fetch(job_id).state is JobState.FAILED
    assert redis.ttl(Job.key_for(job_id)) > 0
    assert (redis.exists(OPEN), redis.llen(rq_queue.key)) == (0, 0)


def test_what_a_worker_of_an_earlier_release_told_is_not_told_again_and_what_it_did_not_tell_is(jobs, redis):
    """The release before told, and knew of no open jobs; one still older told nothing."""
    spoken, silent, gone = (jobs.submit(make_spec(seed=seed)).id for seed in range(3))
    for job_id in (spoken, silent):
        redis.hset(Job.key_for(job_id), mapping={"status": "finished", "ended_at": "2026-11-23T00:00:00.000000Z"})
    for job_id in (spoken, gone):
        redis.xadd(ENDED, {"job": job_id, "state": "succeeded", "queue": "interactive:local"})
    redis.delete(Job.key_for(gone))
    assert Untold(redis).tell() == []
    assert [ends(redis, job_id) for job_id in (spoken, silent, gone)] == [{JobState.SUCCEEDED: 1}] * 3
    assert not redis.exists(OPEN)


def test_who_is_patient_leaves_an_end_to_others_for_a_while(jobs, redis):
    """The webhook sender tells what workers do not, but they know better what to do about pictures."""
    seconds = [0.0]
    untold = Untold(redis, patience_seconds=4, clock=lambda: seconds[0])
    deleted = jobs.submit(make_spec()).id
    delete(deleted, redis)
    found = {}
    for second in range(6):
        seconds[0] = float(second)
        found[second] = list(untold.tell())
    assert found == {second: [deleted] if second == 4 else [] for second in range(6)}


def test_an_end_before_the_last_beginning_is_not_the_end_that_is_looked_for(jobs, redis):
    job_id = jobs.submit(make_spec()).id
    for state in ("failed", "running"):
        redis.xadd(ENDED, {"job": job_id, "state": state, "queue": "interactive:local"})
    redis.delete(Job.key_for(job_id))
    assert Untold(redis).tell() == [job_id]
    assert ends(redis, job_id) == {JobState.FAILED: 1, JobState.CANCELED: 1}


def test_a_queue_that_was_emptied_is_told_of_without_a_walk_through_the_stream_for_each_job(jobs, redis):
    """A worker that tells does not say meanwhile that it is alive."""
    for number in range(100):
        redis.hset(OPEN, f"{number:032x}", "interactive:local")
    redis.config_resetstat()
    assert len(Untold(redis).tell()) == 100
    assert redis.info("commandstats")["cmdstat_xrevrange"]["calls"] == 1
