"""The image store, on a folder and on a real S3 server."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from contract.errors import ImageNotFound, SettingsWrong, StoreDown
from contract.settings import Settings
from contract.store import ImageStore, image_id

JOB = "0123456789abcdef" * 2
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 64


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest) -> ImageStore:
    settings: Settings = request.getfixturevalue("settings" if request.param == "folder" else "s3_settings")
    return ImageStore.open(settings)


@pytest.fixture
def unreachable(request: pytest.FixtureRequest) -> ImageStore:
    port: int = request.getfixturevalue(request.param)
    return ImageStore.open(
        Settings(
            storage_url="s3://pictures/x",
            storage_endpoint_url=f"http://127.0.0.1:{port}",
            storage_access_key_id="somebody",
            storage_secret_access_key=SecretStr("something"),
        )
    )


def test_a_stored_picture_comes_back_byte_for_byte(store: ImageStore) -> None:
    store.put(image_id(JOB, 0), PICTURE)
    stored = store.get(image_id(JOB, 0))
    assert (stored.bytes, stored.content_type) == (PICTURE, "image/png")


def test_a_repeated_job_overwrites_its_picture(store: ImageStore) -> None:
    store.put(image_id(JOB, 0), PICTURE)
    store.put(image_id(JOB, 0), b"second")
    assert store.get(image_id(JOB, 0)).bytes == b"second"


def test_pictures_of_a_job_are_apart(store: ImageStore) -> None:
    store.put(image_id(JOB, 1), b"one")
    store.put(image_id(JOB, 10), b"ten")
    assert store.get(image_id(JOB, 1)).bytes == b"one"


def test_a_picture_of_several_megabytes_is_kept_whole(store: ImageStore) -> None:
    large = os.urandom(6 * 2**20)
    store.put(image_id(JOB, 0), large)
    assert store.get(image_id(JOB, 0)).bytes == large


def test_a_missing_picture_is_not_found(store: ImageStore) -> None:
    with pytest.raises(ImageNotFound):
        store.get(image_id(JOB, 0))


def test_a_deleted_picture_is_not_found(store: ImageStore) -> None:
    store.put(image_id(JOB, 0), PICTURE)
    store.delete(image_id(JOB, 0))
    with pytest.raises(ImageNotFound):
        store.get(image_id(JOB, 0))


def test_deleting_a_missing_picture_is_no_error(store: ImageStore) -> None:
    store.delete(image_id(JOB, 0))


def test_ping_is_quiet_when_all_is_well(store: ImageStore) -> None:
    store.ping()


@pytest.mark.parametrize(
    "name", ["", "x", f"{JOB}-", f"{JOB}-01", f"{JOB}-100", f"{JOB}-0\n", f"../{JOB}-0", f"{JOB.upper()}-0", "../../etc/passwd"]
)
def test_what_is_not_an_image_id_never_reaches_the_store(settings: Settings, name: str) -> None:
    store = ImageStore.open(settings)
    for call in (store.get, store.delete, lambda bad: store.put(bad, PICTURE)):
        with pytest.raises(ImageNotFound):
            call(name)
    assert not any(settings.data_dir.rglob("*"))


CALLS: list[Callable[[ImageStore], object]] = [
    lambda store: store.get(image_id(JOB, 0)),
    lambda store: store.ping(),
]


@pytest.mark.parametrize("call", [*CALLS, lambda store: store.put(image_id(JOB, 0), PICTURE)])
@pytest.mark.parametrize("unreachable", ["closed_port"], indirect=True)
def test_a_closed_store_is_told_within_two_seconds(unreachable: ImageStore, call: Callable[[ImageStore], object]) -> None:
    started = time.monotonic()
    with pytest.raises(StoreDown):
        call(unreachable)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("unreachable", ["silent_port"], indirect=True)
def test_a_silent_store_is_told_within_two_seconds(unreachable: ImageStore, call: Callable[[ImageStore], object]) -> None:
    started = time.monotonic()
    with pytest.raises(StoreDown):
        call(unreachable)
    assert time.monotonic() - started < 2


def test_a_wrong_key_is_an_outage(s3_settings: Settings) -> None:
    wrong = s3_settings.model_copy(update={"storage_secret_access_key": SecretStr("wrong" * 8)})
    with pytest.raises(StoreDown):
        ImageStore.open(wrong).ping()


def test_a_missing_bucket_is_an_outage(s3_settings: Settings) -> None:
    with pytest.raises(StoreDown):
        ImageStore.open(s3_settings.model_copy(update={"storage_url": "s3://nowhere/x"})).ping()


def test_the_reply_to_an_outage_names_no_key(s3_settings: Settings) -> None:
    wrong = s3_settings.model_copy(update={"storage_secret_access_key": SecretStr("wrong" * 8)})
    with pytest.raises(StoreDown) as caught:
        ImageStore.open(wrong).ping()
    assert str(s3_settings.storage_access_key_id) not in str(caught.value.wire())


def test_a_folder_that_is_gone_is_an_outage(settings: Settings) -> None:
    store = ImageStore.open(settings)
    settings.data_dir.rmdir()
    with pytest.raises(StoreDown):
        store.ping()


def test_a_folder_url_names_the_folder(settings: Settings, tmp_path: Path) -> None:
    store = ImageStore.open(settings.model_copy(update={"storage_url": (tmp_path / "my pictures").as_uri()}))
    store.put(image_id(JOB, 3), PICTURE)
    assert (tmp_path / "my pictures" / "images" / JOB / "3").read_bytes() == PICTURE


def test_a_new_picture_folder_is_its_owners_alone(settings: Settings) -> None:
    ImageStore.open(settings)
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700


def test_a_put_replaces_the_file_and_never_writes_into_it(settings: Settings) -> None:
    """Who has the old picture open reads the old picture to its end: the new one is renamed into place."""
    store = ImageStore.open(settings)
    store.put(image_id(JOB, 0), PICTURE)
    with (settings.data_dir / "images" / JOB / "0").open("rb") as reader:
        store.put(image_id(JOB, 0), b"second")
        assert reader.read() == PICTURE


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsWrong, match="UNCLIP_STORAGE_URL"):
        ImageStore.open(settings.model_copy(update={"storage_url": (tmp_path / "file" / "below").as_uri()}))
