"""The store cut in the middle of a picture, full, or slow: a picture is there whole or not at all, and told only when it is."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from contract.errors import ImageNotFound
from contract.settings import Settings
from contract.states import JobState
from contract.store import ImageStore, image_id
from tests.faults.conftest import wait
from tests.faults.installation import pictures_in
from tests.faults.proxy import FaultProxy, Link
from tests.faults.servers import BUCKET, S3_KEY_ID, S3_SECRET, Bucket
from tests.workers.plain import make_spec

PICTURE = b"apple" * 4000


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    bucket = Bucket(tmp_path / "s3")
    bucket.begin()
    yield bucket
    bucket.end()


@pytest.fixture
def link(bucket: Bucket) -> Iterator[Link]:
    with FaultProxy() as proxy:
        yield proxy.link(bucket.port)


@pytest.fixture
def s3_fault_settings(fault_settings: Settings, link: Link) -> Settings:
    bucket = {
        "storage_url": f"s3://{BUCKET}/faults",
        "storage_endpoint_url": f"http://127.0.0.1:{link.port}",
        "storage_access_key_id": S3_KEY_ID,
        "storage_secret_access_key": SecretStr(S3_SECRET),
    }
    return fault_settings.model_copy(update=bucket)


@pytest.mark.parametrize("after_bytes", [0, 700, 5000])
def test_a_picture_cut_on_its_way_is_sent_again_and_told_only_when_it_is_whole(
    jobs, start_worker, s3_fault_settings, link, after_bytes
):
    start_worker(settings=s3_fault_settings)
    link.cut(after_bytes)
    record = wait(jobs, jobs.submit(make_spec()).id)
    stored = ImageStore.open(s3_fault_settings).get(record.images[0].id)
    assert (record.state, record.attempts, len(stored.bytes)) == (JobState.SUCCEEDED, 1, record.images[0].bytes)


def test_a_picture_whose_arrival_is_never_confirmed_is_stored_once(jobs, start_worker, s3_fault_settings, link):
    start_worker(settings=s3_fault_settings)
    link.cut(0, towards="client")
    record = wait(jobs, jobs.submit(make_spec()).id)
    assert (record.state, pictures_in(ImageStore.open(s3_fault_settings))) == (JobState.SUCCEEDED, [f"{record.id}-0"])


def test_asking_whether_the_bucket_answers_costs_the_same_however_much_it_holds(s3_fault_settings, link):
    store = ImageStore.open(s3_fault_settings)
    store.ping()
    empty = link.carried["client"]
    for index in range(30):
        store.put(image_id("a" * 32, index), PICTURE)
    before = link.carried["client"]
    store.ping()
    assert link.carried["client"] - before < empty + 300


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one process limit another's files")
def test_a_full_disk_delays_a_picture_and_leaves_nothing_half_written(jobs, start_worker, fault_settings):
    """A limit on the size of files stands for the disk: a write fails in the middle of a picture, as it does there."""
    worker = start_worker()
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    job_id = jobs.submit(make_spec()).id
    worker.wait_for("the image store does not answer")
    store = ImageStore.open(fault_settings)
    with pytest.raises(ImageNotFound):
        store.get(image_id(job_id, 0))
    assert jobs.fetch(job_id).state is JobState.RUNNING
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    record = wait(jobs, job_id)
    assert (record.state, record.attempts) == (JobState.SUCCEEDED, 1)
    assert len(store.get(record.images[0].id).bytes) == record.images[0].bytes
    held = [path.name for path in (fault_settings.data_dir / "images").rglob("*") if path.is_file()]
    assert held == ["0"], "and nothing of the tries that failed stays"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one process limit another's files")
def test_a_worker_whose_log_cannot_be_written_goes_on_drawing(jobs, start_worker):
    worker = start_worker()
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (worker.log.stat().st_size, resource.RLIM_INFINITY))
    job_id = jobs.submit(make_spec("raise for want of room")).id
    assert wait(jobs, job_id).state is JobState.FAILED
    assert worker.process.poll() is None
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == 0
