"""Settings: from the environment, checked at start, secrets kept to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.errors import SettingsWrong
from contract.settings import Settings


def test_nothing_set_is_a_home_installation() -> None:
    settings = Settings()
    assert (settings.redis_url, settings.storage_url, settings.host, settings.port) == (None, None, "127.0.0.1", 8000)


def test_a_home_folder_is_written_out() -> None:
    assert Settings().data_dir == Path.home() / ".local" / "share" / "unclip"


def test_variables_carry_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCLIP_MAX_QUEUE_DEPTH", "5")
    assert Settings().max_queue_depth == 5


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCLIP_REDIS_URL", "")
    assert Settings().redis_url is None


def test_the_bundled_model_is_the_default(tmp_path: Path) -> None:
    assert Settings().model_folder.parts[-2:] == ("models", "weights")
    assert Settings(model_dir=tmp_path).model_folder == tmp_path


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("UNCLIP_PORT", "65536"),
        ("UNCLIP_PORT", "http"),
        ("UNCLIP_MAX_QUEUE_DEPTH", "0"),
        ("UNCLIP_DEVICE", "tpu"),
        ("UNCLIP_WORKER_THREADS", "0"),
        ("UNCLIP_SYNC_WAIT_SECONDS", "inf"),
        ("UNCLIP_REDIS_URL", "http://127.0.0.1:6379"),
        ("UNCLIP_REDIS_URL", "redis://127.0.0.1:port/0"),
        ("UNCLIP_REDIS_URL", "redis://127.0.0.1/0?no_such_option=1"),
        ("UNCLIP_STORAGE_URL", "gs://bucket"),
        ("UNCLIP_STORAGE_URL", "s3://"),
        ("UNCLIP_STORAGE_URL", "file://folder/below"),
        ("UNCLIP_STORAGE_URL", "/srv/pictures"),
        ("UNCLIP_STORAGE_ENDPOINT_URL", "store:8333"),
        ("UNCLIP_PUBLIC_BASE_URL", "pictures.example"),
        ("UNCLIP_STORAGE_ACCESS_KEY_ID", "alone"),
        ("UNCLIP_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_stops_at_start(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=variable.removeprefix("UNCLIP_").lower() + "|" + variable):
        Settings()


def test_secrets_stay_out_of_a_printed_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCLIP_REDIS_URL", "redis://:hunter2@localhost/0")
    monkeypatch.setenv("UNCLIP_STORAGE_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("UNCLIP_STORAGE_SECRET_ACCESS_KEY", "hunter2")
    assert "hunter2" not in repr(Settings()) + str(Settings())


def test_secrets_stay_out_of_a_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCLIP_STORAGE_SECRET_ACCESS_KEY", "hunter2")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "hunter2" not in str(caught.value)


def test_a_password_stays_out_of_a_complaint_about_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCLIP_REDIS_URL", "redis://:hunter2/x@127.0.0.1:6379/0")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:6379/0", "rediss://queue.internal", "unix:///run/valkey.sock?db=2"])
def test_the_queue_is_where_the_address_says(url: str) -> None:
    assert Settings(redis_url=url).queue_url == url


def test_a_queue_that_nobody_named_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsWrong, match="UNCLIP_REDIS_URL"):
        _ = Settings().queue_url


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
