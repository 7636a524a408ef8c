"""From pixels to stored files."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from contract.errors import ImageNotFound, StoreDown
from contract.record import JobFault, JobResult
from contract.store import ImageStore, image_id
from tests.workers.plain import make_spec
from workers.engine import Drawn, Order, Product
from workers.picture_check import no_check
from workers.publish import Publisher, encode

JOB_ID = "0123456789abcdef0123456789abcdef"


def drawn(pictures: int = 1, side: int = 256, size: str = "256x256", seconds_left: float = 60) -> Drawn:
    spec = make_spec(n=pictures, size=size, seed=2**32 - 1)
    pixels = np.random.default_rng(1).integers(0, 256, (pictures, side, side, 3)).astype(np.uint8)
    products = [Product(each) for each in pixels]
    return Drawn(Order(JOB_ID, spec, time.monotonic() + seconds_left), products, {"decoder": 1.5}, truncated_tokens=3)


class Inbox:
    """Waits for what a publisher has to say."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.outcome: JobResult | JobFault | None = None
        self.calls = 0

    def __call__(self, job_id: str, outcome: JobResult | JobFault) -> None:
        assert job_id == JOB_ID
        self.outcome = outcome
        self.calls += 1
        self.arrived.set()

    def wait(self) -> JobResult | JobFault | None:
        assert self.arrived.wait(10)
        return self.outcome


class Failing:
    """A real store behind an outage that ends after some puts."""

    def __init__(self, store: ImageStore, puts_down: float) -> None:
        self.store = store
        self.puts_down = puts_down
        self.delete_job = store.delete_job

    def put(self, image_id: str, data: bytes, content_type: str) -> None:
        self.puts_down -= 1
        if self.puts_down >= 0:
            raise StoreDown("unplugged")
        self.store.put(image_id, data, content_type)


@pytest.fixture
def store(settings) -> ImageStore:
    return ImageStore.open(settings)


@pytest.fixture
def publisher(store) -> Iterator[Publisher]:
    publisher = Publisher(store, no_check)
    yield publisher
    publisher.close()


def test_a_native_picture_is_stored_exactly(publisher, store):
    inbox, job = Inbox(), drawn()
    publisher.publish(job, inbox)
    [image] = inbox.wait().images
    with Image.open(io.BytesIO(store.get(image.id).bytes)) as png:
        assert np.array_equal(np.asarray(png), job.pictures[0])


def test_the_result_says_what_was_stored(publisher, store):
    inbox = Inbox()
    publisher.publish(drawn(pictures=2, side=64), inbox)
    result = inbox.wait()
    assert [(image.id, image.index, image.seed) for image in result.images] == [
        (f"{JOB_ID}-0", 0, 2**32 - 1),
        (f"{JOB_ID}-1", 1, 0),
    ]
    assert all((image.width, image.height, image.content_type) == (256, 256, "image/png") for image in result.images)
    assert [image.bytes for image in result.images] == [len(store.get(image.id).bytes) for image in result.images]
    assert (result.native_size, result.truncated_tokens) == (64, 3)
    assert set(result.timings) == {"decoder", "publish"}


def test_success_is_told_once_and_only_after_every_picture_is_readable(store):
    class Slow:
        delete_job = store.delete_job

        def put(self, image_id: str, data: bytes, content_type: str) -> None:
            time.sleep(0.02)
            store.put(image_id, data, content_type)

    inbox, publisher = Inbox(), Publisher(Slow(), no_check)
    publisher.publish(drawn(pictures=5, side=8), inbox)
    result = inbox.wait()
    assert [store.get(image.id).bytes[:4] for image in result.images] == [b"\x89PNG"] * 5
    publisher.close()
    assert inbox.calls == 1


@pytest.mark.parametrize(("size", "side"), [("512x512", 512), ("1024x1024", 1024)])
def test_a_larger_picture_is_resampled_by_lanczos(size, side):
    picture = drawn(side=256).pictures[0]
    with Image.open(io.BytesIO(encode(picture, side, "png", 100))) as png:
        expected = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
        assert np.array_equal(np.asarray(png), np.asarray(expected))


def test_a_smaller_picture_is_averaged():
    picture = np.zeros((1024, 1024, 3), np.uint8)
    picture[::2, ::2] = 200
    with Image.open(io.BytesIO(encode(picture, 512, "png", 100))) as png:
        assert np.array_equal(np.asarray(png), np.full((512, 512, 3), 50))


def test_a_picture_carries_no_text_where_none_is_wanted(publisher, store):
    inbox, job = Inbox(), drawn()
    publisher.publish(replace(job, order=replace(job.order, spec=make_spec(metadata=False))), inbox)
    with Image.open(io.BytesIO(store.get(inbox.wait().images[0].id).bytes)) as png:
        png.load()
        assert png.info == {}


def test_a_store_that_comes_back_gets_its_picture(store):
    inbox, publisher = Inbox(), Publisher(Failing(store, puts_down=2), no_check)
    publisher.publish(drawn(side=8), inbox)
    assert store.get(inbox.wait().images[0].id).bytes.startswith(b"\x89PNG")
    publisher.close()


def test_a_store_that_stays_away_fails_the_job_at_its_deadline(store):
    inbox, publisher = Inbox(), Publisher(Failing(store, puts_down=float("inf")), no_check)
    publisher.publish(drawn(side=8, seconds_left=0.3), inbox)
    assert inbox.wait().code == "store_unavailable"
    publisher.close()


def test_a_stopping_publisher_lets_go_without_a_word(store):
    inbox, publisher = Inbox(), Publisher(Failing(store, puts_down=float("inf")), no_check)
    publisher.publish(drawn(side=8), inbox)
    publisher.close()
    assert inbox.calls == 0


def test_a_job_discarded_while_its_pictures_are_put_leaves_none(store):
    class Gate:
        """A real store whose puts wait."""

        delete_job = store.delete_job

        def __init__(self) -> None:
            self.has_begun, self.is_open = threading.Event(), threading.Event()

        def put(self, image_id: str, data: bytes, content_type: str) -> None:
            self.has_begun.set()
            assert self.is_open.wait(10)
            store.put(image_id, data, content_type)

    inbox, gate = Inbox(), Gate()
    publisher = Publisher(gate, no_check)
    publisher.publish(drawn(pictures=3, side=8), inbox)
    assert gate.has_begun.wait(10)
    publisher.discard(JOB_ID)
    gate.is_open.set()
    publisher._pool.shutdown()
    assert left_of(store) == []
    assert inbox.calls == 0


def test_a_job_discarded_after_its_pictures_were_put_leaves_none(publisher, store):
    inbox = Inbox()
    publisher.publish(drawn(pictures=2, side=8), inbox)
    inbox.wait()
    publisher.discard(JOB_ID)
    publisher._pool.shutdown()
    assert left_of(store) == []


def test_discarding_what_a_store_that_is_away_holds_harms_nobody(store):
    class Away:
        put = store.put

        def delete(self, image_id: str) -> None:
            raise StoreDown("unplugged")

    inbox, publisher = Inbox(), Publisher(Away(), no_check)
    publisher.discard(JOB_ID)
    publisher.publish(drawn(side=8), inbox)
    assert len(inbox.wait().images) == 1
    publisher.close()


def left_of(store: ImageStore, most: int = 10) -> list[int]:
    found = []
    for index in range(most):
        with contextlib.suppress(ImageNotFound):
            store.get(image_id(JOB_ID, index))
            found.append(index)
    return found


def test_a_fault_nobody_foresaw_fails_the_job(store):
    class Broken:
        delete_job = store.delete_job

        def put(self, image_id: str, data: bytes, content_type: str) -> None:
            raise ZeroDivisionError

    inbox, publisher = Inbox(), Publisher(Broken(), no_check)
    publisher.publish(drawn(side=8), inbox)
    assert inbox.wait().code == "publish_failure"
    publisher.close()
