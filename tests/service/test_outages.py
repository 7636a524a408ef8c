"""Queue or store away: a typed 503 within two seconds, an honest /readyz, nothing queued, and recovery without a restart."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from httpx2 import Response
from pydantic import SecretStr
from starlette.testclient import TestClient

from contract.queue import JobQueue
from contract.settings import Settings
from service.app import create_app
from tests.conftest import Valkey, free_port, start_valkey, stop

A_JOB = {"operation": "generate", "prompt": "a red apple"}
# Two seconds are promised, and a silent store takes 1.5 of them here. What is above is for a busy machine, and still
# less than a single repeat would take, 2.8.
BOUND_SECONDS = 2.7
TICK_SECONDS = 0.02

NEED_THE_QUEUE = [
    ("POST", "/v1/jobs", A_JOB),
    ("POST", "/v1/images/generations", {"prompt": "a red apple"}),
    ("GET", f"/v1/jobs/{'0' * 32}", None),
    ("POST", f"/v1/jobs/{'0' * 32}/cancel", None),
    ("GET", "/readyz", None),
]
NEED_THE_STORE = [
    ("POST", "/v1/jobs", A_JOB),
    ("POST", "/v1/images/generations", {"prompt": "a red apple"}),
    ("GET", f"/v1/images/{'0' * 32}-0", None),
    ("GET", "/readyz", None),
]


def each_away(calls: Sequence[tuple[str, str, object]], silent: Sequence[int]) -> list[tuple[str, str, object, str]]:
    """Each call with its part refusing connections, and those at `silent` also with it taking them without a word."""
    refusing = [(*call, "closed_port") for call in calls]
    return refusing + [(*calls[index], "silent_port") for index in silent]


def without_queue(settings: Settings, port: int) -> Settings:
    return settings.model_copy(update={"redis_url": f"redis://:secret-word@127.0.0.1:{port}/0"})


def without_store(settings: Settings, port: int) -> Settings:
    return settings.model_copy(
        update={
            "storage_url": "s3://pictures/a",
            "storage_endpoint_url": f"http://127.0.0.1:{port}",
            "storage_access_key_id": "key",
            "storage_secret_access_key": SecretStr("secret-word"),
        }
    )


def assert_outage(response: Response, code: str) -> None:
    assert (response.status_code, response.json()["error"]["code"]) == (503, code)
    assert int(response.headers["retry-after"]) > 0
    assert not any(inside in response.text for inside in ("Traceback", "secret-word", "127.0.0.1"))


class Ticks:
    """A clock that goes as slowly as this process: on a busy machine it counts the seconds that an idle one would have taken.

    A thread that does nothing but sleep and wake is kept waiting like all others; an event loop that stands still does not
    stop it.
    """

    def __init__(self) -> None:
        self._count = 0
        self._stopping = threading.Event()

    @property
    def seconds(self) -> float:
        return self._count * TICK_SECONDS

    @contextmanager
    def going(self) -> Iterator[None]:
        thread = threading.Thread(target=self._go)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def _go(self) -> None:
        while not self._stopping.is_set():
            time.sleep(TICK_SECONDS)
            self._count += 1


def timed(client: TestClient, method: str, path: str, body: object) -> tuple[Response, float]:
    ticks = Ticks()
    with ticks.going():
        response = client.request(method, path, json=body)
    return response, ticks.seconds


@pytest.mark.parametrize(("method", "path", "body", "port"), each_away(NEED_THE_QUEUE, silent=(0, 2)))
def test_a_queue_that_is_away_is_a_503_in_time(
    request: pytest.FixtureRequest, settings: Settings, port: str, method: str, path: str, body: object
) -> None:
    with TestClient(create_app(without_queue(settings, request.getfixturevalue(port)))) as client:
        response, seconds = timed(client, method, path, body)
    assert_outage(response, "queue_unavailable")
    assert seconds < BOUND_SECONDS


@pytest.mark.parametrize(("method", "path", "body", "port"), each_away(NEED_THE_STORE, silent=(1, 2)))
def test_a_store_that_is_away_is_a_503_in_time(
    request: pytest.FixtureRequest, settings: Settings, queue: JobQueue, port: str, method: str, path: str, body: object
) -> None:
    with TestClient(create_app(without_store(settings, request.getfixturevalue(port)))) as client:
        response, seconds = timed(client, method, path, body)
    assert_outage(response, "store_unavailable")
    assert seconds < BOUND_SECONDS
    assert queue.depth() == 0


def test_a_folder_that_is_gone_is_a_store_that_is_away(settings: Settings, client: TestClient, queue: JobQueue) -> None:
    shutil.rmtree(settings.data_dir)
    assert_outage(client.post("/v1/jobs", json=A_JOB), "store_unavailable")
    assert queue.depth() == 0


def test_a_live_process_is_green_with_everything_away(settings: Settings, silent_port: int) -> None:
    with TestClient(create_app(without_store(without_queue(settings, silent_port), silent_port))) as client:
        response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readyz_is_green_when_all_parts_answer(client: TestClient) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "checks": {"queue": "ok", "store": "ok"}})


def test_readyz_names_each_part_that_is_away(settings: Settings, silent_port: int) -> None:
    with TestClient(create_app(without_store(without_queue(settings, silent_port), silent_port))) as client:
        response, seconds = timed(client, "GET", "/readyz", None)
    assert response.json()["checks"] == {"queue": "queue_unavailable", "store": "store_unavailable"}
    assert seconds < BOUND_SECONDS


def test_the_loop_serves_others_while_the_queue_hangs(settings: Settings, silent_port: int) -> None:
    with TestClient(create_app(without_queue(settings, silent_port))) as client, ThreadPoolExecutor(8) as pool:
        hanging = [pool.submit(client.get, f"/v1/jobs/{'0' * 32}") for _ in range(8)]
        time.sleep(0.1)
        assert client.get("/healthz").status_code == 200
        assert not any(call.done() for call in hanging)


def test_the_api_starts_without_a_queue_and_finds_it_later(settings: Settings, tmp_path: Path) -> None:
    late = Valkey(free_port(), "secret-word")
    with TestClient(create_app(settings.model_copy(update={"redis_url": late.url}))) as client:
        assert client.get("/readyz").status_code == 503
        process = start_valkey(late, tmp_path)
        try:
            assert client.get("/readyz").status_code == 200
            assert client.post("/v1/jobs", json=A_JOB).status_code == 202
        finally:
            stop(process)


def test_the_api_outlives_a_restart_of_the_queue(settings: Settings, tmp_path: Path) -> None:
    server = Valkey(free_port(), "secret-word")
    process = start_valkey(server, tmp_path)
    try:
        with TestClient(create_app(settings.model_copy(update={"redis_url": server.url}))) as client:
            assert client.get("/readyz").status_code == 200
            stop(process)
            assert_outage(client.post("/v1/jobs", json=A_JOB), "queue_unavailable")
            process = start_valkey(server, tmp_path)
            assert client.post("/v1/jobs", json=A_JOB).status_code == 202
    finally:
        stop(process)


def test_the_api_outlives_an_absence_of_the_folder(settings: Settings, client: TestClient) -> None:
    shutil.rmtree(settings.data_dir)
    assert client.get("/readyz").status_code == 503
    settings.data_dir.mkdir()
    assert client.post("/v1/jobs", json=A_JOB).status_code == 202


def test_a_wrong_password_of_the_queue_is_an_outage(settings: Settings, valkey: Valkey) -> None:
    with TestClient(create_app(without_queue(settings, valkey.port))) as client:
        assert_outage(client.post("/v1/jobs", json=A_JOB), "queue_unavailable")
