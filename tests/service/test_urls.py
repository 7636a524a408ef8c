"""Addresses of pictures in a bucket that callers reach themselves: signed for one picture and one hour, on a real S3 server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import ValidationError
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from starlette.testclient import TestClient

from contract.keys import KeyRing
from contract.settings import Settings
from contract.store import Bucket, image_id
from service.app import create_app
from tests.service.painter import Painter, painted


@pytest.fixture
def public(s3_settings: Settings) -> Settings:
    """Pictures in a bucket that callers can reach."""
    return s3_settings.model_copy(update={"storage_public_endpoint_url": s3_settings.storage_endpoint_url})


@pytest.fixture
def api(public: Settings, redis: Redis) -> Iterator[tuple[TestClient, str, str]]:
    """The API, with the tokens of two tenants."""
    keys = KeyRing(redis)
    tokens = keys.create("a").token, keys.create("b").token
    with TestClient(create_app(public)) as client:
        yield client, *tokens


def drawn(api: tuple[TestClient, str, str], redis: Redis, settings: Settings, n: int = 1) -> dict[str, Any]:
    """A finished job of the first tenant."""
    client, token, _ = api
    headers = {"Authorization": f"Bearer {token}"}
    body = {"operation": "generate", "prompt": "a red apple", "seed": 7, "size": "256x256", "n": n}
    job_id = client.post("/v1/jobs", json=body, headers=headers).json()["id"]
    painter = Painter(redis, settings)
    painter.queue = Queue(redis.hget(f"rq:job:{job_id}", "origin").decode(), connection=redis, serializer=JSONSerializer)
    painter.succeed(painter.start(job_id))
    found: dict[str, Any] = client.get(f"/v1/jobs/{job_id}", headers=headers).json()
    return found


def test_a_picture_is_fetched_from_the_bucket_for_an_hour(api, redis: Redis, public: Settings) -> None:
    job = drawn(api, redis, public)
    (picture,) = job["images"]
    assert picture["url"].startswith(f"{public.storage_endpoint_url}/pictures/")
    assert parse_qs(urlsplit(picture["url"]).query)["X-Amz-Expires"] == ["3600"]
    reply = httpx.get(picture["url"])
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "image/png", painted(7, 256))
    # Signed when it is read: nothing of it lies in the record.
    assert not any(b"X-Amz" in value for value in redis.hgetall(f"rq:job:{job['id']}").values())


def test_an_address_opens_one_picture_alone_and_only_to_be_read(api, redis: Redis, public: Settings) -> None:
    first, second = (picture["url"] for picture in drawn(api, redis, public, n=2)["images"])
    path, _, signature = first.partition("?")
    other = second.partition("?")[0]
    assert httpx.get(path).status_code in (400, 403)  # 400 is rclone's word, where Amazon's is 403
    assert httpx.get(f"{other}?{signature}").status_code == 403
    assert httpx.put(first, content=b"x").status_code == 403
    assert httpx.delete(first).status_code == 403
    assert httpx.get(first).status_code == 200


def test_an_address_whose_time_is_over_opens_nothing(api, redis: Redis, public: Settings) -> None:
    bucket = Bucket.open(public)
    assert bucket is not None
    address = bucket.signed_address(image_id(drawn(api, redis, public)["id"], 0), valid_seconds=1)
    deadline = time.monotonic() + 10
    while httpx.get(address).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    refusal = httpx.get(address)
    assert refusal.status_code in (400, 403)
    assert "request time" in refusal.text  # in words of its own: too far from now


def test_an_address_given_back_is_the_picture_to_its_owner_and_none_to_others(api, redis: Redis, public: Settings) -> None:
    client, mine, other = api
    body = {"operation": "upscale", "image": drawn(api, redis, public)["images"][0]["url"], "size": "512x512"}
    asked = [client.post("/v1/jobs", json=body, headers={"Authorization": f"Bearer {token}"}) for token in (mine, other)]
    assert [reply.status_code for reply in asked] == [202, 404]


def test_a_bucket_without_keys_cannot_be_signed_for(public: Settings) -> None:
    with pytest.raises(ValidationError, match="PUBLIC_ENDPOINT_URL needs"):
        Settings(storage_url="s3://pictures", storage_public_endpoint_url="https://s3.example")
