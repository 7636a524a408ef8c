"""What only real sockets and real processes show."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from rq.utils import as_text

from service.middleware import INLINE_FACTOR
from tests.e2e.conftest import FEW_STEPS, Stack

A_JOB = {"operation": "generate", "prompt": "a red apple", "seed": 7, "size": "256x256", **FEW_STEPS}
PATIENCE_SECONDS = 60


def followed(http: httpx.Client, job_id: str) -> Iterator[dict[str, Any]]:
    """Read the job until it has ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        job: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").json()
        yield job
        if job["status"] not in ("queued", "running"):
            return
        time.sleep(0.02)
    raise TimeoutError(f"job {job_id} has not ended after {PATIENCE_SECONDS} s")


def test_a_job_is_drawn_stage_by_stage(http: httpx.Client) -> None:
    submitted = http.post("/v1/jobs", json=A_JOB | {"n": 2, "steps": 30})
    assert submitted.status_code == 202
    seen = list(followed(http, submitted.json()["id"]))
    assert seen[-1]["status"] == "succeeded"
    fractions = [job["progress"]["fraction"] for job in seen if job["progress"]]
    assert fractions == sorted(fractions)
    assert {"prior", "decoder", "upsample_256"} <= set(seen[-1]["timings"])


def test_a_finished_job_s_pictures_can_be_fetched(http: httpx.Client) -> None:
    *_, job = followed(http, http.post("/v1/jobs", json=A_JOB).json()["id"])
    (image,) = job["images"]
    file = http.get(image["url"])
    assert (file.headers["content-type"], len(file.content)) == ("image/png", image["bytes"])


def test_a_prompt_beyond_the_text_window_is_drawn_and_reported(http: httpx.Client) -> None:
    prompt = "a red apple beside " + " ".join(["a blue boat and"] * 50)
    *_, job = followed(http, http.post("/v1/jobs", json=A_JOB | {"prompt": prompt}).json()["id"])
    assert job["status"] == "succeeded"
    assert [warning["code"] for warning in job["warnings"]] == ["prompt_truncated"]


def test_a_running_job_can_be_canceled(http: httpx.Client) -> None:
    job_id = http.post("/v1/jobs", json=A_JOB | {"n": 10, "steps": 250}).json()["id"]
    for job in followed(http, job_id):
        if job["status"] == "running":
            break
    assert http.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    *_, job = followed(http, job_id)
    assert (job["status"], job["images"]) == ("canceled", [])


def test_a_caller_who_hangs_up_leaves_a_job_that_ends_well(http: httpx.Client, stack: Stack) -> None:
    redis = stack.valkey.client()
    before = set(redis.keys("rq:job:*"))
    fields = {name: value for name, value in A_JOB.items() if name != "operation"} | {"steps": 100}
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/images/generations", json=fields, timeout=0.2)
    (key,) = set(redis.keys("rq:job:*")) - before
    redis.close()
    *_, job = followed(http, as_text(key).removeprefix("rq:job:"))
    assert job["status"] == "succeeded"


def test_a_chunked_body_over_the_limit_is_refused_while_it_arrives(http: httpx.Client) -> None:
    chunks = (b" " * 2**18 for _ in range(4 * INLINE_FACTOR + 2))
    reply = http.post("/v1/jobs", content=chunks, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
    assert reply.headers["x-request-id"]


def test_the_service_is_ready_and_described(http: httpx.Client) -> None:
    assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/docs", "/openapi.json")] == [200] * 4


def test_a_fault_in_the_http_itself_is_answered(http: httpx.Client) -> None:
    """Bytes that are no HTTP are the server's to refuse; the process lives on."""
    host, port = http.base_url.host, http.base_url.port
    assert port is not None
    with socket.create_connection((host, port), timeout=5) as line:
        line.sendall(b"this is no request\r\n\r\n")
        assert b" 400 " in line.recv(1000)
    assert http.get("/healthz").status_code == 200
