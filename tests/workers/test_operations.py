"""Every operation through the queue, the store and the engine, on a tiny cascade."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.queue import JobQueue, queue_name
from contract.record import JobRecord
from contract.settings import Settings
from contract.spec import MAX_PICTURES, read_spec
from contract.states import JobState
from contract.store import ImageStore, new_upload_id
from tests.workers.conftest import RETENTION_SECONDS
from tests.workers.test_loop import wait
from workers.cascade import CascadeStages, load_cascade
from workers.clerk import Clerk, Pace
from workers.engine import Engine
from workers.inputs import Inputs
from workers.loop import Loop, StopRequest
from workers.pick import Budget
from workers.picture_check import no_check
from workers.publish import Publisher
from workers.recovery import Recovery
from workers.worker import EngineWorker

BUDGET = Budget(call_cost=100.0, patience_seconds=0.0, rows=MAX_PICTURES)
FIELDS = {"model": "tiny", "size": "256x256", "seed": 7, "steps": 2, "guidance_scale": 1.0, "upsample_steps": 1}
OF_PRIOR = {"prior_steps": 1, "prior_guidance_scale": 1.0}
PHOTO = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
TTL_SECONDS = 2


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CascadeStages]:
    import torch

    from tests.models.tiny import add_inpainting, write_tiny_model

    threads = torch.get_num_threads()
    folder = add_inpainting(write_tiny_model(tmp_path_factory.mktemp("tiny") / "model"))
    yield load_cascade(Settings(model_dir=folder, device="cpu", worker_threads=1))
    torch.set_num_threads(threads)


@pytest.fixture
def store(settings) -> ImageStore:
    return ImageStore.open(settings)


@pytest.fixture
def running(valkey, jobs, store, cascade) -> Iterator[None]:
    """A whole worker in a thread of this process."""
    worker = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
    worker.start()
    clerk = Clerk(worker, Recovery(worker.connection, TTL_SECONDS / 2), Pace.of(TTL_SECONDS), BUDGET.rows)
    stop, inputs = StopRequest(), Inputs(store, clerk.for_engine.put, clerk.end)
    thread = threading.Thread(target=Loop(Engine(cascade, BUDGET), clerk, Publisher(store, no_check), stop, 10, inputs).run)
    thread.start()
    yield
    stop.ask()
    thread.join(20)
    assert not thread.is_alive()
    worker.connection.close()


def upload(store: ImageStore, pixels: np.ndarray) -> str:
    upload_id, file = new_upload_id(), io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    store.put(upload_id, file.getvalue())
    return upload_id


def pixels_of(store: ImageStore, image_id: str) -> np.ndarray:
    with Image.open(io.BytesIO(store.get(image_id).bytes)) as image:
        return np.asarray(image.convert("RGB"))


class Desk:
    """Submits a job and waits for its end."""

    def __init__(self, jobs: JobQueue, store: ImageStore) -> None:
        self.jobs, self.store = jobs, store
        self.photo = {"kind": "image", "id": upload(store, PHOTO)}

    def job(self, operation: str, **fields: Any) -> JobRecord:
        spec = read_spec({"operation": operation, **FIELDS, **fields})
        return wait(self.jobs, self.jobs.submit(spec).id, seconds=60)

    def done(self, operation: str, **fields: Any) -> JobRecord:
        record = self.job(operation, **fields)
        assert (record.state, record.error) == (JobState.SUCCEEDED, None)
        return record

    def picture(self, record: JobRecord, index: int = 0) -> np.ndarray:
        return pixels_of(self.store, record.images[index].id)


@pytest.fixture
def desk(running, jobs, store) -> Desk:
    return Desk(jobs, store)


def test_every_operation_goes_the_whole_road(desk: Desk) -> None:
    encoded = desk.done("encode", source=desk.photo, inversion_steps=2)
    latent = {"kind": "latent", "id": encoded.images[0].latent_id}
    varied = desk.done("vary", source=latent, eta=0.0)
    assert np.array_equal(desk.picture(varied), desk.picture(encoded)), "eta 0 from the latent is what encoding drew back"
    varied = desk.done("vary", source=desk.photo, eta=0.6, n=2, inversion_steps=2)
    assert not np.array_equal(desk.picture(varied, 0), desk.picture(varied, 1))
    karlo = desk.done("vary", source=desk.photo, inversion="noise", strength=0.5)
    assert karlo.images[0].latent_id is not None
    upscaled = desk.done("upscale", source={"kind": "image", "id": upload(desk.store, PHOTO[:64, :64])})
    assert (upscaled.images[0].width, upscaled.images[0].latent_id) == (256, None)


def test_frames_come_with_their_places_and_as_one_file(desk: Desk) -> None:
    sources = [desk.photo, {"kind": "prompt", "prompt": "a cat"}]
    record = desk.done("interpolate", sources=sources, frames=3, animation="gif", inversion_steps=1, **OF_PRIOR)
    assert [image.at for image in record.images] == [0.0, 0.5, 1.0]
    assert {image.seed for image in record.images} == {7}
    with Image.open(io.BytesIO(desk.store.get(record.attachments["animation"].id).bytes)) as moving:
        assert (moving.format, moving.n_frames, moving.size) == ("GIF", 3, (256, 256))


def test_a_blend_weighs_its_sources(desk: Desk) -> None:
    sources = [{"kind": "prompt", "prompt": "a cat"}, {"kind": "prompt", "prompt": "a boat"}]
    only_cat = desk.done("interpolate", sources=sources, weights=[1.0, 0.0], **OF_PRIOR)
    both = desk.done("interpolate", sources=sources, weights=[1.0, 1.0], **OF_PRIOR)
    assert not np.array_equal(desk.picture(only_cat), desk.picture(both))
    refused = desk.job("interpolate", sources=sources, weights=[1.0], **OF_PRIOR)
    assert refused.error.code == "invalid_value"


def test_an_edit_says_what_it_took_its_source_to_show(desk: Desk) -> None:
    by_words = {"source": desk.photo, "prompt": "a cat", "inversion_steps": 1, "guidance_scale": 8.0, **OF_PRIOR}
    record = desk.done("edit", **by_words, theta=0.4, frames=2, animation="strip")
    assert [image.at for image in record.images] == [0.0, 0.4]
    assert record.source_prompt
    assert record.attachments["animation"].width == 512
    encoded = desk.done("encode", source=desk.photo, inversion_steps=1)
    assert np.array_equal(desk.picture(record), desk.picture(encoded)), "theta 0 comes back as it was, whatever the guidance"
    assert not np.array_equal(desk.picture(record, 1), desk.picture(encoded))
    told = desk.done("edit", **by_words, source_prompt="a dog")
    assert (told.source_prompt, told.images[0].at) == ("a dog", 0.5)


@pytest.mark.parametrize("size", ["256x256", "512x512"])
def test_pixels_outside_the_mask_are_returned_exactly(desk: Desk, size: str) -> None:
    side = int(size[:3])
    photo = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    source = {"kind": "image", "id": upload(desk.store, photo)}
    mask = {"kind": "boxes", "boxes": [[0.25, 0.25, 0.5, 0.75]]}
    record = desk.done("inpaint", source=source, mask=mask, prompt="a cat", size=size, **OF_PRIOR)
    drawn = desk.picture(record)
    hole = np.zeros((side, side), dtype=bool)
    hole[side // 4 : 3 * side // 4, side // 4 : side // 2] = True
    assert np.array_equal(drawn[~hole], photo[~hole])
    assert (drawn[hole] != photo[hole]).any(axis=1).mean() > 0.9


def test_a_mask_picture_says_where(desk: Desk) -> None:
    white = np.zeros((256, 256, 3), dtype=np.uint8)
    white[10:90, 20:60] = 255
    mask = {"kind": "image", "id": upload(desk.store, white)}
    drawn = desk.picture(desk.done("inpaint", source=desk.photo, mask=mask, prompt="a cat", **OF_PRIOR))
    assert np.array_equal(drawn[white[..., 0] == 0], PHOTO[white[..., 0] == 0])
    small = {"kind": "image", "id": upload(desk.store, white[:64, :64])}
    assert desk.job("inpaint", source=desk.photo, mask=small, prompt="a cat", **OF_PRIOR).error.code == "invalid_mask"
    black = {"kind": "image", "id": upload(desk.store, white * 0)}
    assert desk.job("inpaint", source=desk.photo, mask=black, prompt="a cat", **OF_PRIOR).error.code == "invalid_mask"


def test_outpainting_leaves_the_picture_in_the_middle(desk: Desk) -> None:
    small = PHOTO[:128, :128]
    source = {"kind": "image", "id": upload(desk.store, small)}
    mask = {"kind": "boxes", "boxes": [[0.0, 0.0, 0.01, 0.01]]}
    drawn = desk.picture(desk.done("inpaint", source=source, mask=mask, prompt="a cat", canvas=2.0, **OF_PRIOR))
    assert np.array_equal(drawn[66:192, 66:192], small[2:, 2:])


def test_a_stopped_job_is_taken_up_again_from_its_latent(desk: Desk) -> None:
    whole = desk.done("generate", prompt="a red apple", **OF_PRIOR)
    for stop_at in ("prior", "decoder"):
        stopped = desk.done("generate", prompt="a red apple", stop_at=stop_at, **OF_PRIOR)
        source = {"kind": "latent", "id": stopped.images[0].latent_id}
        resumed = desk.done("resume", source=source, seed=99)
        assert np.array_equal(desk.picture(resumed), desk.picture(whole))
        assert resumed.images[0].seed == 7


def test_what_cannot_be_begun_from_is_refused_by_name(desk: Desk) -> None:
    wide = {"kind": "image", "id": upload(desk.store, PHOTO[:100])}
    gone = {"kind": "image", "id": new_upload_id()}
    text = new_upload_id()
    desk.store.put(text, b"no picture")
    assert desk.job("vary", source=wide).error.code == "invalid_image"
    assert desk.job("vary", source={"kind": "image", "id": text}).error.code == "invalid_image"
    assert desk.job("vary", source=gone).error.code == "image_not_found"
    assert desk.job("resume", source={"kind": "latent", "id": desk.photo["id"]}).error.code == "latent_unusable"
    assert desk.job("upscale", source=desk.photo).error.code == "invalid_image"


def test_a_model_without_the_channels_refuses_to_inpaint(tmp_path: Path) -> None:
    from tests.models.tiny import write_tiny_model
    from workers.engine import CannotDraw, Order

    folder = write_tiny_model(tmp_path / "model")
    plain = load_cascade(Settings(model_dir=folder, device="cpu", worker_threads=1))
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, format="PNG")
    mask = {"kind": "boxes", "boxes": [[0.0, 0.0, 0.5, 0.5]]}
    source = {"kind": "image", "id": new_upload_id()}
    spec = read_spec({"operation": "inpaint", **FIELDS, **OF_PRIOR, "source": source, "mask": mask, "prompt": "a cat"})
    with pytest.raises(CannotDraw, match="cannot inpaint") as refused:
        plain.admit(Order("one", spec, 60.0, {source["id"]: file.getvalue()}), 0)
    assert refused.value.code == "part_missing"
