"""Tenants are apart: what one key made does not exist for another, whatever it tries."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from PIL import Image
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from starlette.testclient import TestClient

from contract.keys import KeyRing
from contract.settings import Settings
from service import gate as gate_module
from service.app import create_app
from service.signing import VALID_SECONDS, UrlSigner
from tests.service.painter import Painter

APPLE = {"operation": "generate", "prompt": "a red apple"}
NO_JOB, NO_IMAGE, NO_UPLOAD = "0" * 32, f"{'0' * 32}-0", f"up_{'0' * 32}"


class Tenant:
    """One key's client."""

    def __init__(self, client: TestClient, token: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    def ask(self, verb: str, path: str, **content: object) -> tuple[int, str]:
        """The status and the body of a reply, with the ids in it made alike."""
        reply = self.client.request(verb, path, headers=self.headers, **content)
        return reply.status_code, reply.text

    def json(self, verb: str, path: str, **content: object) -> dict:
        reply = self.client.request(verb, path, headers=self.headers, **content)
        assert reply.is_success, reply.text
        return reply.json()


@pytest.fixture
def tenants(settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tenant, Tenant]]:
    monkeypatch.setattr(gate_module, "OPEN_FOR_SECONDS", 0.0)
    keys = KeyRing(redis)
    with TestClient(create_app(settings)) as client:
        yield Tenant(client, keys.create("a").token), Tenant(client, keys.create("b").token)


@pytest.fixture
def painted_job(tenants: tuple[Tenant, Tenant], redis: Redis, settings: Settings) -> dict:
    """A job that the first tenant has had drawn."""
    a, _ = tenants
    job = a.json("POST", "/v1/jobs", json=APPLE)
    painter = Painter(redis, settings)
    painter.queue = Queue(redis.hget(f"rq:job:{job['id']}", "origin").decode(), connection=redis, serializer=JSONSerializer)
    painter.succeed(painter.start(job["id"]))
    return a.json("GET", f"/v1/jobs/{job['id']}")


JOB_ROUTES = [
    ("GET", "/v1/jobs/{}"),
    ("GET", "/v1/jobs/{}?wait=0"),
    ("GET", "/v1/jobs/{}/events"),
    ("POST", "/v1/jobs/{}/cancel"),
    ("POST", "/v1/jobs/{}/retry"),
    ("DELETE", "/v1/jobs/{}"),
]


@pytest.mark.parametrize(("verb", "path"), JOB_ROUTES)
def test_another_s_job_answers_as_one_that_does_not_exist(tenants, painted_job, verb: str, path: str) -> None:
    a, b = tenants
    theirs, none = b.ask(verb, path.format(painted_job["id"])), b.ask(verb, path.format(NO_JOB))
    assert theirs[0] == none[0] == 404
    assert theirs[1].replace(painted_job["id"], NO_JOB) == none[1]
    assert a.ask("GET", f"/v1/jobs/{painted_job['id']}")[0] == 200


def test_every_route_of_a_job_is_looked_at(tenants) -> None:
    a, _ = tenants
    paths = a.json("GET", "/openapi.json")["paths"]
    of_jobs = {(verb.upper(), path) for path, verbs in paths.items() if "{job_id}" in path for verb in verbs}
    assert of_jobs == {(verb, path.partition("?")[0].replace("{}", "{job_id}")) for verb, path in JOB_ROUTES}


def test_another_s_image_answers_as_one_that_does_not_exist(tenants, painted_job) -> None:
    a, b = tenants
    image_id = painted_job["images"][0]["id"]
    theirs, none = b.ask("GET", f"/v1/images/{image_id}"), b.ask("GET", f"/v1/images/{NO_IMAGE}")
    assert theirs[0] == none[0] == 404
    assert theirs[1].replace(image_id, NO_IMAGE) == none[1]
    assert a.ask("GET", f"/v1/images/{image_id}")[0] == 200


def test_without_a_key_no_image_can_be_told_from_another(tenants, painted_job) -> None:
    a, _ = tenants
    replies = [a.client.get(f"/v1/images/{image_id}") for image_id in (painted_job["images"][0]["id"], NO_IMAGE)]
    assert [reply.status_code for reply in replies] == [401, 401]
    assert replies[0].text == replies[1].text


def test_a_signed_address_opens_its_picture_and_no_other(tenants, painted_job) -> None:
    a, _ = tenants
    url = painted_job["images"][0]["url"]
    assert a.client.get(url).headers["content-type"] == "image/png"
    other = url.replace(painted_job["images"][0]["id"], f"{painted_job['id']}-1")
    assert a.client.get(other).status_code == 401
    for spoilt in (url[:-1], url + "0", url.replace("expires=", "expires=9"), url.replace("signature=", "signature=é")):
        assert a.client.get(spoilt).status_code == 401
    assert a.client.post(url).status_code in (401, 405)


def test_a_signed_address_closes_after_an_hour() -> None:
    now = 1000.0
    signer = UrlSigner(b"secret", clock=lambda: now)
    expires, signature = (part.partition("=")[2] for part in signer.query(NO_IMAGE).split("&"))
    now += VALID_SECONDS - 1
    assert signer.opens(NO_IMAGE, expires, signature)
    now += 1
    assert not signer.opens(NO_IMAGE, expires, signature)
    assert not UrlSigner(b"other", clock=lambda: 1000.0).opens(NO_IMAGE, expires, signature)


def test_all_api_processes_sign_alike(settings: Settings, painted_job) -> None:
    with TestClient(create_app(settings)) as another:
        assert another.get(painted_job["images"][0]["url"]).status_code == 200


def test_each_sees_a_list_of_its_own(tenants, painted_job) -> None:
    a, b = tenants
    assert [job["id"] for job in a.json("GET", "/v1/jobs")["data"]] == [painted_job["id"]]
    assert b.json("GET", "/v1/jobs")["data"] == []
    assert (
        b.ask("GET", f"/v1/jobs?after={painted_job['id']}")[1].replace(painted_job["id"], NO_JOB)
        == (b.ask("GET", f"/v1/jobs?after={NO_JOB}")[1])
    )


def test_another_s_upload_answers_as_one_that_does_not_exist(tenants) -> None:
    a, b = tenants
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    upload = a.json("POST", "/v1/uploads", content=file.getvalue())["id"]
    for verb, path, body in (
        ("GET", "/v1/images/{}", None),
        ("DELETE", "/v1/uploads/{}", None),
        ("POST", "/v1/jobs", {"operation": "vary", "image": "{}"}),
    ):
        asked = [
            b.ask(verb, path.format(thing), json={**body, "image": thing} if body else None) for thing in (upload, NO_UPLOAD)
        ]
        assert asked[0][0] == asked[1][0]
        assert 400 <= asked[0][0] < 500
        assert asked[0][1].replace(upload, NO_UPLOAD) == asked[1][1]
    assert a.ask("GET", f"/v1/images/{upload}")[0] == 200
