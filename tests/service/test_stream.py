"""Streamed drawings, as the official client reads them."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from redis import Redis
from rq.job import Job

from contract.previews import post_preview
from contract.queue import JobQueue
from contract.settings import Settings
from contract.states import JobState
from service.app import create_app
from tests.conftest import wait_for_port
from tests.service.painter import Painter, painted
from tests.service.uploads.pictures import file_of, hole

PREVIEW = painted(3, 64)


@pytest.fixture
def client(settings: Settings) -> Iterator[openai.OpenAI]:
    """The official client on a real server: a test client would hold the stream back to its end."""
    app = create_app(settings.model_copy(update={"picture_filter": False}))
    server = uvicorn.Server(uvicorn.Config(app, port=settings.port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for_port(settings.port)
    with openai.OpenAI(base_url=f"http://127.0.0.1:{settings.port}/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client
    server.should_exit = True
    thread.join(timeout=10)


def begun(painter: Painter) -> Job:
    deadline = time.monotonic() + 10
    while not painter.queue.count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return painter.start()


def draw(client: openai.OpenAI, **fields: Any) -> Any:
    return iter(client.images.generate(**{"prompt": "a red apple", "size": "256x256", "stream": True, **fields}))


def show(painter: Painter, redis: Redis, job: Job, fraction: float, stage: str = "decoder") -> None:
    painter.tell_progress(job, stage=stage, step=1, steps=9, fraction=fraction)
    post_preview(redis, job.id, PREVIEW, stage)


def test_what_the_decoder_expects_comes_early_and_the_picture_last(
    client: openai.OpenAI, painter: Painter, redis: Redis
) -> None:
    events = draw(client, partial_images=2, extra_body={"seed": 7})
    job = begun(painter)
    show(painter, redis, job, 0.1)
    first = next(events)
    assert (first.type, first.partial_image_index, first.size, first.stage) == (
        *("image_generation.partial_image", 0, "64x64", "decoder"),
    )
    assert base64.b64decode(first.b64_json) == PREVIEW
    show(painter, redis, job, 0.5)
    assert next(events).partial_image_index == 1
    show(painter, redis, job, 0.9)  # asked for two
    painter.succeed(job)
    (last,) = list(events)
    assert (last.type, last.size, last.output_format, last.image_index, last.seed) == (
        *("image_generation.completed", "256x256", "png", 0, 7),
    )
    assert base64.b64decode(last.b64_json) == painted(7, 256)


def test_without_partial_images_only_the_pictures_come(client: openai.OpenAI, painter: Painter, redis: Redis) -> None:
    events = draw(client, n=2)
    job = begun(painter)
    assert not job.kwargs["spec"]["previews"]
    show(painter, redis, job, 0.5)
    painter.succeed(job)
    assert [(event.type, event.image_index) for event in events] == [("image_generation.completed", index) for index in (0, 1)]


def test_a_stream_read_to_its_end_was_answered_so_that_the_same_again_is_another_job(
    client: openai.OpenAI, painter: Painter
) -> None:
    with painter.at_work():
        (first,), (second,) = (list(draw(client, extra_headers={"x-stainless-retry-count": retry})) for retry in "01")
    assert first.job_id != second.job_id


def test_an_edit_is_streamed_under_its_own_name(client: openai.OpenAI, painter: Painter) -> None:
    picture = ("a.png", file_of(hole()))
    with painter.at_work():
        events = list(client.images.edit(image=picture, prompt="a hat", size="256x256", stream=True, partial_images=1))
    assert [event.type for event in events] == ["image_edit.completed"]


def test_a_failure_is_raised_in_the_middle(client: openai.OpenAI, painter: Painter) -> None:
    events = draw(client)
    painter.fail(begun(painter), {"code": "row_failed", "message": "the decoder met a value that is not a number"})
    with pytest.raises(openai.APIError, match="not a number") as caught:
        list(events)
    assert caught.value.code == "job_failed"


def test_silence_is_filled_with_comments(client: openai.OpenAI, painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.openai.stream.KEEP_ALIVE_SECONDS", 0.05)
    with client.images.with_streaming_response.generate(prompt="a red apple", stream=True) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = reply.iter_lines()
        assert [next(lines) for _ in range(5)][2:5:2] == [": still there", ": still there"]
    painter.fail(begun(painter), {"code": "x", "message": "y"})


@pytest.mark.parametrize(("policy", "state"), [("cancel", JobState.CANCELED), ("detach", JobState.QUEUED)])
def test_who_hangs_up_decides_what_becomes_of_the_job(
    client: openai.OpenAI, painter: Painter, queue: JobQueue, policy: str, state: JobState
) -> None:
    with client.images.with_streaming_response.generate(
        prompt="a red apple", stream=True, extra_body={"on_disconnect": policy}
    ) as reply:
        next(reply.iter_lines())
        (job_id,) = painter.queue.job_ids
    deadline = time.monotonic() + 30  # a busy machine hears late that somebody hung up
    while queue.fetch(job_id).state is not state and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    assert queue.fetch(job_id).state is state


def test_that_a_reply_may_be_a_stream_is_declared(client: openai.OpenAI) -> None:
    paths = httpx.get(str(client.base_url).replace("/v1/", "/openapi.json"), timeout=20).json()["paths"]
    for endpoint in ("generations", "edits", "variations"):
        declared = paths[f"/v1/images/{endpoint}"]["post"]["responses"]["200"]["content"]
        assert declared.keys() == {"application/json", "text/event-stream"}


def test_partial_images_without_a_stream_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="a red apple", extra_body={"partial_images": 2})
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "partial_images")
