"""Headers in and out: security headers, CORS, the size of a header section, traces from a request to its job."""

from __future__ import annotations

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer
from starlette.testclient import TestClient
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from contract.settings import Settings
from contract.trace import origin_of
from service.app import create_app

APPLE = {"operation": "generate", "prompt": "a red apple"}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/nowhere", "/v1/jobs/x", "/openapi.json"])
def test_data_can_do_nothing_in_a_browser(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert headers["referrer-policy"] == "no-referrer"


def test_a_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    policy = client.get("/docs").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_replies_are_not_kept_unless_they_say_so(client: TestClient) -> None:
    assert client.get("/v1/models").headers["cache-control"] == "no-store"


def test_errors_before_the_routes_carry_the_headers_too(client: TestClient) -> None:
    reply = client.post("/v1/jobs", content=b" " * (2**26), headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.headers["x-content-type-options"]) == (413, "nosniff")


def test_without_origins_no_page_may_call(client: TestClient) -> None:
    reply = client.get("/v1/models", headers={"Origin": "https://app.example"})
    assert "access-control-allow-origin" not in reply.headers


def test_pages_of_named_origins_may_call(settings: Settings) -> None:
    named = settings.model_copy(update={"cors_origins": "https://app.example, http://localhost:3000"})
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with TestClient(create_app(named)) as client:
        mine = client.get("/v1/models", headers={"Origin": "https://app.example"})
        asked = client.options("/v1/jobs", headers={"Origin": "http://localhost:3000", **preflight})
        other = client.options("/v1/jobs", headers={"Origin": "https://evil.example", **preflight})
    assert mine.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-request-id" in mine.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in mine.headers
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "http://localhost:3000")
    assert "access-control-allow-origin" not in other.headers


def test_a_page_sees_why_it_was_refused(settings: Settings) -> None:
    named = settings.model_copy(update={"cors_origins": "*", "api_keys": "required"})
    with TestClient(create_app(named)) as client:
        reply = client.get("/v1/models", headers={"Origin": "https://app.example"})
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (401, "*")


def test_a_header_section_has_a_limit(client: TestClient) -> None:
    assert client.get("/healthz", headers={"x-filler": "x" * 8000}).status_code == 200
    too_long = client.get("/healthz", headers={"x-filler": "x" * 17000})
    too_many = client.get("/healthz", headers=[(f"x-{index}", "x") for index in range(2000)])
    assert [reply.status_code for reply in (too_long, too_many)] == [431, 431]
    assert too_many.json()["error"]["code"] == "headers_too_large"


def test_a_job_knows_its_request_and_its_trace(client: TestClient, redis: Redis) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "mine-1"}
    with capture_logs(processors=[merge_contextvars]) as lines:
        job_id = client.post("/v1/jobs", json=APPLE, headers=headers).json()["id"]
    origin = origin_of(Job.fetch(job_id, connection=redis, serializer=JSONSerializer).meta)
    assert origin is not None
    assert (origin.request_id, origin.trace_id, origin.flags) == ("mine-1", TRACE, "01")
    queued = next(line for line in lines if line["event"] == "a job was queued")
    assert (queued["job_id"], queued["request_id"], queued["trace_id"]) == (job_id, "mine-1", TRACE)


def test_each_request_has_a_trace_of_its_own(client: TestClient) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        for _ in range(2):
            client.get("/healthz")
    assert len({line["trace_id"] for line in lines}) == 2


def test_no_log_line_holds_a_prompt(client: TestClient) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        client.post("/v1/jobs", json={**APPLE, "prompt": "a very private giraffe"})
        client.post("/v1/jobs", json={**APPLE, "prompt": "a very private giraffe", "n": 99})
    assert lines
    assert "giraffe" not in str(lines)
