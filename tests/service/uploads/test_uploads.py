"""`/v1/uploads`: kept under an id, looked at by the filter, its caller's alone."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from redis import Redis
from starlette.testclient import TestClient

from contract.keys import KeyRing
from contract.settings import Settings
from contract.store import ImageStore
from safety.picture_filter import PictureFilter, PictureVerdict
from service.app import create_app
from service.uploads.decode import Wish
from service.uploads.reader import PictureReader, Reading
from tests.service.uploads import pictures
from tests.service.uploads.pictures import file_of, halves, hole

PATH = "/v1/uploads"


@pytest.fixture
def unfiltered(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"picture_filter": False}))) as client:
        yield client


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "text/plain"])
def test_a_picture_in_a_form_is_kept_whatever_its_type_says(unfiltered: TestClient, kind: str) -> None:
    reply = unfiltered.post(PATH, files={"image": ("holiday.exe", file_of(halves(), "JPEG"), kind)})
    assert (reply.status_code, reply.json()["width"], reply.json()["cropped"], reply.json()["mask"]) == (201, 64, False, None)
    stored = unfiltered.get(f"/v1/images/{reply.json()['id']}")
    assert (stored.status_code, stored.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(stored.content)).size == (64, 64)


def test_a_picture_as_the_whole_body_is_kept(unfiltered: TestClient) -> None:
    reply = unfiltered.post(PATH, content=file_of(halves()), headers={"content-type": "image/png"})
    assert reply.status_code == 201


def test_a_transparent_picture_brings_its_mask(unfiltered: TestClient, settings: Settings) -> None:
    reply = unfiltered.post(PATH, files={"image": file_of(hole())}).json()
    mask = np.asarray(Image.open(io.BytesIO(ImageStore.open(settings).get(reply["mask"]).bytes)))
    assert (mask[:, :32] == 255).all()


def test_a_mask_is_kept_as_one(unfiltered: TestClient, settings: Settings) -> None:
    reply = unfiltered.post(PATH, files={"image": file_of(hole())}, data={"purpose": "mask"}).json()
    assert Image.open(io.BytesIO(ImageStore.open(settings).get(reply["id"]).bytes)).mode == "L"


def test_nothing_of_the_file_but_its_pixels_is_kept(unfiltered: TestClient, settings: Settings) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    reply = unfiltered.post(PATH, files={"image": file_of(halves(), "JPEG", exif=exif) + b"<script>"}).json()
    stored = ImageStore.open(settings).get(reply["id"]).bytes
    assert b"where I live" not in stored
    assert b"<script>" not in stored


@pytest.mark.parametrize(
    ("request_parts", "code", "param"),
    [
        ({"files": {"image": b"nonsense"}}, "invalid_image", "image"),
        ({"content": b"", "headers": {"content-type": "image/png"}}, "invalid_image", "image"),
        ({"files": {"photo": file_of(halves())}}, "invalid_value", "image"),
        ({"files": [("image", file_of(halves()))] * 2}, "invalid_value", "image"),
        ({"files": {"image": file_of(halves())}, "data": {"purpose": "fun"}}, "invalid_value", "purpose"),
        ({"files": {"image": file_of(halves())}, "data": {"purpose": "mask"}}, "invalid_mask", "image"),
        ({"files": [("image", b"x")] * 100}, "invalid_form", None),
        ({"files": {"image": b"x"}, "data": {str(number): "x" for number in range(100)}}, "invalid_form", None),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, "invalid_form", None),
        ({"content": b"nonsense", "headers": {"content-type": "multipart/form-data; boundary=x"}}, "invalid_form", None),
    ],
    ids=lambda case: str(case)[:30],
)
def test_a_bad_upload_is_refused(unfiltered: TestClient, redis: Redis, request_parts: dict, code: str, param: str) -> None:
    reply = unfiltered.post(PATH, **request_parts)
    assert (reply.status_code, reply.json()["error"]["code"], reply.json()["error"]["param"]) == (400, code, param)
    assert redis.keys("unclip:upload:*") == []


def test_another_key_s_pictures_are_not_kept_waiting_by_one_s_bombs(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, read_before_the_other = PictureReader.read_in_child, list[bytes]()
    begun, over = threading.Event(), threading.Event()

    def read(self: PictureReader, data: bytes, wish: Wish, param: str) -> Reading:
        if data.startswith(b"bomb") and not over.is_set():
            read_before_the_other.append(data)
            begun.set()
            over.wait(20)
        return really(self, data, wish, param)

    monkeypatch.setattr(PictureReader, "read_in_child", read)
    ring = KeyRing(redis)
    bomber, other = ({"Authorization": f"Bearer {ring.create(name).token}"} for name in ("bomber", "other"))
    app = create_app(settings.model_copy(update={"picture_filter": False}))
    with TestClient(app) as client, ThreadPoolExecutor(4) as callers:
        bombs = [callers.submit(client.post, PATH, files={"image": b"bomb"}, headers=bomber) for _ in range(4)]
        assert begun.wait(10)
        reply = client.post(PATH, files={"image": file_of(halves())}, headers=other)
        over.set()
        assert (reply.status_code, read_before_the_other) == (201, [b"bomb"])
        assert [bomb.result().status_code for bomb in bombs] == [400] * 4


def test_a_file_over_the_limit_is_refused(settings: Settings) -> None:
    few = settings.model_copy(update={"picture_filter": False, "max_upload_bytes": 1000})
    with TestClient(create_app(few)) as client:
        reply = client.post(PATH, files={"image": bytes(1001)})
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_image")
        whole = client.post(PATH, content=bytes(2**20 + 2001), headers={"content-type": "image/png"})
        assert (whole.status_code, whole.json()["error"]["code"]) == (413, "body_too_large")


def test_a_picture_that_the_filter_refuses_is_not_kept(
    client: TestClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PictureFilter, "check", lambda self, seen: [PictureVerdict(0.93, False) for _ in seen])
    reply = client.post(PATH, files={"image": file_of(halves())})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "moderation_blocked", "image")
    assert error["moderation_details"] == {"moderation_stage": "input", "categories": ["sexual"], "scores": {"sexual": 0.93}}
    assert redis.keys("unclip:upload:*") == []


def test_a_filter_that_breaks_lets_nothing_in(client: TestClient, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PictureFilter, "load", lambda *_: 1 / 0)
    reply = client.post(PATH, files={"image": file_of(halves())})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "filter_unavailable")
    assert redis.keys("unclip:upload:*") == []


def test_a_harmless_picture_passes_the_filter_itself(client: TestClient) -> None:
    assert client.post(PATH, files={"image": file_of(halves())}).status_code == 201


def test_a_deleted_upload_is_gone_with_its_mask(unfiltered: TestClient, settings: Settings) -> None:
    kept = unfiltered.post(PATH, files={"image": file_of(hole())}).json()
    assert unfiltered.delete(f"{PATH}/{kept['id']}").status_code == 204
    for thing_id in (kept["id"], kept["mask"]):
        assert unfiltered.get(f"/v1/images/{thing_id}").status_code == 404
    again = unfiltered.delete(f"{PATH}/{kept['id']}")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "image_not_found")


def test_others_are_served_while_bombs_are_read(unfiltered: TestClient) -> None:
    bomb = pictures.text_bomb()
    done = threading.Event()

    def upload() -> None:
        for _ in range(3):
            unfiltered.post(PATH, files={"image": bomb})
        done.set()

    thread = threading.Thread(target=upload)
    thread.start()
    served = 0
    while not done.is_set():
        assert unfiltered.get("/v1/models").status_code == 200
        served += not done.is_set()
    thread.join()
    # Read in the API's own process, each bomb would hold up everybody: three answers at most, one before each.
    assert served > 3
