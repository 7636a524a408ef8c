"""Following a job: long polls with ETags, and its life as server-sent events."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from rq.job import Job
from starlette.testclient import TestClient

from contract.previews import post_preview
from contract.queue import JobQueue
from contract.record import JobRecord
from contract.settings import Settings
from contract.states import JobState
from contract.watch import JobWatch
from service.jobs import watcher as watching
from service.jobs.events import Telling, event_id, fraction_of, stream
from service.jobs.watcher import Watcher
from service.offload import Offload
from tests.service.painter import Painter
from tests.service.test_jobs import submit

Told = list[tuple[int | None, str, dict[str, Any]]]


@contextmanager
def meanwhile(act: Callable[[], object], after_seconds: float = 0.2) -> Iterator[None]:
    """Do something on another thread while the block waits."""
    timer = threading.Timer(after_seconds, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def events_of(client: TestClient, job_id: str, last: int | None = None, **query: Any) -> Told:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    response = client.get(f"/v1/jobs/{job_id}/events", params=query, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return parsed(response.text)


def parsed(text: str) -> Told:
    found: Told = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((int(fields["id"]) if "id" in fields else None, fields["event"], json.loads(fields["data"])))
    return found


def progress(painter: Painter, job: Job, fraction: float) -> None:
    painter.tell_progress(job, stage="decoder", step=int(20 * fraction), steps=20, fraction=fraction)


def test_an_unchanged_job_is_not_sent_again(client: TestClient, painter: Painter) -> None:
    path = f"/v1/jobs/{submit(client)}"
    tag = client.get(path).headers["etag"]
    again = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    painter.start()
    changed = client.get(path, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["status"]) == (200, "running")


def test_a_wait_ends_with_the_job(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    with meanwhile(lambda: painter.succeed(painter.start())):
        assert client.get(f"/v1/jobs/{job_id}", params={"wait": 10}).json()["status"] == "succeeded"


def test_a_wait_ends_with_its_time_and_tells_how_far_the_job_is_then(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    job = painter.start()
    began = time.monotonic()
    with meanwhile(lambda: progress(painter, job, 0.5)):
        told = client.get(f"/v1/jobs/{job_id}", params={"wait": 0.4}).json()
    assert (told["status"], told["progress"]["fraction"]) == ("running", 0.5)
    assert 0.4 <= time.monotonic() - began < 1.5


def test_a_wait_with_an_etag_ends_with_the_first_change(client: TestClient, painter: Painter) -> None:
    path = f"/v1/jobs/{submit(client)}"
    tag = client.get(path).headers["etag"]
    with meanwhile(painter.start):
        changed = client.get(path, params={"wait": 10}, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["status"]) == (200, "running")


@pytest.mark.parametrize("wait", ["61", "-1", "nan", "soon"])
def test_a_wait_out_of_range_is_refused_by_name(client: TestClient, wait: str) -> None:
    response = client.get(f"/v1/jobs/{submit(client)}", params={"wait": wait})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "wait")


def test_the_events_tell_the_whole_life(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)

    def live() -> None:
        job = painter.start()
        for fraction in (0.25, 0.5):
            time.sleep(0.15)
            progress(painter, job, fraction)
        time.sleep(0.15)
        painter.succeed(job)

    with meanwhile(live):
        told = events_of(client, job_id)
    assert [name for _, name, _ in told] == ["job.queued", "job.started", "job.progress", "job.progress", "job.succeeded"]
    ids = [number for number, _, _ in told]
    assert ids == sorted(set(ids))
    assert told[-1][2]["job"] == client.get(f"/v1/jobs/{job_id}").json()


def test_who_comes_back_is_told_what_it_missed_and_no_more(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    job = painter.start()
    progress(painter, job, 0.5)
    with meanwhile(lambda: painter.succeed(job)):
        first = events_of(client, job_id)
    assert [name for _, name, _ in first] == ["job.started", "job.succeeded"]
    assert [name for _, name, _ in events_of(client, job_id, last=first[0][0])] == ["job.succeeded"]
    end = client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": str(first[-1][0])})
    assert (end.status_code, end.content) == (204, b"")


@pytest.mark.parametrize("last", ["", "no number", "99999999999999999999", "-5"])
def test_an_id_that_is_none_of_ours_begins_anew(client: TestClient, painter: Painter, last: str) -> None:
    job_id = submit(client)
    painter.succeed(painter.start())
    text = client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last}).text
    assert [name for _, name, _ in parsed(text)] == ["job.succeeded"]


def test_progress_never_goes_back_when_a_job_is_begun_again(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    job_id = submit(client)
    job = painter.start()
    progress(painter, job, 0.8)
    before = event_id(queue.fetch(job_id))
    with painter.redis.pipeline() as pipe:
        job.retry(painter.queue, pipe)
        pipe.execute()
    job = painter.start(job_id)
    progress(painter, job, 0.1)
    again = event_id(queue.fetch(job_id), after=before)
    assert again > before
    assert fraction_of(again) == pytest.approx(0.8, abs=1e-3)
    with meanwhile(lambda: painter.succeed(job)):
        told = events_of(client, job_id, last=before)
    assert [(name, round(data["job"]["progress"]["fraction"], 2)) for _, name, data in told] == [
        ("job.started", 0.8),
        ("job.succeeded", 1.0),
    ]


def test_previews_come_to_those_who_ask(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    job = painter.start()
    post_preview(painter.redis, job_id, b"a picture", "decoder", picture=1)

    def end() -> None:
        post_preview(painter.redis, job_id, b"a better picture", "decoder", picture=1)
        time.sleep(0.2)
        painter.succeed(job)

    with meanwhile(end):
        told = events_of(client, job_id, previews=True)
    shown = [(data["index"], data["b64_json"], data["picture"]) for _, name, data in told if name == "job.preview"]
    assert shown == [(1, "YSBwaWN0dXJl", 1), (2, "YSBiZXR0ZXIgcGljdHVyZQ==", 1)]
    assert "job.preview" not in [name for _, name, _ in events_of(client, job_id)]


def test_a_job_that_goes_away_ends_the_stream_with_an_error(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    job = painter.start()
    with meanwhile(lambda: painter.redis.delete(job.key)):
        told = events_of(client, job_id)
    assert (told[-1][1], told[-1][2]["error"]["code"]) == ("error", "job_not_found")


def test_a_silent_stream_says_that_it_is_there(settings: Settings, redis: Redis, queue: JobQueue, client: TestClient) -> None:
    job_id = submit(client)

    async def seen(job: JobRecord) -> dict[str, Any]:
        return {"id": job.id}

    async def listen() -> list[str]:
        watcher = Watcher(queue, JobWatch(redis), Offload())
        async with watcher.follow(queue.fetch(job_id)) as follower:
            events = stream(follower, Telling(seen, keep_alive_seconds=0.1), last=0)
            return [await anext(events) for _ in range(4)]

    retry, queued, *silence = asyncio.run(listen())
    assert (retry, "job.queued" in queued) == ("retry: 1000\n\n", True)
    assert silence == [": still there\n\n", ": still there\n\n"]


def test_many_followers_of_many_jobs_cost_one_look_at_a_time(redis: Redis, queue: JobQueue, client: TestClient) -> None:
    job_ids = [submit(client) for _ in range(5)]
    looks: list[int] = []

    class Counting(JobWatch):
        def marks(self, ids: Any) -> Any:
            looks.append(len(ids))
            return super().marks(ids)

    async def follow(watcher: Watcher, job_id: str) -> None:
        async with watcher.follow(queue.fetch(job_id)) as follower:
            await follower.change(0.5)

    async def follow_all() -> None:
        watcher = Watcher(queue, Counting(redis), Offload())
        await asyncio.gather(*(follow(watcher, job_id) for job_id in job_ids * 20))

    asyncio.run(follow_all())
    assert max(looks) == 5
    assert len(looks) <= 12


@pytest.mark.parametrize("is_keen", [True, False])
def test_who_waits_for_the_end_alone_costs_no_look_at_every_step(
    is_keen: bool, redis: Redis, queue: JobQueue, client: TestClient, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "BELLS", 1000)  # no look to be sure: the end itself must wake who waits for it
    job_id = submit(client)
    job = painter.start()
    looks: list[int] = []

    class Counting(JobWatch):
        def marks(self, ids: Any) -> Any:
            looks.append(len(ids))
            return super().marks(ids)

    async def wait() -> JobState:
        async with Watcher(queue, Counting(redis), Offload()).follow(queue.fetch(job_id), is_keen=is_keen) as follower:
            for number in range(8):
                await asyncio.sleep(0.1)
                progress(painter, job, number / 10)
            painter.succeed(job)
            while not follower.record.state.is_terminal:
                assert await follower.change(10)
            return follower.record.state

    assert asyncio.run(wait()) is JobState.SUCCEEDED
    assert (len(looks) > 3) == is_keen


def test_an_end_without_a_word_is_found_all_the_same(redis: Redis, queue: JobQueue, client: TestClient) -> None:
    job_id = submit(client)

    async def wait() -> bool:
        async with Watcher(queue, JobWatch(redis), Offload()).follow(queue.fetch(job_id), is_keen=False) as follower:
            await follower.change(0.3)
            redis.hset(Job.key_for(job_id), "status", "stopped")
            while not follower.record.state.is_terminal:
                if not await follower.change(5):
                    return False
            return True

    assert asyncio.run(wait())


def test_a_follower_outlasts_a_short_outage_and_no_long_one(queue: JobQueue, redis: Redis, client: TestClient) -> None:
    job = queue.fetch(submit(client))
    now = [100.0]

    class Away(JobWatch):
        def marks(self, ids: Any) -> Any:
            raise ConnectionError

    async def follow() -> list[str]:
        watcher = Watcher(queue, Away(redis), Offload(), clock=lambda: now[0])
        said = []
        async with watcher.follow(job) as follower:
            for seconds in (9.0, 2.0):
                now[0] += seconds
                await follower.change(0.1)
                try:
                    said.append(follower.record.state.value)
                except Exception as error:
                    said.append(type(error).__name__)
        return said

    assert asyncio.run(follow()) == ["queued", "QueueDown"]
