"""`unclip keys`: on a data folder, served or not, and on a Redis that is set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contract.errors import KeyNotFound, SettingsWrong
from contract.settings import Settings
from tests.conftest import Valkey
from unclip.cli import app
from unclip.embedded_valkey import EmbeddedValkey
from unclip.lock import hold_data_folder


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def test_a_key_lives_as_long_as_its_operator_wants(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCLIP_REDIS_URL", valkey.url)
    made = keys("create", "web shop", "--scope", "read", "--rate", "10/minute")
    token = made.stdout.strip()
    assert (made.exit_code, token[:3]) == (0, "uk_")
    assert "shown only now" in made.stderr
    key_id = token.split("_")[1]
    listed = keys("list").stdout
    assert key_id in listed
    assert "web shop" in listed
    assert token.split("_", 2)[2] not in listed
    rotated = json.loads(keys("rotate", key_id, "--json").stdout)
    assert (rotated["id"], rotated["token"] == token) == (key_id, False)
    assert keys("revoke", key_id).exit_code == 0
    assert [key["revoked_at"] is not None for key in json.loads(keys("list", "--json").stdout)] == [True]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["create", "x", "--scope", "everything"], SettingsWrong, "choose from generate, read, admin"),
        (["create", "x", "--rate", "often"], SettingsWrong, "not a rate"),
        (["revoke", "000000000000"], KeyNotFound, "no key '000000000000'"),
    ],
)
def test_what_cannot_be_is_told(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: type[Exception], words: str
) -> None:
    monkeypatch.setenv("UNCLIP_REDIS_URL", valkey.url)
    ran = keys(*arguments)
    assert isinstance(ran.exception, error)
    assert words in str(ran.exception)


def test_keys_of_a_data_folder_that_nobody_serves_are_there_when_it_is_served(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert keys("create", "first", "--data-dir", str(folder)).exit_code == 0
    settings = Settings(data_dir=folder)
    with hold_data_folder(folder, "a test"):
        valkey = EmbeddedValkey(settings)
        valkey.start()
        try:
            assert keys("create", "second", "--data-dir", str(folder)).exit_code == 0
            listed = json.loads(keys("list", "--json", "--data-dir", str(folder)).stdout)
        finally:
            valkey.child.ask_to_stop()
            valkey.child.wait(10)
    assert [key["name"] for key in listed] == ["first", "second"]
