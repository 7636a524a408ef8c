"""Requests that are sent more than once and done once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest
from redis import Redis
from starlette.testclient import TestClient

from contract.idempotency import KEPT_SECONDS, Claims
from contract.queue import JobQueue
from contract.settings import Settings
from service.app import create_app
from tests.service.painter import Painter
from tests.service.test_jobs import A_JOB

RANDOM_SEED = {"operation": "generate", "prompt": "a red apple"}


def post(client: TestClient, key: str | None, path: str = "/v1/jobs", body: Any = None, retry: int | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    if retry is not None:
        headers["x-stainless-retry-count"] = str(retry)
    return client.post(path, json=body or RANDOM_SEED, headers=headers)


def test_a_repeated_request_gets_the_first_reply_again(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    first = post(client, "order-1")
    painter.start()
    again = post(client, "order-1")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert (again.headers["idempotent-replayed"], "idempotent-replayed" in first.headers) == ("true", False)
    assert len(queue.list()) == 1


def test_another_request_under_the_same_key_is_refused(client: TestClient, queue: JobQueue) -> None:
    post(client, "order-1")
    for path, body in (("/v1/jobs", A_JOB), ("/v1/images/generations", {"prompt": "a red apple"})):
        other = post(client, "order-1", path, body)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert queue.depth() == 1


def test_other_keys_and_no_key_are_other_jobs(client: TestClient) -> None:
    replies = [post(client, key) for key in ("one", "two", None, None)]
    assert len({reply.json()["id"] for reply in replies}) == 4


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "a\x7fb"])
def test_a_key_that_is_none_is_refused_by_name(client: TestClient, key: str, queue: JobQueue) -> None:
    response = client.post("/v1/jobs", json=RANDOM_SEED, headers={b"Idempotency-Key": key.encode()})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert queue.depth() == 0


def test_the_longest_key_is_taken(client: TestClient) -> None:
    assert post(client, "x" * 255).status_code == 202


def test_a_refused_request_does_not_use_its_key_up(client: TestClient) -> None:
    assert post(client, "order-1", body={"operation": "generate", "prompt": ""}).status_code == 400
    assert post(client, "order-1").status_code == 202


def test_sixty_four_at_once_are_one_job(settings: Settings, queue: JobQueue) -> None:
    # They wait for each other, and on a busy machine for longer than callers have patience: outages are another test's matter.
    patient = {"queue_reply_timeout_seconds": 60, "queue_connect_timeout_seconds": 60}
    app = create_app(settings.model_copy(update=patient))
    app.state.resources.offload.patience_seconds = 60
    with TestClient(app) as client, ThreadPoolExecutor(64) as pool:
        replies = [reply.result() for reply in [pool.submit(post, client, "order-1") for _ in range(64)]]
    assert {reply.status_code for reply in replies} == {202}
    assert len({(reply.json()["id"], reply.json()["seed"]) for reply in replies}) == 1
    assert queue.depth() == 1


def test_a_request_whose_process_died_before_its_reply_is_still_one_job(
    client: TestClient, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is queued and its reply never noted: whoever repeats the request comes to that job."""
    monkeypatch.setattr(Claims, "keep", lambda *_: None)
    first, again = post(client, "order-1"), post(client, "order-1")
    assert first.json()["id"] == again.json()["id"]
    assert queue.depth() == 1


def test_keys_are_forgotten_after_a_day(client: TestClient, redis: Redis) -> None:
    post(client, "order-1")
    (name,) = redis.keys("unclip:idempotency:*")
    assert KEPT_SECONDS - 10 < redis.ttl(name) <= KEPT_SECONDS == 24 * 3600


def test_api_keys_do_not_meet(redis: Redis) -> None:
    claims = Claims(redis)
    assert claims.take("key-1", "order-1", "f").job_id != claims.take("key-2", "order-1", "f").job_id


def test_a_full_queue_leaves_the_key_to_its_request(settings: Settings, painter: Painter) -> None:
    with TestClient(create_app(settings.model_copy(update={"max_queue_depth": 1}))) as client:
        post(client, None)
        assert post(client, "order-1").status_code == 429
        painter.start()
        assert post(client, "order-1").status_code == 202


def test_a_waiting_request_is_answered_anew_from_the_same_job(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    with painter.at_work():
        replies = [post(client, "order-1", "/v1/images/generations", {"prompt": "a red apple"}).json() for _ in range(2)]
    assert replies[0] == replies[1]
    assert len(queue.list()) == 1


def openai_client(client: TestClient, painter: Painter, fail_first: int) -> openai.OpenAI:
    """The official client over a line that breaks while the server waits for the first tries' pictures; then they are drawn."""
    lost = [0]

    class LossyLine(httpx2.BaseTransport):
        def handle_request(self, request: Any) -> Any:
            sent = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
            body = request.read()
            if lost[0] < fail_first:
                lost[0] += 1
                client.post("/v1/images/generations", content=body, headers=sent)
                raise httpx2.ConnectError("the line broke")
            with painter.at_work():
                reply = client.request(request.method, request.url.path, content=body, headers=sent)
            return httpx2.Response(reply.status_code, headers=dict(reply.headers), content=reply.content)

    http_client = httpx2.Client(transport=LossyLine())
    return openai.OpenAI(base_url="http://testserver/v1", api_key="unused", http_client=http_client, max_retries=2)


def test_retries_of_the_official_client_do_not_double_the_work(settings: Settings, painter: Painter, queue: JobQueue) -> None:
    with TestClient(create_app(settings.model_copy(update={"sync_wait_seconds": 1.5}))) as client:
        lossy = openai_client(client, painter, fail_first=2)
        pictures = lossy.images.generate(prompt="a red apple", size="256x256")
    assert len(pictures.data) == 1
    assert len(queue.list()) == 1


def test_the_same_request_that_is_no_retry_is_another_one(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    with painter.at_work():
        for _ in range(2):
            post(client, None, "/v1/images/generations", {"prompt": "a red apple"}, retry=0)
    assert len(queue.list()) == 2


def test_two_lost_requests_that_are_alike_are_each_found_again(redis: Redis) -> None:
    claims = Claims(redis)
    lost = {claims.begin("local", "f") for _ in range(2)}
    assert {claims.begun("local", "f") for _ in range(2)} == lost


def test_a_retry_of_nothing_known_is_a_new_job(client: TestClient) -> None:
    assert post(client, None, retry=1).status_code == 202


def test_the_parts_of_a_form_count_and_not_its_boundary(client: TestClient) -> None:
    """An edit is posted as a form, under another boundary in each retry."""
    from starlette.requests import Request

    from service.idempotency import fingerprint

    async def of(parts: dict[str, bytes], boundary: str) -> str:
        lines = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'.encode() + data + b"\r\n"
            for name, data in parts.items()
        ]
        body = b"".join(lines) + f"--{boundary}--\r\n".encode()
        headers = [(b"content-type", f"multipart/form-data; boundary={boundary}".encode())]
        scope = {"type": "http", "method": "POST", "path": "/v1/images/edits", "query_string": b"", "headers": headers}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        request = Request(scope, receive)
        try:
            return await fingerprint(request)
        finally:
            await request.close()

    import anyio

    first, again = anyio.run(of, {"image": b"one"}, "x1"), anyio.run(of, {"image": b"one"}, "x2")
    assert first == again != anyio.run(of, {"image": b"two"}, "x1")


@pytest.mark.parametrize(("policy", "state"), [("cancel", "canceled"), ("detach", "queued"), (None, "queued")])
def test_a_caller_who_hangs_up_gets_what_it_asked_for(
    client: TestClient, queue: JobQueue, policy: str | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def has_left(_request: object) -> bool:
        return True

    monkeypatch.setattr("starlette.requests.Request.is_disconnected", has_left)
    response = client.post("/v1/images/generations", json={"prompt": "a red apple", "on_disconnect": policy})
    assert response.status_code == 499
    assert [job.state.value for job in queue.list()] == [state]


def test_a_retried_job_is_a_new_one_with_the_same_seed(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    first = post(client, None).json()
    painter.fail(painter.start(), {"code": "row_failed", "message": "a value that is not a number"})
    response = client.post(f"/v1/jobs/{first['id']}/retry")
    again = response.json()
    assert (response.status_code, again["status"], again["retried_from"]) == (202, "queued", first["id"])
    assert again["id"] != first["id"]
    assert again["seed"] == first["seed"]
    assert response.headers["location"].endswith(again["id"])


def test_a_retry_under_a_key_is_one_job(client: TestClient, queue: JobQueue) -> None:
    job_id = post(client, None).json()["id"]
    client.post(f"/v1/jobs/{job_id}/cancel")
    ids = {post(client, "again", f"/v1/jobs/{job_id}/retry").json()["id"] for _ in range(3)}
    assert (len(ids), queue.depth()) == (1, 1)


def test_a_job_that_goes_on_cannot_be_retried(client: TestClient) -> None:
    response = client.post(f"/v1/jobs/{post(client, None).json()['id']}/retry")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "job_not_ended")
