"""The endpoint that waits: OpenAI's shape around the same job."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from httpx2 import Response
from rq.job import Job
from starlette.testclient import TestClient

from contract.queue import JobQueue
from contract.settings import Settings
from service.app import create_app
from tests.conftest import Valkey, free_port, start_valkey, stop
from tests.service.painter import Painter, painted

PATH = "/v1/images/generations"


def generate(client: TestClient, **fields: object) -> Response:
    return client.post(PATH, json={"prompt": "a red apple", "seed": 7, "size": "256x256"} | fields)


def started(painter: Painter) -> Job:
    """The job that comes in next, claimed."""
    deadline = time.monotonic() + 5
    while not painter.queue.count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return painter.start()


def test_it_waits_and_gives_urls(client: TestClient, painter: Painter) -> None:
    with painter.at_work():
        body = generate(client, n=2).json()
    assert [image["url"] for image in body["data"]] == [
        f"http://testserver/v1/images/{body['job_id']}-{index}" for index in (0, 1)
    ]
    assert [image["seed"] for image in body["data"]] == [7, 8]


@pytest.mark.parametrize(("model", "asked", "given"), [("gpt-image-1", None, "b64_json"), ("gpt-image-1", "url", "url")])
def test_gpt_image_1_gives_files_unless_asked_for_urls(
    client: TestClient, painter: Painter, model: str, asked: str | None, given: str
) -> None:
    with painter.at_work():
        (image,) = generate(client, model=model, response_format=asked).json()["data"]
    assert given in image


def test_the_url_leads_to_the_picture(client: TestClient, painter: Painter) -> None:
    with painter.at_work():
        (image,) = generate(client).json()["data"]
    assert client.get(image["url"]).content == painted(7, 256)


def test_it_gives_the_files_themselves_when_asked(client: TestClient, painter: Painter) -> None:
    with painter.at_work():
        body = generate(client, n=2, response_format="b64_json").json()
    assert [base64.b64decode(image["b64_json"]) for image in body["data"]] == [painted(7, 256), painted(8, 256)]
    assert all("url" not in image for image in body["data"])


def test_it_tells_what_was_drawn(client: TestClient, painter: Painter) -> None:
    with painter.at_work():
        body = generate(client, size="512x512").json()
    assert (body["size"], body["native_size"], body["output_format"], body["model"]) == (
        "512x512",
        256,
        "png",
        "unclip-bootstrap",
    )
    assert "warnings" not in body


def test_it_is_the_same_job_as_the_one_to_follow(client: TestClient, painter: Painter) -> None:
    with painter.at_work():
        body = generate(client).json()
    job = client.get(f"/v1/jobs/{body['job_id']}").json()
    assert (job["status"], job["images"][0]["url"], job["created_at"]) == (
        "succeeded",
        body["data"][0]["url"],
        body["created"],
    )


def test_who_names_no_size_gets_what_dall_e_2_gave(client: TestClient, painter: Painter) -> None:
    with painter.at_work():
        assert generate(client, size=None).json()["size"] == "1024x1024"


def test_truncation_of_the_prompt_is_reported(client: TestClient, painter: Painter) -> None:
    with painter.at_work(truncated_tokens=3):
        (warning,) = generate(client).json()["warnings"]
    assert warning["code"] == "prompt_truncated"


@pytest.mark.parametrize("model", ["dall-e-2", "gpt-image-1", "default", "unclip-bootstrap", None])
def test_the_model_answers_to_its_aliases(client: TestClient, painter: Painter, model: str | None) -> None:
    with painter.at_work():
        assert generate(client, model=model).json()["model"] == "unclip-bootstrap"


@pytest.mark.parametrize(
    "fields",
    [
        {"quality": "hd", "style": "vivid", "moderation": "low", "output_compression": 100, "background": "opaque"},
        {"stream": False, "partial_images": 0},
        dict.fromkeys(("quality", "style", "moderation", "background", "stream", "partial_images", "svg", "response_format")),
    ],
    ids=["without effect", "asking for nothing", "null"],
)
def test_the_sdk_s_own_fields_are_known(client: TestClient, painter: Painter, fields: dict[str, object]) -> None:
    with painter.at_work():
        assert generate(client, **fields).status_code == 200


@pytest.mark.parametrize(("newer", "kept"), [("person-2", "person-2"), ("", "person-1"), (None, "person-1")])
def test_the_newer_name_of_the_end_user_wins_unless_empty(
    client: TestClient, painter: Painter, queue: JobQueue, newer: str | None, kept: str
) -> None:
    with painter.at_work():
        body = generate(client, user="person-1", safety_identifier=newer).json()
    assert queue.fetch(body["job_id"]).spec.user == kept


def test_a_failed_job_is_a_500_that_asks_not_to_be_repeated(client: TestClient, painter: Painter) -> None:
    with painter.at_work("fail", error={"code": "row_failed", "message": "the decoder met a value that is not a number"}):
        response = generate(client)
    assert (response.status_code, response.json()["error"]["code"]) == (500, "job_failed")
    assert "not a number" in response.json()["error"]["message"]
    assert response.headers["x-should-retry"] == "false"


def test_a_job_canceled_meanwhile_is_a_409(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(generate, client)
        while not queue.depth():
            time.sleep(0.01)
        queue.cancel(painter.queue.job_ids[0])
        response = waiting.result(timeout=5)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "job_canceled")


def test_a_wait_that_takes_too_long_ends_and_the_job_goes_on(settings: Settings, queue: JobQueue) -> None:
    with TestClient(create_app(settings.model_copy(update={"sync_wait_seconds": 0.3}))) as client:
        response = generate(client)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "wait_timeout")
    assert response.headers["x-should-retry"] == "false"
    assert "/v1/jobs/" in response.json()["error"]["message"]
    assert queue.depth() == 1


def test_a_wait_outlasts_a_restart_of_the_queue(settings: Settings, tmp_path: Path) -> None:
    server = Valkey(free_port(), "secret-word")
    process = start_valkey(server, tmp_path, keep=True)
    away = settings.model_copy(update={"redis_url": server.url})
    redis = server.client()
    try:
        with TestClient(create_app(away)) as client, ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(generate, client)
            job = started(Painter(redis, away))
            stop(process)
            time.sleep(0.5)  # some polls of the wait meet nobody
            process = start_valkey(server, tmp_path, keep=True)
            Painter(redis, away).succeed(job)
            assert waiting.result(timeout=5).status_code == 200
    finally:
        redis.close()
        stop(process)


def test_a_wait_ends_when_the_queue_stays_away(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.watcher.OUTAGE_PATIENCE_SECONDS", 0.2)
    server = Valkey(free_port(), "secret-word")
    process = start_valkey(server, tmp_path)
    redis = server.client()
    away = settings.model_copy(update={"redis_url": server.url})
    with TestClient(create_app(away)) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(generate, client)
        started(Painter(redis, away))
        redis.close()
        stop(process)
        response = waiting.result(timeout=5)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "queue_unavailable")


def test_a_picture_that_vanished_is_told(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    with painter.at_work(keep=False):
        response = generate(client, response_format="b64_json")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "image_not_found")


def test_the_models_are_listed_as_openai_lists_them(client: TestClient) -> None:
    body = client.get("/v1/models").json()
    (model,) = body["data"]
    assert (body["object"], model["object"], model["id"], model["created"]) == (
        "list",
        "model",
        "unclip-bootstrap",
        1795363200,
    )
    for name in ("unclip-bootstrap", "dall-e-2"):
        assert client.get(f"/v1/models/{name}").json() == model
    unknown = client.get("/v1/models/dall-e-9")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_served")
    assert (model["native_sizes"], model["defaults"]["steps"], model["priors"]) == ([64, 256], 20, ["diffusion"])
