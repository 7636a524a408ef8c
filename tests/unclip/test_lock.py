"""The lock on the data folder."""

import subprocess
import sys

import pytest

from contract.errors import SettingsWrong
from unclip.errors import DataFolderInUse
from unclip.lock import hold_data_folder

HOLDER = """
import sys, time
from pathlib import Path
from unclip.lock import hold_data_folder
with hold_data_folder(Path(sys.argv[1]), "http://127.0.0.1:8000"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_holder_is_refused_and_told_who_the_first_is(tmp_path, holder):
    expected = rf"{tmp_path} is in use by unclip serve \(process {holder.pid}, http://127.0.0.1:8000\)"
    with pytest.raises(DataFolderInUse, match=expected), hold_data_folder(tmp_path, "second"):
        pass


def test_a_killed_holder_leaves_no_lock_behind(tmp_path, holder):
    holder.kill()
    holder.wait()

    with hold_data_folder(tmp_path, "second"):
        pass


def test_a_folder_that_does_not_exist_is_made_for_its_owner_alone(tmp_path):
    with hold_data_folder(tmp_path / "a" / "b", "first"):
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsWrong, match="--data-dir"), hold_data_folder(tmp_path / "file" / "below", "first"):
        pass
