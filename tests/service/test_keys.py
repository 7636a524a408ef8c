"""API keys at the door: who is let in, to what, how often; and that strangers learn nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from contract.errors import SettingsWrong
from contract.keys import KeyRing
from contract.queue import JobQueue
from contract.settings import Settings
from service import gate as gate_module
from service.app import create_app
from service.main import is_loopback, refuse_open_door
from tests.service.painter import Painter

APPLE = {"operation": "generate", "prompt": "a red apple"}


@pytest.fixture
def keys(redis: Redis) -> KeyRing:
    return KeyRing(redis)


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first key closes the service within a second; here, at once."""
    monkeypatch.setattr(gate_module, "OPEN_FOR_SECONDS", 0.0)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_keys_everybody_is_the_local_caller(client: TestClient, queue: JobQueue) -> None:
    for headers in ({}, bearer("unused"), bearer(f"uk_{'0' * 12}_{'A' * 43}"), {"Authorization": "Basic dTpw"}):
        reply = client.post("/v1/jobs", json=APPLE, headers=headers)
        assert (reply.status_code, queue.fetch(reply.json()["id"]).spec.key) == (202, "local")


def test_the_first_key_closes_the_service_at_once(client: TestClient, keys: KeyRing) -> None:
    assert client.get("/v1/models").status_code == 200
    token = keys.create("studio").token
    assert client.get("/v1/models").status_code == 401
    assert client.get("/v1/models", headers=bearer(token)).status_code == 200


def test_what_a_key_makes_is_its_own(client: TestClient, keys: KeyRing, queue: JobQueue) -> None:
    made = keys.create("studio")
    reply = client.post("/v1/jobs", json=APPLE, headers=bearer(made.token))
    assert queue.fetch(reply.json()["id"]).spec.key == made.key.id


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, bearer("unused"), {"Authorization": "Basic dTpw"}],
)
def test_a_stranger_gets_the_one_refusal(client: TestClient, keys: KeyRing, headers: dict[str, str]) -> None:
    keys.create("studio")
    reply = client.post("/v1/jobs", json=APPLE, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.headers["x-request-id"]


def test_a_wrong_secret_and_an_unknown_id_answer_alike(client: TestClient, keys: KeyRing) -> None:
    made = keys.create("studio")
    revoked = keys.create("gone")
    keys.revoke(revoked.key.id)
    tokens = [f"uk_{made.key.id}_{'A' * 43}", f"uk_{'0' * 12}_{'A' * 43}", revoked.token]
    replies = [client.get("/v1/models", headers=bearer(token)) for token in tokens]
    assert {(reply.status_code, reply.text) for reply in replies} == {(401, replies[0].text)}


def test_revoking_the_last_key_does_not_open_the_service(client: TestClient, keys: KeyRing) -> None:
    made = keys.create("studio")
    keys.revoke(made.key.id)
    assert client.get("/v1/models").status_code == 401


def test_a_rotated_key_keeps_its_jobs(client: TestClient, keys: KeyRing, queue: JobQueue) -> None:
    made = keys.create("studio")
    job_id = client.post("/v1/jobs", json=APPLE, headers=bearer(made.token)).json()["id"]
    rotated = keys.rotate(made.key.id, timedelta(0))
    assert client.get(f"/v1/jobs/{job_id}", headers=bearer(made.token)).status_code == 401
    assert client.get(f"/v1/jobs/{job_id}", headers=bearer(rotated.token)).status_code == 200


def test_nothing_below_v1_is_forgotten(client: TestClient, keys: KeyRing) -> None:
    keys.create("studio")
    paths = client.get("/openapi.json").json()["paths"]
    open_to_all = {
        (path, verb)
        for path, verbs in paths.items()
        for verb in verbs
        if client.request(verb, path.replace("{", "").replace("}", "")).status_code != 401
    }
    for path, verbs in paths.items():
        assert all(("security" in verb) == path.startswith(("/v1", "/metrics")) for verb in verbs.values()), path
    # A picture's address can be signed instead.
    assert {(path, verb) for path, verb in open_to_all if path.startswith("/v1")} <= {("/v1/images/{image_id}", "get")}
    assert ("/healthz", "get") in open_to_all
    assert client.get("/v1/no/such/path").status_code == 401


def test_strangers_cannot_make_the_service_read_a_body(client: TestClient, keys: KeyRing) -> None:
    keys.create("studio")
    taken = 0

    def body() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(10):
            taken += 1
            yield b" " * 1000

    reply = client.post("/v1/jobs", content=body(), headers={"Content-Type": "application/json"})
    assert reply.status_code == 401


@pytest.mark.parametrize(
    ("scopes", "verb", "path", "status"),
    [
        (["read"], "GET", "/v1/models", 200),
        (["read"], "POST", "/v1/jobs", 403),
        (["generate"], "POST", "/v1/jobs", 202),
        (["generate"], "GET", "/v1/models", 403),
        (["generate"], "POST", f"/v1/jobs/{'0' * 32}/cancel", 404),
        (["read"], "POST", f"/v1/jobs/{'0' * 32}/cancel", 403),
        (["admin"], "GET", "/v1/models", 403),
    ],
)
def test_a_key_may_do_what_its_scopes_say(
    client: TestClient, keys: KeyRing, scopes: list[str], verb: str, path: str, status: int
) -> None:
    token = keys.create("studio", scopes).token
    reply = client.request(verb, path, json=APPLE if verb == "POST" else None, headers=bearer(token))
    assert reply.status_code == status
    assert status != 403 or reply.json()["error"]["code"] == "insufficient_scope"


def test_a_key_is_slowed_to_its_rate(client: TestClient, keys: KeyRing) -> None:
    slow, other = keys.create("slow", rate="2/minute"), keys.create("other")
    statuses = [client.post("/v1/jobs", json=APPLE, headers=bearer(slow.token)) for _ in range(3)]
    assert [reply.status_code for reply in statuses] == [202, 202, 429]
    assert statuses[-1].json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(statuses[-1].headers["retry-after"]) <= 60
    assert client.get("/v1/models", headers=bearer(slow.token)).status_code == 200
    assert client.post("/v1/jobs", json=APPLE, headers=bearer(other.token)).status_code == 202


def test_reading_has_a_rate_of_its_own(client: TestClient, keys: KeyRing) -> None:
    token = keys.create("slow", read_rate="1/minute; 100/day").token
    assert [client.get("/v1/models", headers=bearer(token)).status_code for _ in range(2)] == [200, 429]
    assert client.post("/v1/jobs", json=APPLE, headers=bearer(token)).status_code == 202


def test_a_key_has_so_many_unfinished_jobs(client: TestClient, keys: KeyRing, painter: Painter, queue: JobQueue) -> None:
    token = keys.create("studio", max_jobs=1).token
    first = client.post("/v1/jobs", json=APPLE, headers=bearer(token))
    refused = client.post("/v1/jobs", json=APPLE, headers=bearer(token))
    assert (first.status_code, refused.status_code) == (202, 429)
    assert (refused.json()["error"]["code"], "retry-after" in refused.headers) == ("too_many_jobs", True)
    queue.cancel(first.json()["id"])
    assert client.post("/v1/jobs", json=APPLE, headers=bearer(token)).status_code == 202


def test_keys_can_be_required_before_there_are_any(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"api_keys": "required"}))) as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/healthz").status_code == 200


def test_keys_can_be_left_to_something_in_front(settings: Settings, keys: KeyRing) -> None:
    keys.create("studio")
    with TestClient(create_app(settings.model_copy(update={"api_keys": "off"}))) as client:
        assert client.get("/v1/models").status_code == 200


def test_when_nobody_can_say_nobody_is_let_in(settings: Settings, closed_port: int) -> None:
    away = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{closed_port}/0"})
    with TestClient(create_app(away)) as client:
        reply = client.get("/v1/models", headers=bearer("unused"))
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "queue_unavailable")


def test_a_token_reaches_no_log_and_no_reply(client: TestClient, keys: KeyRing, caplog: pytest.LogCaptureFixture) -> None:
    made = keys.create("studio")
    secret = made.token.split("_", 2)[2]
    with capture_logs() as lines:
        replies = [client.get("/v1/models", headers=bearer(made.token)), client.get("/v1/x", headers=bearer(made.token + "x"))]
    told = [str(lines), caplog.text, *(f"{reply.text}{reply.headers}" for reply in replies)]
    assert [text for text in told if secret in text] == []


@pytest.mark.parametrize(
    ("mode", "host"), [("auto", "0.0.0.0"), ("auto", "::"), ("auto", "192.0.2.1"), ("auto", "api.internal")]
)
def test_without_keys_the_service_stays_on_this_machine(settings: Settings, keys: KeyRing, mode: str, host: str) -> None:
    asked = settings.model_copy(update={"host": host, "api_keys": mode})
    with pytest.raises(SettingsWrong, match="unclip keys create"):
        refuse_open_door(asked, keys)
    keys.create("studio")
    refuse_open_door(asked, keys)


@pytest.mark.parametrize(
    ("mode", "host"), [("auto", "127.0.0.1"), ("auto", "localhost"), ("auto", "::1"), ("required", "0.0.0.0")]
)
def test_these_may_listen_without_a_key(settings: Settings, keys: KeyRing, mode: str, host: str) -> None:
    refuse_open_door(settings.model_copy(update={"host": host, "api_keys": mode}), keys)


def test_an_open_service_for_all_is_said_aloud(settings: Settings, keys: KeyRing) -> None:
    with capture_logs() as lines:
        refuse_open_door(settings.model_copy(update={"host": "0.0.0.0", "api_keys": "off"}), keys)
    assert [line["log_level"] for line in lines] == ["warning"]


def test_a_name_that_is_not_localhost_may_be_anybody() -> None:
    assert [is_loopback(host) for host in ("127.0.0.2", "localhost", "localhost.example", "")] == [True, True, False, False]
