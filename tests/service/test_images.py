"""Pictures by id, from a folder and from a bucket."""

from __future__ import annotations

import pytest
from redis import Redis
from starlette.testclient import TestClient

from contract.settings import Settings
from service.app import create_app
from tests.service.painter import Painter, painted


@pytest.fixture(params=["settings", "s3_settings"])
def place(request: pytest.FixtureRequest) -> Settings:
    """Each place where pictures can be."""
    settings: Settings = request.getfixturevalue(request.param)
    return settings


def test_a_picture_is_given_as_it_was_stored(place: Settings, redis: Redis) -> None:
    painter = Painter(redis, place)
    with TestClient(create_app(place)) as client:
        job_id = client.post("/v1/jobs", json={"operation": "generate", "prompt": "a red apple", "seed": 7}).json()["id"]
        painter.succeed(painter.start())
        response = client.get(f"/v1/images/{job_id}-0")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert response.content == painted(7, 256)


def test_a_picture_that_is_not_there_is_not_found(place: Settings) -> None:
    with TestClient(create_app(place)) as client:
        response = client.get(f"/v1/images/{'0' * 32}-0")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "image_not_found")


def test_a_picture_may_be_kept_and_is_never_taken_for_a_page(client: TestClient, painter: Painter) -> None:
    job_id = client.post("/v1/jobs", json={"operation": "generate", "prompt": "a red apple"}).json()["id"]
    painter.succeed(painter.start())
    headers = client.get(f"/v1/images/{job_id}-0").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "immutable" in headers["cache-control"]


def test_a_picture_is_given_while_the_queue_is_away(settings: Settings, painter: Painter, closed_port: int) -> None:
    with TestClient(create_app(settings)) as client:
        job_id = client.post("/v1/jobs", json={"operation": "generate", "prompt": "a red apple"}).json()["id"]
        painter.succeed(painter.start())
    away = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{closed_port}", "api_keys": "off"})
    with TestClient(create_app(away)) as client:
        assert client.get(f"/v1/images/{job_id}-0").status_code == 200
