"""Jobs of several API keys: apart from each other, listed, deleted, limited, and placed in line."""

from __future__ import annotations

import threading

import pytest
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.ended import ENDED, read_entries
from contract.errors import JobNotEnded, JobNotFound, KeyQueueFull, QueueFull
from contract.lanes import lane_and_key, queue_name
from contract.queue import JobQueue, index_key
from contract.states import JobState
from tests.contract.conftest import make_spec

ANN, BOB = make_spec(key="ann"), make_spec(key="bob")


def ids(records) -> list[str]:
    return [record.id for record in records]


@pytest.mark.parametrize("read", [JobQueue.fetch, JobQueue.cancel, JobQueue.delete])
def test_another_keys_job_is_not_found(jobs, read):
    job_id = jobs.submit(ANN).id
    with pytest.raises(JobNotFound) as theirs:
        read(jobs, job_id, "bob")
    with pytest.raises(JobNotFound) as nobodys:
        read(jobs, "0" * 32, "bob")
    assert str(theirs.value).replace(job_id, "") == str(nobodys.value).replace("0" * 32, "")
    assert jobs.fetch(job_id, "ann").state is JobState.QUEUED


def test_no_key_reads_any_job(jobs):
    record = jobs.submit(ANN)
    assert jobs.fetch(record.id) == record == jobs.fetch(record.id, "ann")


def test_each_lane_and_key_has_a_queue_that_rq_knows(jobs, redis):
    for spec in (ANN, BOB, make_spec(key="bob", lane="batch"), make_spec()):
        jobs.submit(spec)
    names = {queue.name for queue in Queue.all(connection=redis, serializer=JSONSerializer)}
    assert names == {"interactive:ann", "interactive:bob", "batch:bob", "interactive:local"}


def test_our_submit_leaves_the_records_that_rqs_own_leaves(jobs, redis):
    ours = jobs.submit(make_spec()).id
    mine = redis.hgetall(f"rq:job:{ours}")
    queue = Queue(queue_name(), connection=redis, serializer=JSONSerializer)
    theirs = queue.enqueue_job(jobs._new_job(queue, make_spec(), "f" * 32))
    assert mine.keys() == redis.hgetall(theirs.key).keys()
    varying = {b"created_at", b"enqueued_at"}
    assert {k: v for k, v in mine.items() if k not in varying} == {
        k: v for k, v in redis.hgetall(theirs.key).items() if k not in varying
    }
    assert queue.job_ids == [ours, theirs.id]
    assert redis.ttl(f"rq:job:{ours}") == redis.ttl(theirs.key)


def test_a_list_has_ones_own_jobs_the_newest_first(jobs):
    mine = [jobs.submit(ANN).id for _ in range(3)]
    jobs.submit(BOB)
    assert ids(jobs.list("ann")) == mine[::-1]


def test_a_list_is_read_page_by_page(jobs):
    mine = [jobs.submit(ANN).id for _ in range(5)]
    first = jobs.list("ann", limit=2)
    second = jobs.list("ann", limit=2, after=first[-1].id)
    assert ids([*first, *second, *jobs.list("ann", limit=2, after=second[-1].id)]) == mine[::-1]


def test_a_list_is_filtered_by_state_across_chunks(jobs, end, monkeypatch):
    monkeypatch.setattr("contract.queue.LIST_CHUNK", 2)
    mine = [jobs.submit(ANN).id for _ in range(5)]
    end(mine[0])
    end(mine[4])
    assert ids(jobs.list("ann", JobState.SUCCEEDED)) == [mine[4], mine[0]]


def test_a_listed_job_equals_the_fetched_one(jobs, end):
    first, second = jobs.submit(ANN), jobs.submit(ANN)
    end(first.id)
    assert jobs.list("ann") == (jobs.fetch(second.id), jobs.fetch(first.id))


def test_a_list_leaves_out_what_has_expired(jobs, redis):
    gone, there = jobs.submit(ANN).id, jobs.submit(ANN).id
    redis.delete(f"rq:job:{gone}")
    assert ids(jobs.list("ann")) == [there]


def test_a_list_cannot_begin_at_another_keys_job(jobs):
    with pytest.raises(JobNotFound):
        jobs.list("ann", after=jobs.submit(BOB).id)


def test_an_ended_job_is_deleted_without_a_trace(jobs, end, redis):
    before = {ENDED.encode(), b"unclip:bell", b"rq:queues"}
    job_id = jobs.submit(ANN).id
    redis.lpop("unclip:bell")
    end(job_id)
    assert jobs.delete(job_id, "ann").state is JobState.SUCCEEDED
    assert set(redis.keys()) <= before
    with pytest.raises(JobNotFound):
        jobs.fetch(job_id)


def test_a_waiting_job_is_not_deleted(jobs):
    job_id = jobs.submit(ANN).id
    with pytest.raises(JobNotEnded, match="queued"):
        jobs.delete(job_id)
    assert jobs.fetch(job_id).queue_position == 1


def test_a_canceled_job_can_be_deleted(jobs):
    job_id = jobs.submit(ANN).id
    jobs.cancel(job_id)
    jobs.delete(job_id)
    assert jobs.list("ann") == ()


def test_a_cancel_is_told_in_the_stream_of_ends_once(jobs, redis):
    job_id = jobs.submit(ANN).id
    jobs.cancel(job_id)
    jobs.cancel(job_id)
    [entry] = read_entries(redis.xrange(ENDED))
    assert (entry.job_id, entry.state, entry.queue) == (job_id, JobState.CANCELED, "interactive:ann")


def test_entries_of_another_shape_are_left_out():
    assert read_entries([(b"1-0", {b"job": b"x"}), (b"2-0", {b"job": b"x", b"state": b"exploded"})]) == []


def test_one_key_cannot_fill_the_queue(redis, settings):
    jobs = JobQueue(redis, settings.model_copy(update={"max_queue_depth_per_key": 2}))
    for _ in range(2):
        jobs.submit(ANN)
    with pytest.raises(KeyQueueFull, match="its limit is 2"):
        jobs.submit(ANN)
    assert jobs.submit(BOB).state is JobState.QUEUED


def test_without_keys_only_the_whole_is_limited(redis, settings):
    jobs = JobQueue(redis, settings.model_copy(update={"max_queue_depth_per_key": 1, "max_queue_depth": 3}))
    for _ in range(3):
        jobs.submit(make_spec())
    with pytest.raises(QueueFull, match="limit is 3"):
        jobs.submit(make_spec())


def test_the_lanes_fill_apart(redis, settings):
    jobs = JobQueue(redis, settings.model_copy(update={"max_queue_depth": 1, "max_batch_depth": 1}))
    jobs.submit(make_spec(lane="batch"))
    jobs.submit(make_spec())
    for lane in ("batch", "interactive"):
        with pytest.raises(QueueFull):
            jobs.submit(make_spec(lane=lane, key="ann"))


def test_of_many_submits_at_once_no_more_than_the_limit_are_taken(valkey, settings):
    limited = settings.model_copy(update={"max_queue_depth": 5})
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def submit_some() -> None:
        client = valkey.client()
        jobs = JobQueue(client, limited)
        start.wait()
        for _ in range(4):
            try:
                outcomes.append(jobs.submit(make_spec()).id)
            except QueueFull:
                outcomes.append("")
        client.close()

    threads = [threading.Thread(target=submit_some) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(1 for job_id in outcomes if job_id) == 5


def test_a_refusal_says_when_there_will_be_room(redis, settings):
    jobs = JobQueue(redis, settings.model_copy(update={"max_queue_depth": 1}))
    now = redis.time()[0]
    for second in range(20, 0, -1):  # a job every second
        fields = {"job": "x", "state": "succeeded", "queue": "interactive:ann"}
        redis.xadd(ENDED, fields, id=f"{(now - 2 * second) * 1000}-0")
    jobs.submit(ANN)
    with pytest.raises(QueueFull) as caught:
        jobs.submit(ANN)
    assert caught.value.retry_after_seconds == pytest.approx(2, abs=1)


def test_a_rate_of_one_lane_does_not_count_for_the_other(jobs, redis):
    redis.xadd(ENDED, {"job": "x", "state": "succeeded", "queue": "batch:ann"})
    assert jobs.jobs_per_second("interactive:") is None
    assert jobs.jobs_per_second("batch:") is not None


def test_a_place_in_line_counts_the_turns_of_other_keys(jobs):
    for _ in range(10):
        jobs.submit(ANN)
    # Ann's ten are not all before Bob's first: the queues take turns.
    assert [jobs.submit(BOB).queue_position for _ in range(3)] == [1, 3, 5]


def test_a_batch_job_waits_behind_what_is_interactive(jobs):
    jobs.submit(ANN)
    jobs.submit(BOB)
    assert jobs.submit(make_spec(lane="batch")).queue_position == 3


@pytest.mark.parametrize("name", ["interactive", "interactive:", "other:ann", "", "default"])
def test_another_programs_queue_is_none_of_ours(name):
    assert lane_and_key(name) is None


def test_an_index_is_per_key(jobs, redis):
    job_id = jobs.submit(ANN).id
    assert redis.zrange(index_key("ann"), 0, -1) == [job_id.encode()]
