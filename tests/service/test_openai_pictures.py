"""Edits and variations as OpenAI's clients send them: forms and JSON, files and references."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from httpx2 import Response
from PIL import Image
from starlette.testclient import TestClient

from contract.queue import JobQueue
from contract.settings import Settings
from contract.spec import AnySpec
from contract.store import ImageStore
from service.app import create_app
from tests.service.painter import Painter
from tests.service.uploads.pictures import file_of, halves, hole

EDITS, VARIATIONS = "/v1/images/edits", "/v1/images/variations"


@pytest.fixture
def plain(settings: Settings) -> Settings:
    return settings.model_copy(update={"picture_filter": False, "sync_wait_seconds": 20})


@pytest.fixture
def client(plain: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(plain)) as client:
        yield client


def spec_of(reply: Response, queue: JobQueue) -> AnySpec:
    assert reply.status_code == 200, reply.text
    return queue.fetch(reply.json()["job_id"]).spec


def pixels(settings: Settings, image_id: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(ImageStore.open(settings).get(image_id).bytes)))


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


@pytest.mark.parametrize("name", ["image", "image[]"])
@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream"])
def test_a_variation_of_a_file(client: TestClient, painter: Painter, queue: JobQueue, name: str, kind: str) -> None:
    with painter.at_work():
        reply = client.post(VARIATIONS, files={name: ("upload", file_of(halves()), kind)}, data={"n": "2", "eta": "0.25"})
    spec = spec_of(reply, queue)
    assert (spec.operation, spec.n, spec.eta, spec.size, len(reply.json()["data"])) == ("vary", 2, 0.25, "1024x1024", 2)


def test_a_variation_in_json(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    with painter.at_work():
        body = {"image": data_url(file_of(halves())), "size": "256x256", "response_format": "b64_json"}
        reply = client.post(VARIATIONS, json=body)
    assert spec_of(reply, queue).operation == "vary"
    assert base64.b64decode(reply.json()["data"][0]["b64_json"]).startswith(b"\x89PNG")


def test_an_edit_with_a_mask(client: TestClient, painter: Painter, queue: JobQueue, plain: Settings) -> None:
    files = {"image": file_of(halves(), "JPEG"), "mask": file_of(hole())}
    with painter.at_work():
        reply = client.post(EDITS, files=files, data={"prompt": "a hat", "seed": "7", "size": "256x256", "steps": "12"})
    spec = spec_of(reply, queue)
    assert (spec.operation, spec.prompt, spec.seed, spec.size, spec.steps) == ("inpaint", "a hat", 7, "256x256", 12)
    mask = pixels(plain, spec.mask.id)
    assert (mask[:, :32] == 255).all()
    assert (mask[:, 32:] == 0).all()


def test_a_transparent_picture_is_its_own_mask(client: TestClient, painter: Painter, queue: JobQueue, plain: Settings) -> None:
    with painter.at_work():
        reply = client.post(EDITS, files={"image": file_of(hole())}, data={"prompt": "a hat"})
    spec = spec_of(reply, queue)
    assert spec.operation == "inpaint"
    assert (pixels(plain, spec.mask.id)[:, :32] == 255).all()


def test_without_a_mask_the_words_edit_the_picture(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    fields = {"prompt": "a green apple", "source_prompt": "a red apple", "theta": "0.5", "input_fidelity": "high"}
    with painter.at_work():
        reply = client.post(EDITS, files={"image": file_of(halves())}, data=fields)
    spec = spec_of(reply, queue)
    assert (spec.operation, spec.source_prompt, spec.theta) == ("edit", "a red apple", 0.5)


@pytest.mark.parametrize("shape", ["image", "images", "list"])
def test_an_edit_in_json(client: TestClient, painter: Painter, queue: JobQueue, shape: str) -> None:
    picture, mask = data_url(file_of(halves())), data_url(file_of(hole()))
    shapes: dict[str, dict[str, Any]] = {
        "image": {"image": picture},
        "images": {"images": [{"image_url": picture}]},
        "list": {"image": [picture]},
    }
    with painter.at_work():
        reply = client.post(EDITS, json=shapes[shape] | {"mask": {"image_url": mask}, "prompt": "a hat", "n": 2})
    spec = spec_of(reply, queue)
    assert (spec.operation, spec.n, spec.mask.kind) == ("inpaint", 2, "image")


def test_boxes_and_words_are_masks_too(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    picture = data_url(file_of(halves()))
    with painter.at_work():
        boxes = client.post(EDITS, json={"image": picture, "mask_boxes": [[0, 0, 0.5, 1]], "prompt": "a hat"})
        words = client.post(EDITS, files={"image": file_of(halves())}, data={"mask_prompt": "the head", "prompt": "a hat"})
    assert spec_of(boxes, queue).mask.boxes == ((0.0, 0.0, 0.5, 1.0),)
    assert spec_of(words, queue).mask.prompt == "the head"


def test_a_picture_that_is_not_square_is_told_of(client: TestClient, painter: Painter) -> None:
    with painter.at_work():
        reply = client.post(VARIATIONS, files={"image": file_of(halves().resize((96, 64)))})
    assert [warning["code"] for warning in reply.json()["warnings"]] == ["image_cropped"]


GOOD = file_of(halves())
BAD: list[tuple[str, dict[str, Any], int, str, str | None]] = [
    (EDITS, {"files": {"image": GOOD}}, 400, "invalid_value", "prompt"),
    (EDITS, {"data": {"prompt": "a hat"}, "files": {"nothing": b""}}, 400, "unsupported_parameter", "nothing"),
    (EDITS, {"json": {"prompt": "a hat"}}, 400, "invalid_value", "image"),
    (EDITS, {"json": []}, 400, "invalid_json", None),
    (EDITS, {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "invalid_json", None),
    (EDITS, {"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type", None),
    (EDITS, {"files": [("image[]", GOOD)] * 2, "data": {"prompt": "a"}}, 400, "unsupported_parameter", "image"),
    (EDITS, {"files": {"image": GOOD, "mask": GOOD}, "data": {"prompt": "a"}}, 400, "invalid_mask", "mask"),
    (EDITS, {"files": {"image": GOOD, "mask": file_of(hole(32))}, "data": {"prompt": "a"}}, 400, "invalid_mask", "mask"),
    (
        EDITS,
        {"files": {"image": GOOD, "mask": file_of(Image.new("RGBA", (64, 64), "red"))}, "data": {"prompt": "a"}},
        *(400, "invalid_mask", "mask"),
    ),
    (EDITS, {"files": {"image": b"no picture"}, "data": {"prompt": "a"}}, 400, "invalid_image", "image"),
    (EDITS, {"files": {"image": GOOD}, "data": {"prompt": "a", "n": "11"}}, 400, "invalid_value", "n"),
    (EDITS, {"files": {"image": GOOD}, "data": {"prompt": "a", "n": "two"}}, 400, "invalid_value", "n"),
    (
        EDITS,
        {"files": {"image": GOOD}, "data": {"prompt": "a", "canvas": "2", "theta": "1"}},
        400,
        "unsupported_parameter",
        "theta",
    ),
    (
        EDITS,
        {"files": {"image": GOOD}, "data": {"prompt": "a", "background": "transparent"}},
        400,
        "unsupported_parameter",
        "background",
    ),
    (EDITS, {"files": {"image": GOOD}, "data": {"prompt": "hardcore porn"}}, 400, "moderation_blocked", "prompt"),
    (EDITS, {"files": {"image": GOOD}, "data": {"prompt": "a", "seeed": "7"}}, 400, "unknown_parameter", "seeed"),
    (VARIATIONS, {"files": {"image": GOOD}, "data": {"size": "300x300"}}, 400, "unsupported_size", "size"),
    (VARIATIONS, {"files": {"image": GOOD}, "data": {"model": "dall-e-9"}}, 400, "model_not_found", "model"),
    (VARIATIONS, {"files": {"image": GOOD}, "data": {"prompt": "a"}}, 400, "unknown_parameter", "prompt"),
    (VARIATIONS, {"json": {"image": f"up_{'0' * 32}"}}, 404, "image_not_found", "image"),
]


@pytest.mark.parametrize(("path", "sent", "status", "code", "param"), BAD, ids=lambda case: str(case)[:40])
def test_a_wrong_request_is_refused(
    client: TestClient, queue: JobQueue, path: str, sent: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    reply = client.post(path, **sent)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (status, code, param)
    assert queue.depth() == 0


@pytest.mark.parametrize("path", [EDITS, VARIATIONS])
def test_another_method_is_not_allowed(client: TestClient, path: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply.json()["error"]["code"], reply.headers["allow"]) == (405, "method_not_allowed", "POST")


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_what_openai_s_client_sends_is_taken(client: TestClient, painter: Painter, queue: JobQueue) -> None:
    official = openai.OpenAI(base_url="http://testserver/v1", api_key="unused", max_retries=0, http_client=client)  # type: ignore[arg-type]
    with painter.at_work():
        edited = official.images.edit(
            image=("a.png", file_of(halves())),
            mask=("mask.png", file_of(hole())),
            prompt="a hat",
            model="dall-e-2",
            size="256x256",
            response_format="url",
            extra_body={"seed": 7, "previews": False},
        )
        listed = official.images.edit(image=[file_of(halves())], prompt="a hat", model="gpt-image-1", size="256x256")
        varied = official.images.create_variation(image=io.BytesIO(file_of(halves())), n=2, size="256x256")
    assert edited.data
    assert edited.data[0].url
    assert listed.data
    assert listed.data[0].b64_json
    assert varied.data
    assert len(varied.data) == 2
