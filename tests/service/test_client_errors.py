"""The official asynchronous client: edits, variations, and every class of its errors on all three endpoints that draw."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import openai
import pytest
import uvicorn
from openai import AsyncOpenAI
from PIL import Image
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from contract.keys import KeyRing, NewKey, Scope
from contract.lanes import queue_name
from contract.queue import JobQueue
from contract.settings import Settings
from service.app import create_app
from tests.conftest import wait_for_port
from tests.service.painter import Painter
from tests.service.uploads.pictures import file_of, hole

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

PICTURE = ("a.png", file_of(hole()))
DRAW: tuple[Callable[..., Any], ...] = (
    lambda client, **fields: client.images.generate(**{"prompt": "a hat", "size": "256x256", **fields}),
    lambda client, **fields: client.images.edit(**{"image": PICTURE, "prompt": "a hat", "size": "256x256", **fields}),
    lambda client, **fields: client.images.create_variation(**{"image": PICTURE, "size": "256x256", **fields}),
)


class Canceler(Painter):
    """Cancels what waits, as somebody else might."""

    def start(self, job_id: str | None = None) -> Job:
        """Look at a job and leave it where it is."""
        return Job.fetch(job_id or self.queue.job_ids[0], connection=self.redis, serializer=JSONSerializer)

    def cancel(self, job: Job) -> None:
        """Cancel it."""
        JobQueue(self.redis, Settings()).cancel(job.id)


class Service:
    """A real server that asks for keys."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self.settings = settings
        self.redis = redis
        self.url = f"http://127.0.0.1:{settings.port}/v1"

    def key(self, scopes: tuple[Scope, ...] = ("generate", "read"), rate: str | None = None) -> NewKey:
        return KeyRing(self.redis).create("client", scopes, rate=rate)

    def painter(self, key: NewKey, kind: type[Painter] = Painter) -> Painter:
        painter = kind(self.redis, self.settings)
        painter.queue = Queue(queue_name("interactive", key.key.id), connection=self.redis, serializer=JSONSerializer)
        return painter

    def ask(self, token: str, meanwhile: AbstractContextManager[None] | None = None, **how: Any) -> list[Any]:
        """What generations, edits and variations come to, asked at once. how: of the client, but `fields` of the requests."""
        fields = how.pop("fields", {})

        async def all_three() -> list[Any]:
            async with AsyncOpenAI(
                **{"base_url": self.url, "api_key": token, "max_retries": 0, "timeout": 20, **how}
            ) as client:
                return await asyncio.gather(*(draw(client, **fields) for draw in DRAW), return_exceptions=True)

        with meanwhile or nullcontext():
            return asyncio.run(all_three())


@pytest.fixture
def service(settings: Settings, redis: Redis) -> Iterator[Service]:
    settings = settings.model_copy(update={"picture_filter": False, "api_keys": "required", "sync_wait_seconds": 15})
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=settings.port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for_port(settings.port)
    yield Service(settings, redis)
    server.should_exit = True
    thread.join(timeout=10)


def assert_refused(found: list[Any], kind: type[openai.APIStatusError], status: int, code: str) -> None:
    told = [(type(error), getattr(error, "status_code", error), getattr(error, "code", None)) for error in found]
    assert told == [(kind, status, code)] * len(DRAW)
    assert all(error.request_id for error in found)


def test_pictures_come_from_all_three(service: Service) -> None:
    key = service.key()
    found = service.ask(key.token, service.painter(key).at_work(), fields={"response_format": "b64_json"})
    files = [base64.b64decode(picture.b64_json) for reply in found for picture in reply.data]
    assert [Image.open(io.BytesIO(file)).size for file in files] == [(256, 256)] * len(DRAW)


def test_refusals_are_the_client_s_own_errors(service: Service) -> None:
    token, bad = service.key().token, {"size": "300x300"}
    assert_refused(service.ask(token, fields=bad), openai.BadRequestError, 400, "unsupported_size")
    assert_refused(service.ask("uk_nobody"), openai.AuthenticationError, 401, "invalid_api_key")
    assert_refused(service.ask(service.key(("read",)).token), openai.PermissionDeniedError, 403, "insufficient_scope")
    assert_refused(service.ask(token, base_url=f"{service.url}/none"), openai.NotFoundError, 404, "route_not_found")
    hurried = service.key(rate="3/minute").token
    service.ask(hurried, fields=bad)
    assert_refused(service.ask(hurried), openai.RateLimitError, 429, "rate_limit_exceeded")


def test_a_key_used_for_another_request_cannot_be_processed(service: Service) -> None:
    key = service.key()
    client = openai.OpenAI(base_url=service.url, api_key=key.token, max_retries=0)
    with service.painter(key).at_work(), client:
        for name, draw in zip("abc", DRAW, strict=True):
            headers = {"Idempotency-Key": name}
            draw(client, extra_headers=headers)
            with pytest.raises(openai.UnprocessableEntityError) as caught:
                draw(client, extra_headers=headers, n=2)
            assert (caught.value.status_code, caught.value.code) == (422, "idempotency_key_reused")


def test_a_job_that_fails_or_is_canceled_meanwhile(service: Service) -> None:
    key = service.key()
    failing = service.painter(key).at_work("fail", error={"code": "row_failed", "message": "not a number"})
    assert_refused(service.ask(key.token, failing), openai.InternalServerError, 500, "job_failed")
    canceling = service.painter(key, Canceler).at_work("cancel")
    assert_refused(service.ask(key.token, canceling), openai.ConflictError, 409, "job_canceled")


def test_a_service_that_is_silent_or_away(service: Service, closed_port: int) -> None:
    token = service.key().token
    assert [type(error) for error in service.ask(token, timeout=0.5)] == [openai.APITimeoutError] * len(DRAW)
    away = service.ask(token, base_url=f"http://127.0.0.1:{closed_port}/v1")
    assert [type(error) for error in away] == [openai.APIConnectionError] * len(DRAW)
