"""The API on a real Valkey and a real folder, in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis
from starlette.testclient import TestClient

from contract.queue import JobQueue
from contract.settings import Settings
from service.app import create_app
from tests.service.painter import Painter


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    # Where a request waits that should have been refused, the test is to fail soon.
    with TestClient(create_app(settings.model_copy(update={"sync_wait_seconds": 10}))) as client:
        yield client


@pytest.fixture
def queue(redis: Redis, settings: Settings) -> JobQueue:
    return JobQueue(redis, settings)


@pytest.fixture
def painter(redis: Redis, settings: Settings) -> Painter:
    return Painter(redis, settings)
