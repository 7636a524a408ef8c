"""The real worker with a real, tiny cascade: killed in the middle of a job, and started again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contract.record import JobRecord
from contract.settings import Settings
from contract.states import JobState
from contract.store import ImageStore
from tests.faults.conftest import is_in_decoder, wait
from tests.workers.plain import make_spec

REAL = "unclip worker"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.models.tiny import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def pixels(settings: Settings, record: JobRecord) -> list[np.ndarray]:
    store = ImageStore.open(settings)
    return [np.asarray(Image.open(io.BytesIO(store.get(image.id).bytes))) for image in record.images]


def test_a_killed_workers_job_is_finished_and_seeds_draw_the_same_pixels_after_a_restart(
    jobs, start_worker, fault_settings, tiny_model
):
    settings = fault_settings.model_copy(update={"model_dir": tiny_model})
    worker = start_worker(settings=settings, module=REAL)
    before = wait(jobs, jobs.submit(make_spec("a red apple", seed=7)).id)
    interrupted = jobs.submit(make_spec("a boat", seed=3, n=2, steps=40)).id
    wait(jobs, interrupted, is_in_decoder)
    worker.kill()
    assert jobs.fetch(interrupted).state is JobState.RUNNING
    start_worker(settings=settings, module=REAL)
    after = jobs.submit(make_spec("a red apple", seed=7)).id
    record = wait(jobs, interrupted, seconds=60)
    assert (record.state, record.attempts, len(record.images)) == (JobState.SUCCEEDED, 2, 2)
    [first], [second] = pixels(settings, before), pixels(settings, wait(jobs, after))
    assert np.array_equal(first, second)
