"""Listing, deleting and outliving jobs, many in one request, and estimates of their ends."""

from __future__ import annotations

import json
import random

import pytest
from redis import Redis
from starlette.testclient import TestClient

from contract import ended
from contract.ended import Entry
from contract.estimates import Pace, pace_of, read_pace
from contract.queue import JobQueue
from contract.settings import Settings
from contract.spec import VarySpec
from contract.states import JobState
from contract.store import ImageStore, latent_id, new_upload_id
from contract.work import work_of
from service.app import create_app
from tests.service.painter import Painter
from tests.service.test_jobs import A_JOB, submit

JSONL = {"Content-Type": "application/jsonl"}


def test_a_list_has_the_newest_first_and_pages(client: TestClient) -> None:
    ids = [submit(client) for _ in range(5)][::-1]
    first = client.get("/v1/jobs", params={"limit": 2}).json()
    assert ([job["id"] for job in first["data"]], first["has_more"]) == (ids[:2], True)
    assert (first["first_id"], first["last_id"]) == (ids[0], ids[1])
    second = client.get("/v1/jobs", params={"limit": 3, "after": first["last_id"]}).json()
    assert ([job["id"] for job in second["data"]], second["has_more"]) == (ids[2:], False)


def test_a_list_is_filtered_by_state_and_operation(client: TestClient, painter: Painter) -> None:
    drawn, waiting = submit(client), submit(client)
    painter.succeed(painter.start(drawn))
    for query, expected in (
        ({"status": "succeeded"}, [drawn]),
        ({"status": "queued", "operation": "generate"}, [waiting]),
        ({"operation": "vary"}, []),
    ):
        assert [job["id"] for job in client.get("/v1/jobs", params=query).json()["data"]] == expected


def test_an_empty_list_is_one(client: TestClient) -> None:
    page = client.get("/v1/jobs").json()
    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize(("field", "value"), [("limit", "0"), ("limit", "101"), ("status", "lost"), ("after", "0" * 32)])
def test_a_query_out_of_range_is_refused_by_name(client: TestClient, field: str, value: str) -> None:
    response = client.get("/v1/jobs", params={field: value})
    assert (response.status_code, response.json()["error"]["param"]) == (400, field)


def test_a_deleted_job_is_gone_with_all_that_belongs_to_it(
    client: TestClient, painter: Painter, queue: JobQueue, settings: Settings
) -> None:
    store = ImageStore.open(settings)
    upload = new_upload_id()
    store.put(upload, b"the source")
    spec = queue.fetch(submit(client)).spec
    common = {name: getattr(spec, name) for name in ("model", "size", "seed", "steps", "guidance_scale", "upsample_steps")}
    job_id = queue.submit(VarySpec(**common, source={"kind": "image", "id": upload})).id
    painter.succeed(painter.start(job_id))
    store.put(latent_id(job_id, 0), b"a latent")

    response = client.delete(f"/v1/jobs/{job_id}")

    assert (response.status_code, response.json()) == (200, {"id": job_id, "object": "job.deleted", "deleted": True})
    assert client.get(f"/v1/images/{job_id}-0").status_code == 404
    kept = [str(path) for path in settings.data_dir.rglob("*") if path.is_file()]
    assert [path for path in kept if job_id in path or upload.removeprefix("up_") in path] == []
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404
    assert job_id not in [job["id"] for job in client.get("/v1/jobs").json()["data"]]


def test_a_waiting_job_is_canceled_and_deleted(client: TestClient, queue: JobQueue) -> None:
    job_id = submit(client)
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
    assert (queue.depth(), client.delete(f"/v1/jobs/{job_id}").status_code) == (0, 404)


def test_a_running_job_cannot_be_deleted(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    painter.start()
    response = client.delete(f"/v1/jobs/{job_id}")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "job_not_ended")


@pytest.mark.parametrize(
    ("verb", "path"), [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")]
)
def test_after_its_retention_a_job_is_gone_and_not_unknown(client: TestClient, redis: Redis, verb: str, path: str) -> None:
    job_id = submit(client)
    redis.delete(f"rq:job:{job_id}")
    response = client.request(verb, f"/v1/jobs/{job_id}{path}")
    assert (response.status_code, response.json()["error"]["code"]) == (410, "job_expired")


def test_the_index_forgets_jobs_of_long_ago(client: TestClient, redis: Redis) -> None:
    redis.zadd("unclip:jobs:local", {"0" * 32: 1.0})
    assert client.get(f"/v1/jobs/{'0' * 32}").status_code == 410
    submit(client)
    assert client.get(f"/v1/jobs/{'0' * 32}").status_code == 404


def bulk(client: TestClient, *lines: object, **headers: str) -> dict[str, object]:
    body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    response = client.post("/v1/jobs/bulk", content=body, headers=JSONL | headers)
    assert response.status_code == 202, response.text
    return dict(response.json())


def test_each_line_is_a_job_of_the_batch_lane(client: TestClient, queue: JobQueue) -> None:
    reply = bulk(client, A_JOB, "", A_JOB | {"prompt": "a cat"})
    assert (reply["accepted"], reply["refused"]) == (2, 0)
    jobs = [queue.fetch(line["id"]) for line in reply["data"]]
    assert [(job.spec.lane, job.spec.prompt) for job in jobs] == [("batch", "a red apple"), ("batch", "a cat")]
    assert [line["line"] for line in reply["data"]] == [1, 3]


def test_a_line_is_refused_by_itself(client: TestClient, queue: JobQueue) -> None:
    reply = bulk(client, A_JOB, "{", A_JOB | {"n": 11}, A_JOB | {"hue": 1}, A_JOB | {"prompt": ""})
    told = [(line["status"], line["error"] and line["error"]["code"]) for line in reply["data"]]
    codes = ["invalid_json", "invalid_value", "unknown_parameter", "prompt_empty"]
    assert told == [(202, None), *((400, code) for code in codes)]
    assert queue.depth("batch") == 1


def test_a_repeated_file_goes_on_where_the_queue_was_full(settings: Settings, queue: JobQueue, redis: Redis) -> None:
    with TestClient(create_app(settings.model_copy(update={"max_batch_depth": 2}))) as client:
        first = bulk(client, *[A_JOB] * 4, **{"Idempotency-Key": "file-1"})
    assert [line["status"] for line in first["data"]] == [202, 202, 429, 429]
    with TestClient(create_app(settings)) as client:
        again, replay = (bulk(client, *[A_JOB] * 4, **{"Idempotency-Key": "file-1"}) for _ in range(2))
    assert [line["id"] for line in again["data"]][:2] == [line["id"] for line in first["data"]][:2]
    assert (queue.depth("batch"), again) == (4, replay)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [("application/json", "{}", 415), ("application/jsonl", " \n", 400), ("application/jsonl", "{}\n" * 1001, 400)],
)
def test_a_file_that_is_none_is_refused(client: TestClient, content_type: str, body: str, status: int) -> None:
    assert client.post("/v1/jobs/bulk", content=body, headers={"Content-Type": content_type}).status_code == status


def test_a_waiting_job_tells_when_it_will_have_ended(client: TestClient, redis: Redis, settings: Settings) -> None:
    assert client.get(f"/v1/jobs/{submit(client)}").json()["estimate"] is None
    for number in range(4):
        for state in ("running", "succeeded"):
            redis.xadd(ended.ENDED, {"job": f"{number:032x}", "state": state, "queue": "interactive:local"})
    with TestClient(create_app(settings)) as other:
        estimate = other.get(f"/v1/jobs/{submit(other)}").json()["estimate"]
    assert (estimate["basis"], estimate["low"] <= estimate["seconds"] <= estimate["high"]) == (4, True)


def test_a_larger_job_is_estimated_larger(client: TestClient, redis: Redis, queue: JobQueue) -> None:
    """Pictures that ran for a second each: ten of them, at many steps, are another matter than one."""
    small = queue.fetch(submit(client, steps=12))
    now, work = redis.time()[0] * 1000, work_of(small.spec)
    for number in range(6):
        about, begun = {"job": f"{number:032x}", "queue": "interactive:local"}, now - 60_000 + 1000 * number
        redis.xadd(ended.ENDED, about | {"state": "running"}, id=f"{begun}-1")
        redis.xadd(ended.ENDED, about | {"state": "succeeded", "work": str(work)}, id=f"{begun + 1000}-0")
    pace, at = read_pace(redis), now / 1000
    of_small, of_large = (pace.estimate(queue.fetch(job), at) for job in (small.id, submit(client, steps=48, n=10)))
    assert of_small.seconds == pytest.approx(1 + 1, abs=0.1)  # one end, then its own run
    assert of_large.seconds == pytest.approx(2 + work_of(queue.list()[0].spec) / work, abs=0.2)
    assert of_large.seconds > 20


def test_jobs_of_many_sizes_end_within_the_bounds_and_nearer_than_by_their_number() -> None:
    """Simulated on one worker: each job runs as long as its size says, give or take a fifth; the next one is asked for."""
    chance = random.Random(7)
    within, off, blind = 0, 0.0, 0.0
    for _ in range(200):
        at, told = 0.0, []
        for number in range(60):
            size = chance.choice([1, 2, 4, 10])
            seconds = size * chance.uniform(0.8, 1.2)
            told += [(at, number, JobState.RUNNING, 0.0), (at + seconds, number, JobState.SUCCEEDED, float(size))]
            at += seconds
        past = [Entry(f"{int(at * 1000)}-{i}", f"{n:032x}", state, "", work) for i, (at, n, state, work) in enumerate(told)]
        pace, size = pace_of(past), chance.choice([1, 2, 4, 10])
        run = size * chance.uniform(0.8, 1.2)
        expected, deviation = pace.run(size)
        within += abs(run - expected) <= 1.28 * deviation
        off, blind = off + abs(run - expected), blind + abs(run - Pace(pace.durations, pace.gaps).run(size)[0])
    assert within / 200 >= 0.7
    assert off < blind / 3


def entries(runs: list[tuple[float, float]]) -> list[Entry]:
    """Beginnings and ends of jobs, given as (begun at, seconds)."""
    told = [(begun, number, JobState.RUNNING) for number, (begun, _) in enumerate(runs)]
    told += [(begun + seconds, number, JobState.SUCCEEDED) for number, (begun, seconds) in enumerate(runs)]
    return [Entry(f"{int(at * 1000)}-{i}", f"{number:032x}", state, "") for i, (at, number, state) in enumerate(sorted(told))]


@pytest.mark.parametrize("position", [1, 5, 20])
@pytest.mark.parametrize("workers", [1, 3])
def test_four_of_five_jobs_end_within_the_bounds(queue: JobQueue, client: TestClient, position: int, workers: int) -> None:
    """Simulated: jobs of random length on so many workers, never idle; the next `position` ends against what was told."""
    chance, job = random.Random(7), queue.fetch(submit(client))
    within = 0
    for _ in range(200):
        free, runs = [0.0] * workers, []
        for _ in range(60 + position + workers):
            begun = min(free)
            seconds = chance.uniform(1, 5)
            free[free.index(begun)] = begun + seconds
            runs.append((begun, seconds))
        now = sorted(begun + seconds for begun, seconds in runs)[59]
        past = [run for run in runs if sum(run) <= now]
        waiting = sorted(run for run in runs if run[0] > now)
        asked = waiting[min(position, len(waiting)) - 1]
        estimate = pace_of(entries(past)).estimate(job.model_copy(update={"queue_position": position}), now)
        within += estimate.low <= sum(asked) - now <= estimate.high
    assert within / 200 >= 0.7


def test_a_pause_without_work_is_not_the_pace_of_the_queue() -> None:
    pace = pace_of(entries([(0, 2), (100, 2), (200, 2), (300, 2)]))
    assert list(pace.gaps) == [2, 2, 2]


def test_a_running_job_is_estimated_by_its_own_progress(queue: JobQueue, client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    painter.tell_progress(painter.start(), stage="decoder", step=5, steps=20, fraction=0.25)
    job = queue.fetch(job_id)
    assert Pace([8.0, 10.0, 12.0], [10.0, 10.0]).estimate(job, job.started_at.timestamp() + 3).seconds == 9.0
