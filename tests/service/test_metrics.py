"""`/metrics`: this process, the queue, the workers; true numbers under few labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from starlette.testclient import TestClient

from contract.fleet import read_fleet
from contract.keys import KeyRing
from contract.metrics import StageCounters, WorkerCounters, post_counters
from contract.settings import Settings
from service import gate as gate_module
from service.app import create_app
from tests.service.painter import Painter

APPLE = {"operation": "generate", "prompt": "a red apple"}


Told = dict[tuple[str, frozenset[str]], float]


def of(name: str, *labels: str) -> tuple[str, frozenset[str]]:
    return name, frozenset(labels)


def read(client: TestClient, **headers: str) -> Told:
    """Every sample by its name and the values of its labels."""
    reply = client.get("/metrics", headers=headers)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(reply.text)
    return {of(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_the_queue_is_told_as_it_is(client: TestClient, painter: Painter) -> None:
    for _ in range(3):
        client.post("/v1/jobs", json=APPLE)
    painter.start()
    told = read(client)
    assert told[of("unclip_queue_depth", "interactive")] == 2
    assert told[of("unclip_queue_depth", "batch")] == 0
    assert told[of("unclip_queue_keys", "interactive")] == 1
    assert 0 <= told[of("unclip_queue_age_seconds", "interactive")] < 60
    assert told[of("unclip_queue_up")] == 1


def test_the_age_is_the_oldest_job_s(client: TestClient, redis: Redis) -> None:
    client.post("/v1/jobs", json=APPLE)
    later = datetime.now(UTC) + timedelta(minutes=5)
    assert read_fleet(redis, clock=lambda: later).lanes["interactive"].oldest_seconds == pytest.approx(300, abs=5)


def test_what_was_taken_and_what_was_refused(client: TestClient) -> None:
    client.post("/v1/jobs", json=APPLE)
    client.post("/v1/jobs", json={**APPLE, "n": 99})
    client.post("/v1/jobs", json={**APPLE, "size": "1x1"})
    client.get(f"/v1/jobs/{'0' * 32}")
    told = read(client)
    assert told[of("unclip_admitted_total", "generate", "interactive")] == 1
    assert told[of("unclip_refused_total", "invalid_value")] == 1
    assert told[of("unclip_refused_total", "unsupported_size")] == 1
    assert told[of("unclip_refused_total", "job_not_found")] == 1
    assert told[of("unclip_http_requests_total", "POST", "/v1/jobs", "202")] == 1
    assert told[of("unclip_http_requests_total", "GET", "/v1/jobs/{job_id}", "404")] == 1


def test_paths_that_nobody_serves_make_no_labels(client: TestClient) -> None:
    for path in ("/a", "/b/c", "/v1/d"):
        client.get(path)
    client.request("BREW", "/e")
    told = read(client)
    assert told[of("unclip_http_requests_total", "GET", "other", "404")] == 3
    assert told[of("unclip_http_requests_total", "OTHER", "other", "404")] == 1


def test_queue_and_store_are_timed(client: TestClient) -> None:
    client.post("/v1/jobs", json=APPLE)
    told = read(client)
    assert told[of("unclip_part_seconds_count", "queue", "ok")] >= 1
    assert told[of("unclip_part_seconds_count", "store", "ok")] >= 1


def test_every_worker_is_told(client: TestClient, redis: Redis) -> None:
    counters = WorkerCounters(
        at=datetime.now(UTC).timestamp(),
        stages={"decoder": StageCounters(calls=4, row_steps=10, seconds=2.0)},
        pictures=3,
        failed={"row_failed": 1},
        rows_in_flight=2,
    )
    post_counters(redis, "one", counters, 60)
    post_counters(redis, "two", counters, 60)
    told = read(client)
    for worker in ("one", "two"):
        assert told[of("unclip_stage_calls_total", worker, "decoder")] == 4
        assert told[of("unclip_stage_row_steps_total", worker, "decoder")] == 10
        assert told[of("unclip_stage_seconds_total", worker, "decoder")] == 2
        assert told[of("unclip_worker_pictures_total", worker)] == 3
        assert told[of("unclip_worker_jobs_failed_total", worker, "row_failed")] == 1
        assert told[of("unclip_worker_rows", worker)] == 2


def test_an_outage_of_the_queue_is_told_and_hides_nothing_else(settings: Settings, closed_port: int) -> None:
    away = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{closed_port}/0", "api_keys": "off"})
    with TestClient(create_app(away)) as client:
        client.get(f"/v1/jobs/{'0' * 32}")
        told = read(client)
    assert told[of("unclip_queue_up")] == 0
    assert told[of("unclip_refused_total", "queue_unavailable")] == 1
    assert told[of("unclip_part_seconds_count", "queue", "failed")] >= 1
    assert not any(name == "unclip_queue_depth" for name, _ in told)


def test_the_metrics_need_the_scope_admin(client: TestClient, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "OPEN_FOR_SECONDS", 0.0)
    keys = KeyRing(redis)
    user, operator = keys.create("user").token, keys.create("operator", ["admin"]).token
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {user}"}).status_code == 403
    assert read(client, Authorization=f"Bearer {operator}")[of("unclip_queue_up")] == 1


def test_no_metric_holds_a_prompt_or_an_id(client: TestClient) -> None:
    job_id = client.post("/v1/jobs", json={**APPLE, "prompt": "a private giraffe"}).json()["id"]
    text = client.get("/metrics").text
    assert "giraffe" not in text
    assert job_id not in text
