"""What has been kept for its time goes, and nothing else."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.queue import index_key
from contract.spec import ImageSource, LatentSource, UpscaleSpec, VarySpec
from contract.store import ImageStore, image_id, latent_id
from tests.workers.plain import make_spec
from workers.sweep import MARGIN_SECONDS, SWEEP_KEY, UNFINISHED_SECONDS, Sweeper

RETENTION_SECONDS = 3600.0
OLD = "a" * 32
COMMON = {"model": "m", "size": "256x256", "seed": 1, "steps": 4, "guidance_scale": 1.0, "upsample_steps": 2}


@pytest.fixture
def store(settings) -> ImageStore:
    return ImageStore.open(settings)


@pytest.fixture
def sweeper(redis, store) -> Sweeper:
    return Sweeper(redis, store, RETENTION_SECONDS)


@pytest.fixture
def put(store, settings):
    """Stores something as of so many seconds ago."""

    def put(thing: str, age_seconds: float) -> str:
        before = set(files(settings))
        store.put(thing, b"\x89PNG\r\n\x1a\n")
        [path] = set(files(settings)) - before
        os.utime(path, times=(time.time() - age_seconds,) * 2)
        return thing

    return put


def files(settings) -> list[Path]:
    return [path for path in Path(settings.data_dir).rglob("*") if path.is_file()]


def is_there(store: ImageStore, thing: str) -> bool:
    try:
        store.get(thing)
    except Exception:
        return False
    return True


EXPIRED = RETENTION_SECONDS + MARGIN_SECONDS + 60


@pytest.mark.parametrize("seconds", [UNFINISHED_SECONDS - 60, UNFINISHED_SECONDS + 60])
def test_what_a_killed_writer_left_goes_and_what_is_being_written_stays(sweeper, store, settings, seconds):
    """obstore writes beside the file's place, and shows such a file to nobody."""
    path = Path(settings.data_dir, "images", OLD, "0#1")
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, times=(time.time() - seconds,) * 2)
    assert list(store.aged(datetime.now(UTC))) == []
    assert sweeper.sweep() == (seconds > UNFINISHED_SECONDS)
    assert path.exists() == (seconds < UNFINISHED_SECONDS)


@pytest.mark.parametrize("thing", [image_id(OLD, 0), latent_id(OLD, 3), "up_" + "b" * 32])
def test_what_is_older_than_its_time_goes(sweeper, put, store, thing):
    put(thing, EXPIRED)
    assert sweeper.sweep() == 1
    assert not is_there(store, thing)


@pytest.mark.parametrize("thing", [image_id(OLD, 0), latent_id(OLD, 3), "up_" + "b" * 32])
def test_what_is_not_as_old_stays(sweeper, put, store, thing):
    put(thing, RETENTION_SECONDS)
    assert sweeper.sweep() == 0
    assert is_there(store, thing)


def test_a_picture_stays_as_long_as_its_jobs_record(sweeper, put, store, jobs):
    """However wrong the clocks are."""
    job_id = jobs.submit(make_spec()).id
    thing = put(image_id(job_id, 0), EXPIRED)
    assert sweeper.sweep() == 0
    assert is_there(store, thing)


def test_what_a_waiting_or_running_job_is_drawn_from_stays(sweeper, put, store, jobs, worker):
    upload, picture, latent = "up_" + "b" * 32, image_id(OLD, 1), latent_id(OLD, 1)
    for thing in (upload, picture, latent, image_id(OLD, 2)):
        put(thing, EXPIRED)
    jobs.submit(UpscaleSpec(source=ImageSource(id=upload), **COMMON))
    worker.claim()
    jobs.submit(VarySpec(source=ImageSource(id=picture), key="ann", **COMMON))
    jobs.submit(VarySpec(source=LatentSource(id=latent), lane="batch", **COMMON))
    assert sweeper.sweep() == 1
    assert [is_there(store, thing) for thing in (upload, picture, latent)] == [True] * 3


def test_one_worker_sweeps_at_a_time(sweeper, put, redis, store):
    put("up_" + "b" * 32, EXPIRED)
    redis.set(SWEEP_KEY, 1)
    assert sweeper.sweep() == 0
    redis.delete(SWEEP_KEY)
    assert sweeper.sweep() == 1
    assert 0 < redis.ttl(SWEEP_KEY) <= 900


def test_names_of_expired_jobs_leave_the_lists_in_the_end(sweeper, redis, jobs):
    there, gone, lately = (jobs.submit(make_spec(key="ann")).id for _ in range(3))
    redis.delete(f"rq:job:{gone}", f"rq:job:{lately}")
    old = time.time() - 2 * RETENTION_SECONDS - MARGIN_SECONDS - 60
    redis.zadd(index_key("ann"), {there: old, gone: old})
    sweeper.sweep()
    assert set(redis.zrange(index_key("ann"), 0, -1)) == {there.encode(), lately.encode()}


def test_it_sweeps_now_and_then_by_itself(redis, put, store):
    thing = put("up_" + "b" * 32, EXPIRED)
    sweeper = Sweeper(redis, store, RETENTION_SECONDS, every_seconds=0.05)
    sweeper.start()
    deadline = time.monotonic() + 10
    while is_there(store, thing) and time.monotonic() < deadline:
        time.sleep(0.02)
    sweeper.close()
    sweeper._thread.join(5)
    assert not is_there(store, thing)


def test_a_bucket_is_swept_too(s3_settings, redis):
    """Its server keeps the time itself: everything is of now, so now is what must be old."""
    store = ImageStore.open(s3_settings)
    things = [image_id(OLD, 0), latent_id(OLD, 0), "up_" + "b" * 32]
    for thing in things:
        store.put(thing, b"\x89PNG\r\n\x1a\n")
    assert Sweeper(redis, store, RETENTION_SECONDS).sweep() == 0
    redis.delete(SWEEP_KEY)
    time.sleep(1.1)
    assert Sweeper(redis, store, -MARGIN_SECONDS).sweep() == 3
