"""Webhook endpoints over HTTP, driven by the official client."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import httpx2
import openai
import pytest
from redis import Redis
from starlette.testclient import TestClient

from contract.settings import Settings
from contract.webhooks import MAX_ENDPOINTS, WebhookBook, new_secret
from service.app import create_app
from tests.service.test_jobs import A_JOB
from tests.workers.webhooks.test_webhooks import Receiver, receiving

__all__ = ["receiving"]
TYPES = ["job.succeeded", "job.failed"]


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"outbound_allowed_networks": "127.0.0.0/8"}))) as client:
        yield client


@pytest.fixture
def official(client: TestClient) -> openai.OpenAI:
    class Line(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            sent = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
            url = str(request.url).removeprefix("http://testserver")
            reply = client.request(request.method, url, content=request.read(), headers=sent)
            return httpx2.Response(reply.status_code, headers=dict(reply.headers), content=reply.content)

    return openai.OpenAI(base_url="http://testserver/v1", api_key="unused", http_client=httpx2.Client(transport=Line()))


def test_the_official_client_keeps_endpoints(official: openai.OpenAI, receiving: Callable[..., Receiver]) -> None:
    receiver = receiving(202)
    made = official.webhooks.create(url=receiver.url, name="my app", event_types=TYPES)
    assert (made.event_types, made.signing_secret.startswith("whsec_")) == (TYPES, True)
    seen = official.webhooks.retrieve(made.id)
    assert (seen.url, hasattr(seen, "signing_secret")) == (receiver.url, False)
    assert official.webhooks.update(made.id, name="other").name == "other"
    assert [endpoint.id for endpoint in official.webhooks.list()] == [made.id]
    rotated = official.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    assert rotated.signing_secret != made.signing_secret
    assert official.webhooks.test(made.id, event_type="job.succeeded").status_code == 202
    ((headers, body),) = receiver.got
    for secret in (made.signing_secret, rotated.signing_secret):
        official.webhooks.verify_signature(body, headers, secret=secret)
    assert official.webhooks.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        official.webhooks.retrieve(made.id)


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://example.com/", "ftp://example.com/", "https://user@example.com/"])
def test_a_private_or_malformed_address_is_refused_by_name(client: TestClient, url: str) -> None:
    for path, body, param in (
        ("/v1/webhook_endpoints", {"url": url, "event_types": TYPES}, "url"),
        ("/v1/jobs", A_JOB | {"webhook": {"url": url, "secret": new_secret()}}, "webhook.url"),
    ):
        response = client.post(path, json=body)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param), response.text


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", base64.b64encode(b"x" * 32).decode(), "whsec_" + "!" * 32])
def test_a_weak_secret_is_refused_by_name(client: TestClient, secret: str) -> None:
    response = client.post("/v1/jobs", json=A_JOB | {"webhook": {"url": "http://127.0.0.1:1/", "secret": secret}})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "webhook.secret")


def test_an_unknown_event_is_refused_by_name(client: TestClient) -> None:
    response = client.post("/v1/webhook_endpoints", json={"url": "http://127.0.0.1:1/", "event_types": ["batch.completed"]})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "event_types.0")


def test_a_job_s_own_webhook_is_noted_before_the_job_is_queued(client: TestClient, redis: Redis) -> None:
    secret = new_secret()
    response = client.post("/v1/jobs", json=A_JOB | {"webhook": {"url": "http://127.0.0.1:1/", "secret": secret}})
    assert response.status_code == 202, response.text
    assert secret not in response.text
    endpoint = WebhookBook(redis).of_job(response.json()["id"])
    assert (endpoint.secret, endpoint.event_types) == (secret, ("job.succeeded", "job.failed", "job.canceled"))
    assert redis.ttl(f"unclip:webhook:{response.json()['id']}") > 3 * 24 * 3600


def test_a_key_has_so_many_endpoints_and_no_more(client: TestClient) -> None:
    replies = [
        client.post("/v1/webhook_endpoints", json={"url": "http://127.0.0.1:1/", "event_types": TYPES})
        for _ in range(MAX_ENDPOINTS + 1)
    ]
    assert [reply.status_code for reply in replies] == [200] * MAX_ENDPOINTS + [400]
    page = client.get("/v1/webhook_endpoints", params={"limit": 15}).json()
    rest = client.get("/v1/webhook_endpoints", params={"limit": 15, "after": page["last_id"]}).json()
    assert (len(page["data"]), page["has_more"], len(rest["data"]), rest["has_more"]) == (15, True, 5, False)


def test_lane_and_previews_reach_the_spec(client: TestClient, queue: object) -> None:
    job_id = client.post("/v1/jobs", json=A_JOB | {"lane": "batch", "previews": True}).json()["id"]
    spec = queue.fetch(job_id).spec
    assert (spec.lane, spec.previews) == ("batch", True)
