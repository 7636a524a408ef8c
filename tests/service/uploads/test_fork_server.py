"""The process that forks readers of pictures: one for all of them, back when it is killed, gone when the API is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import InvalidImage
from service.uploads.fork_server import ForkServer
from service.uploads.reader import PictureReader
from tests.service.uploads.pictures import file_of, halves
from tests.service.uploads.test_reader import WISH

PICTURE = file_of(halves())


@pytest.fixture
def reader() -> Iterator[PictureReader]:
    reader = PictureReader(WISH.max_pixels)
    yield reader
    reader.close()


def pid_of(server: ForkServer) -> int:
    server.connect().close()
    assert server.pid is not None
    return server.pid


def is_gone(pid: int, within_seconds: float = 10) -> bool:
    ends = time.monotonic() + within_seconds
    while time.monotonic() < ends:
        # One that nobody has waited for yet has ended too.
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_one_process_serves_all_pictures(reader: PictureReader) -> None:
    before = pid_of(reader.server)
    assert [reader.read_in_child(PICTURE, WISH, "image").width for _ in range(3)] == [64, 64, 64]
    assert pid_of(reader.server) == before


def test_a_child_that_is_killed_takes_no_other_with_it(reader: PictureReader) -> None:
    before = pid_of(reader.server)
    with pytest.raises(InvalidImage, match="within the limits"):
        reader.read_in_child(PICTURE, replace(WISH, wall_seconds=1e-4), "image")
    assert reader.read_in_child(PICTURE, WISH, "image").width == 64
    assert pid_of(reader.server) == before


def test_a_process_that_was_killed_is_started_anew(reader: PictureReader) -> None:
    before = pid_of(reader.server)
    os.kill(before, signal.SIGKILL)
    assert reader.read_in_child(PICTURE, WISH, "image").width == 64
    assert pid_of(reader.server) != before


def test_a_picture_is_read_though_the_process_dies_before_it_forks(reader: PictureReader) -> None:
    before = pid_of(reader.server)
    os.kill(before, signal.SIGSTOP)
    dying = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -KILL {before}"])
    assert reader.read_in_child(PICTURE, WISH, "image").width == 64
    assert pid_of(reader.server) != before
    dying.wait()


def test_ctrl_c_is_not_its_own_to_answer(reader: PictureReader) -> None:
    before = pid_of(reader.server)
    reader.read_in_child(PICTURE, WISH, "image")
    os.kill(before, signal.SIGINT)
    assert reader.read_in_child(PICTURE, WISH, "image").width == 64
    assert pid_of(reader.server) == before


def test_it_ends_when_it_is_closed(reader: PictureReader) -> None:
    pid = pid_of(reader.server)
    reader.close()
    assert is_gone(pid, within_seconds=0.1)
    reader.close()


def test_it_ends_when_the_api_is_killed() -> None:
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom service.uploads import decode\n"
        "from service.uploads.fork_server import ForkServer\nserver = ForkServer(Path(decode.__file__))\n"
        "server.connect()\nprint(server.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False, text=True)
    assert done.returncode == -signal.SIGKILL
    assert is_gone(int(done.stdout))
