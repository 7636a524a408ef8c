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

from contract.errors import InvalidImage, UploadsBusy
from service.uploads import fork_server
from service.uploads import reader as reading
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


def test_being_asked_to_stop_is_for_the_api_to_answer(reader: PictureReader) -> None:
    before = pid_of(reader.server)
    reader.read_in_child(PICTURE, WISH, "image")
    os.kill(before, signal.SIGINT)
    os.kill(before, signal.SIGTERM)
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


def test_a_start_that_fails_is_tried_again_by_the_next_picture(reader: PictureReader, monkeypatch: pytest.MonkeyPatch) -> None:
    os.kill(pid_of(reader.server), signal.SIGKILL)
    with monkeypatch.context() as poor:
        poor.setattr(subprocess, "Popen", out_of_processes)
        with pytest.raises(UploadsBusy):
            reader.read_in_child(PICTURE, WISH, "image")
    assert reader.read_in_child(PICTURE, WISH, "image").width == 64


def out_of_processes(*_: object, **__: object) -> None:
    raise BlockingIOError(11, "Resource temporarily unavailable")


def test_a_process_that_is_stuck_is_replaced(reader: PictureReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BEGIN_SECONDS", 0.5)
    monkeypatch.setattr(fork_server, "END_SECONDS", 0.2)
    stuck = pid_of(reader.server)
    os.kill(stuck, signal.SIGSTOP)
    assert reader.read_in_child(PICTURE, WISH, "image").width == 64
    assert is_gone(stuck)


def test_one_that_is_stuck_does_not_hold_up_the_end(reader: PictureReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "END_SECONDS", 0.2)
    stuck = pid_of(reader.server)
    os.kill(stuck, signal.SIGSTOP)
    began = time.monotonic()
    reader.close()
    assert time.monotonic() - began < 10
    assert is_gone(stuck)


def test_a_child_that_ends_while_it_is_sent_a_large_file_is_a_refusal(reader: PictureReader) -> None:
    with pytest.raises(InvalidImage, match="within the limits"):
        reader.read_in_child(bytes(16 * 2**20), replace(WISH, wall_seconds=1e-4), "image")


def test_after_a_child_that_its_bounds_ended_the_memory_is_laid_out_anew(reader: PictureReader) -> None:
    before = pid_of(reader.server)
    with pytest.raises(InvalidImage, match="within the limits"):
        reader.read_in_child(PICTURE, replace(WISH, wall_seconds=1e-4), "image")
    assert reader.read_in_child(PICTURE, WISH, "image").width == 64
    assert pid_of(reader.server) != before
