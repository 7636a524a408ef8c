"""What taking a job in costs: how often the queue and the store are asked, and what is not done for a job without room."""

from __future__ import annotations

import anyio
import pytest
from redis import Redis
from starlette.testclient import TestClient

from contract.errors import StoreDown
from contract.idempotency import Claims
from contract.queue import JobQueue
from contract.settings import Settings
from contract.store import ImageStore
from service.app import create_app
from service.images.service import ANSWERED_SECONDS, ImagesService
from service.offload import Offload

A_JOB = {"operation": "generate", "prompt": "a red apple"}


def test_a_submit_asks_the_queue_once(client: TestClient, redis: Redis) -> None:
    client.post("/v1/jobs", json=A_JOB)  # the pace of jobs is read now, and believed for a while
    redis.config_resetstat()
    assert client.post("/v1/jobs", json=A_JOB).status_code == 202
    asked = redis.info("commandstats")
    assert asked["cmdstat_evalsha"]["calls"] == 1
    assert asked.keys().isdisjoint({"cmdstat_multi", "cmdstat_hgetall", "cmdstat_xrevrange", "cmdstat_time"})


def test_what_is_refused_for_want_of_room_is_not_read_by_the_filter(
    settings: Settings, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Claims, "keep", lambda *_: None)  # its reply is lost
    full = settings.model_copy(update={"max_queue_depth": 1})
    with TestClient(create_app(full)) as client, TestClient(create_app(full)) as other:
        first = client.post("/v1/jobs", json=A_JOB, headers={"Idempotency-Key": "one"})
        # A queue that is full does not stand between a caller and the job that it has, in a process that never read its words.
        assert other.post("/v1/jobs", json=A_JOB, headers={"Idempotency-Key": "one"}).json()["id"] == first.json()["id"]
        monkeypatch.setattr(client.app.state.resources.admission.prompt_filter, "_check", None)
        refused = client.post("/v1/jobs", json=A_JOB | {"prompt": "a boat that nobody has seen"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert queue.depth() == 1


def test_an_answer_of_the_store_is_believed_for_a_moment_and_silence_never(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = [0.0], [0]
    images = ImagesService(ImageStore.open(settings), Offload(), lambda: now[0])

    def answer() -> None:
        asked[0] += 1
        if now[0] > ANSWERED_SECONDS:
            raise StoreDown

    async def ask(times: int) -> None:
        for _ in range(times):
            await images.be_there()

    monkeypatch.setattr(images.store, "ping", answer)
    anyio.run(ask, 3)
    assert asked == [1]
    now[0] = ANSWERED_SECONDS + 0.1
    for _ in range(2):
        with pytest.raises(StoreDown):
            anyio.run(ask, 1)
    assert asked == [3]
