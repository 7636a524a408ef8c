"""Submitting, following and canceling jobs over HTTP."""

from __future__ import annotations

import json
import re

import pytest
from starlette.testclient import TestClient

from contract.queue import CANCEL_FIELD, JobQueue
from contract.settings import Settings
from service.app import create_app
from tests.service.painter import Painter

A_JOB = {"operation": "generate", "prompt": "a red apple", "seed": 7}


def submit(client: TestClient, **fields: object) -> str:
    response = client.post("/v1/jobs", json=A_JOB | fields)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def test_a_submitted_job_is_accepted_with_its_address(client: TestClient) -> None:
    response = client.post("/v1/jobs", json=A_JOB)
    assert response.status_code == 202
    assert response.headers["location"] == f"http://testserver/v1/jobs/{response.json()['id']}"


def test_the_location_leads_to_the_job(client: TestClient) -> None:
    submitted = client.post("/v1/jobs", json=A_JOB)
    assert client.get(submitted.headers["location"]).json() == submitted.json()


def test_a_queued_job_tells_its_place(client: TestClient) -> None:
    submit(client)
    job = client.get(f"/v1/jobs/{submit(client)}").json()
    assert (job["status"], job["queue_position"], job["progress"], job["images"]) == ("queued", 2, None, [])


def test_the_spec_has_every_default_resolved(client: TestClient, queue: JobQueue) -> None:
    spec = queue.fetch(submit(client)).spec
    assert spec.model_dump() == {
        "key": "local",
        "retried_from": None,
        "lane": "interactive",
        "output_compression": 100,
        "metadata": True,
        "previews": False,
        "guidance_mode": "constant",
        "guidance_bounds": (1.0, 30.0),
        "prior_candidates": 2,
        "conditioning": "prior",
        "stop_at": None,
        "operation": "generate",
        "model": "unclip-bootstrap",
        "prompt": "a red apple",
        "n": 1,
        "size": "256x256",
        "output_format": "png",
        "seed": 7,
        "prior": "diffusion",
        "decoder": "base",
        "steps": 20,
        "guidance_scale": 3.0,
        "prior_steps": 10,
        "prior_guidance_scale": 2.0,
        "upsample_steps": 8,
        "user": None,
    }


def test_what_the_caller_sets_reaches_the_spec(client: TestClient, queue: JobQueue) -> None:
    asked = {
        "n": 3,
        "size": "1024x1024",
        "seed": 2**32 - 1,
        "steps": 250,
        "guidance_scale": 0,
        "prior_steps": 1,
        "prior_guidance_scale": 30,
        "upsample_steps": 2,
        "user": "user-1",
    }
    assert asked.items() <= queue.fetch(submit(client, model="dall-e-2", **asked)).spec.model_dump().items()


@pytest.mark.parametrize(("field", "offered"), [("prior", ["diffusion", "autoregressive"]), ("decoder", ["base", "turbo"])])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/images/generations"])
def test_a_model_that_has_both_of_a_part_takes_either(
    settings: Settings, queue: JobQueue, path: str, field: str, offered: list[str]
) -> None:
    index = json.loads((settings.model_folder / "model_index.json").read_text())
    index["unclip"][f"{field}s"] = offered
    (settings.model_folder / "model_index.json").write_text(json.dumps(index))
    body = {"prompt": "a red apple", field: offered[1]} | ({"operation": "generate"} if path == "/v1/jobs" else {})
    with TestClient(create_app(settings.model_copy(update={"sync_wait_seconds": 0.1}))) as client:
        assert client.get("/v1/models").json()["data"][0][f"{field}s"] == offered
        told = client.post(path, json=body).json()
    job_id = told.get("id") or re.findall("[0-9a-f]{32}", told["error"]["message"])[0]  # nobody draws: the wait ends in a 504
    assert getattr(queue.fetch(job_id).spec, field) == offered[1]


def test_null_means_left_out(client: TestClient, queue: JobQueue) -> None:
    nothing = dict.fromkeys(("model", "n", "size", "output_format", "steps", "guidance_scale", "prior_steps", "user"))
    assert queue.fetch(submit(client, **nothing)).spec == queue.fetch(submit(client)).spec


def test_a_seed_is_chosen_for_who_names_none(client: TestClient) -> None:
    seeds = {client.get(f"/v1/jobs/{submit(client, seed=None)}").json()["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_line_breaks_are_no_control_characters_of_note(client: TestClient, queue: JobQueue) -> None:
    assert queue.fetch(submit(client, prompt="  a red apple\r\n\ton a table \n")).spec.prompt == "a red apple\r\n\ton a table"


def test_a_running_job_tells_stage_and_step(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    painter.tell_progress(painter.start(), stage="decoder", step=3, steps=20, fraction=0.4)
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["status"], job["queue_position"]) == ("running", None)
    assert job["progress"] == {"stage": "decoder", "step": 3, "steps": 20, "fraction": 0.4}


def test_a_finished_job_has_pictures_with_url_and_seed(client: TestClient, painter: Painter) -> None:
    job_id = submit(client, n=2)
    painter.succeed(painter.start())
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["status"], job["native_size"], job["warnings"], job["error"]) == ("succeeded", 256, [], None)
    assert [(image["seed"], image["url"]) for image in job["images"]] == [
        (7, f"http://testserver/v1/images/{job_id}-0"),
        (8, f"http://testserver/v1/images/{job_id}-1"),
    ]


def test_a_finished_job_tells_seconds_per_stage(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    painter.succeed(painter.start())
    assert client.get(f"/v1/jobs/{job_id}").json()["timings"] == {"prior": 0.5, "decoder": 2.0, "upsample_256": 1.0}


def test_truncation_of_the_prompt_is_reported(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    painter.succeed(painter.start(), truncated_tokens=5)
    (warning,) = client.get(f"/v1/jobs/{job_id}").json()["warnings"]
    assert (warning["code"], warning["param"]) == ("prompt_truncated", "prompt")
    assert "last 5 tokens" in warning["message"]


def test_a_failed_job_tells_why_and_shows_no_insides(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    painter.fail(painter.start(), {"code": "row_failed", "message": "the decoder met a value that is not a number"})
    response = client.get(f"/v1/jobs/{job_id}")
    error = {"code": "row_failed", "message": "the decoder met a value that is not a number", "moderation_details": None}
    assert response.json()["error"] == error
    assert "Traceback" not in response.text


def test_urls_begin_with_the_public_address(settings: Settings, painter: Painter) -> None:
    behind_a_proxy = settings.model_copy(update={"public_base_url": "https://draw.example/unclip/"})
    with TestClient(create_app(behind_a_proxy)) as client:
        job_id = submit(client)
        painter.succeed(painter.start())
        (image,) = client.get(f"/v1/jobs/{job_id}").json()["images"]
    assert image["url"] == f"https://draw.example/unclip/v1/images/{job_id}-0"


def test_a_queued_job_is_canceled_at_once(client: TestClient, queue: JobQueue) -> None:
    job_id = submit(client)
    response = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (response.status_code, response.json()["status"], queue.depth()) == (200, "canceled", 0)


def test_canceling_twice_is_no_fault(client: TestClient) -> None:
    job_id = submit(client)
    client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200


def test_a_running_job_is_asked_to_stop(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    job = painter.start()
    assert client.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "running"
    assert painter.redis.hget(job.key, CANCEL_FIELD) == b"1"


def test_a_finished_job_cannot_be_canceled(client: TestClient, painter: Painter) -> None:
    job_id = submit(client)
    painter.succeed(painter.start())
    response = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "job_not_cancelable")


def test_a_full_queue_is_a_429_that_says_when_to_come_back(settings: Settings, queue: JobQueue) -> None:
    with TestClient(create_app(settings.model_copy(update={"max_queue_depth": 1}))) as client:
        submit(client)
        response = client.post("/v1/jobs", json=A_JOB)
    assert (response.status_code, response.json()["error"]["code"]) == (429, "queue_full")
    assert int(response.headers["retry-after"]) > 0
    assert queue.depth() == 1
