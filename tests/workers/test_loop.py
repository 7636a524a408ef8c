"""Engine, clerk and publisher together on a real queue and store, in one process, with stages without nets."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from contract.ended import ENDED, read_entries
from contract.errors import ImageNotFound, JobNotCancelable
from contract.metrics import read_counters
from contract.previews import read_preview
from contract.queue import queue_name
from contract.record import Progress
from contract.states import JobState
from contract.store import ImageStore, image_id
from contract.work import work_of
from tests.workers.conftest import RETENTION_SECONDS
from tests.workers.plain import NATIVE_SIZE, PlainStages, make_spec
from workers.calls import MAX_RAISED, EngineBroken
from workers.clerk import Clerk, Pace
from workers.engine import Engine
from workers.loop import SAME_REQUEST_SECONDS, Loop, StopRequest
from workers.pick import Budget
from workers.picture_check import no_check
from workers.publish import Publisher
from workers.recovery import Recovery
from workers.worker import EngineWorker

TTL_SECONDS = 2
BUDGET = Budget(call_cost=4.0, patience_seconds=0.0, rows=8)


class Running:
    """A whole worker in a thread of this process."""

    def __init__(self, valkey, settings, cascade: PlainStages, drain_seconds: float = 10) -> None:
        self.cascade = cascade
        self.worker = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
        self.worker.start()
        recovery = Recovery(self.worker.connection, TTL_SECONDS / 2)
        publisher = Publisher(ImageStore.open(settings), no_check)
        self.clerk = Clerk(self.worker, recovery, Pace.of(TTL_SECONDS), BUDGET.rows)
        self.stop = StopRequest()
        loop = Loop(Engine(cascade, BUDGET), self.clerk, publisher, self.stop, drain_seconds)
        self.thread = threading.Thread(target=loop.run)
        self.thread.start()

    def end(self) -> None:
        self.stop.ask()
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.worker.connection.close()


@pytest.fixture
def start(valkey, settings) -> Iterator[Callable[..., Running]]:
    running = []

    def begin(step_seconds: float = 0.0, drain_seconds: float = 10) -> Running:
        running.append(Running(valkey, settings, PlainStages(step_seconds), drain_seconds))
        return running[-1]

    yield begin
    for each in running:
        each.end()


def wait(jobs, job_id: str, until: Callable[..., bool] = lambda record: record.state.is_terminal, seconds: float = 15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        record = jobs.fetch(job_id)
        if until(record):
            return record
        time.sleep(0.01)
    raise TimeoutError(f"job {job_id} is {jobs.fetch(job_id)}")


def test_a_submitted_job_becomes_stored_pictures(jobs, settings, start, redis):
    start()
    record = wait(jobs, jobs.submit(make_spec(n=3, seed=11, size="512x512")).id)
    assert (record.state, record.native_size, [image.seed for image in record.images]) == (
        JobState.SUCCEEDED,
        NATIVE_SIZE,
        [11, 12, 13],
    )
    for image in record.images:
        with Image.open(io.BytesIO(ImageStore.open(settings).get(image.id).bytes)) as png:
            assert png.size == (512, 512)
    assert set(record.timings) == {"text", "prior", "decoder", "upsample_256", "publish"}
    told = read_entries(redis.xrange(ENDED))[-1]  # what estimates are made of
    assert (told.job_id, told.work) == (record.id, pytest.approx(work_of(record.spec), rel=0.01))


def test_jobs_of_several_callers_share_one_interleaved_schedule(jobs, start):
    running = start(step_seconds=0.01)
    ids = [jobs.submit(make_spec(seed=100 * number, steps=20 + number)).id for number in range(3)]
    assert [wait(jobs, job_id).state for job_id in ids] == [JobState.SUCCEEDED] * 3
    shared = [{seed for seed, _ in call} for call in running.cascade.stages["decoder"].trace]
    assert any(len(seeds) > 1 for seeds in shared)


def test_the_same_seed_gives_the_same_pixels_alone_or_in_a_crowd(jobs, settings, start):
    start(step_seconds=0.002)
    alone = wait(jobs, jobs.submit(make_spec(seed=7)).id)
    others = [jobs.submit(make_spec(seed=number, steps=9)).id for number in range(2)]
    crowd = wait(jobs, jobs.submit(make_spec(seed=7)).id)
    for job_id in others:
        wait(jobs, job_id)
    store = ImageStore.open(settings)
    first, second = (np.asarray(Image.open(io.BytesIO(store.get(r.images[0].id).bytes))) for r in (alone, crowd))
    assert np.array_equal(first, second)


def test_a_caller_who_asks_sees_previews_at_most_five_times_a_second(jobs, redis, start):
    start(step_seconds=0.02)
    watched, unwatched = jobs.submit(make_spec(steps=40, previews=True)).id, jobs.submit(make_spec(steps=9)).id
    began = time.monotonic()
    wait(jobs, watched)
    preview = read_preview(redis, watched)
    assert 2 <= preview.index <= 2 + 5 * (time.monotonic() - began)
    with Image.open(io.BytesIO(preview.png)) as png:
        assert png.format == "PNG"
    assert read_preview(redis, unwatched) is None


@pytest.mark.parametrize("whose", [{"lane": "batch"}, {"key": "bob"}], ids=["batch", "another key's"])
def test_a_large_job_keeps_no_job_of_another_lane_or_key_out_of_the_engine(jobs, start, whose):
    start(step_seconds=0.01)
    large, next_one = (jobs.submit(make_spec(n=10, steps=30, **whose)).id for _ in range(2))
    wait(jobs, large, lambda record: record.state is JobState.RUNNING)
    assert wait(jobs, jobs.submit(make_spec(steps=3)).id).state is JobState.SUCCEEDED
    assert (jobs.fetch(large).state, jobs.fetch(next_one).state) == (JobState.RUNNING, JobState.QUEUED)
    jobs.cancel(large)


def test_a_batch_is_not_starved_by_interactive_jobs(jobs, start):
    start(step_seconds=0.002)
    interactive = [jobs.submit(make_spec(seed=seed, n=8, steps=40)).id for seed in range(4)]
    batch = jobs.submit(make_spec(steps=3, lane="batch")).id
    assert wait(jobs, batch).state is JobState.SUCCEEDED
    assert any(not jobs.fetch(job_id).state.is_terminal for job_id in interactive)
    for job_id in interactive:
        with suppress(JobNotCancelable):
            jobs.cancel(job_id)
        wait(jobs, job_id, seconds=60)


def test_the_fleets_monitor_sees_what_the_worker_counts(jobs, redis, start):
    running = start()
    wait(jobs, jobs.submit(make_spec(n=2)).id)
    deadline = time.monotonic() + 10
    while (counters := read_counters(redis).get(running.worker.name)) is None or counters.pictures < 2:
        assert time.monotonic() < deadline, counters
        time.sleep(0.05)
    assert counters.succeeded == 1


def test_a_bad_job_fails_and_the_worker_goes_on(jobs, start):
    start()
    bad, good = jobs.submit(make_spec("nan")).id, jobs.submit(make_spec()).id
    assert wait(jobs, bad).error.code == "numerical_failure"
    assert wait(jobs, good).state is JobState.SUCCEEDED


def test_a_job_of_another_function_fails_and_the_worker_goes_on(jobs, start, rq_queue, rq_job):
    start()
    foreign = rq_queue.enqueue("os.system", args=["true"])
    assert wait(jobs, jobs.submit(make_spec()).id).state is JobState.SUCCEEDED
    job = rq_job(foreign.id)
    assert (job.get_status(), job.meta["error"]["code"]) == ("failed", "unknown_function")


def test_a_running_job_tells_its_progress(jobs, start):
    start(step_seconds=0.05)
    job_id = jobs.submit(make_spec(steps=10)).id
    record = wait(jobs, job_id, lambda record: record.progress is not None and record.progress.stage == "decoder")
    assert record.state is JobState.RUNNING
    assert record.progress.steps == 10
    assert 0 < record.progress.fraction < 1
    wait(jobs, job_id)


def test_a_running_job_is_canceled_within_a_few_steps(jobs, start):
    running = start(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=250)).id
    wait(jobs, job_id, lambda record: record.progress is not None)
    jobs.cancel(job_id)
    canceled_at = time.monotonic()
    assert wait(jobs, job_id).state is JobState.CANCELED
    steps = len(running.cascade.stages["decoder"].trace)
    time.sleep(0.2)
    assert len(running.cascade.stages["decoder"].trace) <= steps + 1
    assert time.monotonic() - canceled_at < 2


def test_a_canceled_job_leaves_no_pictures(jobs, settings, start):
    start(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=250)).id
    wait(jobs, job_id, lambda record: record.state is JobState.RUNNING)
    store = ImageStore.open(settings)
    store.put(image_id(job_id, 0), b"of an earlier run, whose worker died")
    jobs.cancel(job_id)
    wait_until_gone(store, image_id(job_id, 0))


def test_a_failed_job_leaves_no_pictures(jobs, settings, start):
    store = ImageStore.open(settings)
    job_id = jobs.submit(make_spec("nan")).id
    store.put(image_id(job_id, 0), b"of an earlier run, whose worker died")
    start()
    wait_until_gone(store, image_id(job_id, 0))


def wait_until_gone(store: ImageStore, picture_id: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            store.get(picture_id)
        except ImageNotFound:
            return
        time.sleep(0.01)
    raise TimeoutError(f"{picture_id} is still in the store")


def test_a_job_beyond_its_deadline_fails(jobs, start, redis, rq_queue):
    job_id = jobs.submit(make_spec(steps=250)).id
    redis.hset(f"rq:job:{job_id}", "timeout", 1)
    start(step_seconds=0.02)
    assert wait(jobs, job_id).error.code == "job_timeout"


def test_a_long_job_outlives_many_heartbeats(jobs, start):
    start(step_seconds=0.04)
    record = wait(jobs, jobs.submit(make_spec(steps=2 * TTL_SECONDS * 20)).id)
    assert (record.state, record.attempts) == (JobState.SUCCEEDED, 1)


def test_stopping_finishes_what_is_in_hand_and_takes_no_more(jobs, start):
    running = start(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=30)).id
    wait(jobs, job_id, lambda record: record.state is JobState.RUNNING)
    running.stop.ask()
    time.sleep(0.3)
    later = jobs.submit(make_spec()).id
    running.thread.join(10)
    assert jobs.fetch(job_id).state is JobState.SUCCEEDED
    assert jobs.fetch(later).state is JobState.QUEUED


def test_what_cannot_be_finished_in_time_is_handed_back(jobs, start, rq_queue):
    running = start(step_seconds=0.05, drain_seconds=0.2)
    job_id = jobs.submit(make_spec(steps=250)).id
    wait(jobs, job_id, lambda record: record.state is JobState.RUNNING)
    running.end()
    record = jobs.fetch(job_id)
    assert (record.state, record.attempts, rq_queue.job_ids) == (JobState.QUEUED, 0, [job_id])


def test_asked_twice_to_stop_it_hands_back_at_once(jobs, start):
    running = start(step_seconds=0.05, drain_seconds=60)
    job_id = jobs.submit(make_spec(steps=250)).id
    wait(jobs, job_id, lambda record: record.state is JobState.RUNNING)
    running.stop.ask()
    running.stop.asked_at -= SAME_REQUEST_SECONDS
    running.end()
    assert jobs.fetch(job_id).state is JobState.QUEUED


def test_two_signals_at_once_are_one_request():
    stop = StopRequest()
    stop.ask()
    stop.ask()
    assert (stop.is_asked, stop.is_urgent) == (True, False)


def test_a_job_taken_away_and_claimed_again_is_not_drawn_twice(jobs, start, redis, rq_queue):
    running = start(step_seconds=0.02)
    job_id = jobs.submit(make_spec(seed=3, steps=40)).id
    wait(jobs, job_id, lambda record: record.progress is not None)
    # As recovery does when this worker was cut off for too long.
    redis.delete(rq_queue.started_job_registry.key)
    redis.hset(f"rq:job:{job_id}", "status", "queued")
    redis.rpush(rq_queue.key, job_id)
    assert wait(jobs, job_id).state is JobState.SUCCEEDED
    served = [step for call in running.cascade.stages["decoder"].trace for seed, step in call if seed == 3]
    assert served == list(range(40))


def test_a_suspended_worker_takes_nothing(jobs, start, redis):
    from rq.suspension import resume, suspend

    suspend(redis)
    start()
    job_id = jobs.submit(make_spec()).id
    time.sleep(0.5)
    assert jobs.fetch(job_id).state is JobState.QUEUED
    resume(redis)
    assert wait(jobs, job_id).state is JobState.SUCCEEDED


def test_a_fault_in_the_clerk_stops_the_worker(valkey, settings, monkeypatch):
    monkeypatch.setattr(Clerk, "_turn", lambda self: 1 / 0)
    worker = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
    worker.start()
    clerk = Clerk(worker, Recovery(worker.connection, 1), Pace.of(TTL_SECONDS), rows=1)
    loop = Loop(Engine(PlainStages(), BUDGET), clerk, Publisher(ImageStore.open(settings), no_check), StopRequest(), 1)
    with pytest.raises(RuntimeError, match="clerk"):
        loop.run()
    worker.connection.close()


def test_a_worker_on_which_job_after_job_raises_hands_the_rest_back(valkey, settings, jobs, monkeypatch):
    cascade = PlainStages()
    monkeypatch.setattr(cascade.stages["prior"], "run", lambda rows: 1 / 0)
    ids = [jobs.submit(make_spec(seed=seed)).id for seed in range(6)]
    worker = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
    worker.start()
    clerk = Clerk(worker, Recovery(worker.connection, 1), Pace.of(TTL_SECONDS), rows=8)
    loop = Loop(Engine(cascade, BUDGET), clerk, Publisher(ImageStore.open(settings), no_check), StopRequest(), 1)
    with pytest.raises(EngineBroken):
        loop.run()
    states = [jobs.fetch(job_id).state for job_id in ids]
    assert states.count(JobState.FAILED) < MAX_RAISED
    assert set(states) <= {JobState.FAILED, JobState.QUEUED}
    worker.connection.close()


def test_an_engine_that_is_stuck_lets_its_jobs_look_abandoned(valkey, redis, rq_queue, jobs):
    worker = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
    worker.start()
    now = 0.0
    clerk = Clerk(worker, Recovery(worker.connection, 1), Pace.of(TTL_SECONDS), rows=1, clock=lambda: now)
    jobs.submit(make_spec())
    clerk._turn()
    [execution] = redis.zrange(rq_queue.started_job_registry.key, 0, -1)
    # A mark that a beat would overwrite.
    redis.zadd(rq_queue.started_job_registry.key, {execution: 4e9})
    now = 1000.0
    clerk._turn()
    assert redis.zscore(rq_queue.started_job_registry.key, execution) == 4e9
    worker.connection.close()


def test_an_engine_that_is_stuck_is_given_no_more_jobs(valkey, jobs):
    worker = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
    worker.start()
    now = 0.0
    clerk = Clerk(worker, Recovery(worker.connection, 1), Pace.of(TTL_SECONDS), rows=8, clock=lambda: now)
    now = 1000.0
    job_id = jobs.submit(make_spec()).id
    clerk._turn()
    assert jobs.fetch(job_id).state is JobState.QUEUED
    worker.connection.close()


def test_progress_told_after_a_jobs_end_is_not_kept(valkey, jobs):
    worker = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
    worker.start()
    clerk = Clerk(worker, Recovery(worker.connection, 1), Pace.of(TTL_SECONDS), rows=8)
    jobs.submit(make_spec())
    clerk._turn()
    clerk.board.post("0" * 32, Progress(stage="decoder", step=1, steps=2, fraction=0.5))
    clerk._due["look"] = 0.0
    clerk._turn()
    assert clerk.board.due() == {}
    worker.connection.close()


def test_after_an_outage_workers_may_say_they_are_alive_before_anybody_is_taken_for_dead(valkey, jobs, redis, rq_queue):
    worker = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
    worker.start()
    now = 0.0
    recovery = Recovery(worker.connection, TTL_SECONDS / 2, clock=lambda: now)
    clerk = Clerk(worker, recovery, Pace.of(TTL_SECONDS), rows=0, clock=lambda: now)
    job_id = jobs.submit(make_spec()).id
    other = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
    holding = other.claim()
    redis.zadd(rq_queue.started_job_registry.key, {holding.execution.composite_key: 1})
    clerk._turn()
    now += TTL_SECONDS / 2
    clerk._after_outage()
    clerk._turn()
    assert jobs.fetch(job_id).state is JobState.RUNNING
    for _ in range(2):
        now += TTL_SECONDS / 4
        clerk._turn()
    assert jobs.fetch(job_id).state is JobState.QUEUED
    worker.connection.close()
    other.connection.close()
