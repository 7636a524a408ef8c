"""Children: their output, their end, and that they never outlive the parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unclip.errors import StartFailed
from unclip.processes import Child

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
PARENT = """
import os, sys, time
from unclip.processes import Child
child = Child("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ))
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""


def child(*code: str, log: Path | None = None) -> Child:
    return Child("part", [sys.executable, "-c", *code], dict(os.environ), log=log)


def test_a_killed_parent_takes_its_children_along():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()

    assert is_gone_within(pid, seconds=5)


def test_a_child_is_in_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it():
    one = Child("sleeper", SLEEP, dict(os.environ))
    one.start()
    try:
        assert one.pid is not None
        assert os.getsid(one.pid) == one.pid
    finally:
        one.kill()


def test_what_a_child_says_is_in_its_log(tmp_path):
    one = child("import sys; print('out'); print('err', file=sys.stderr)", log=tmp_path / "log")
    one.start()

    assert one.wait(10)
    assert sorted((tmp_path / "log").read_text().split()) == ["err", "out"]


def test_a_child_can_be_started_again():
    one = child("raise SystemExit(3)")
    one.start()
    one.wait(10)
    first = one.pid
    one.start()
    one.wait(10)

    assert one.pid != first


def test_an_exit_code_is_told_in_words():
    one = child("raise SystemExit(3)")
    one.start()
    one.wait(10)

    assert one.ending() == "exit code 3"


def test_a_signal_is_told_by_name():
    one = Child("sleeper", SLEEP, dict(os.environ))
    one.start()
    one.kill()

    assert one.ending() == "killed by SIGKILL"


def test_asking_to_stop_sends_sigterm():
    one = child(
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print(1, flush=True); signal.pause()"
    )
    one.start()
    time.sleep(0.3)
    one.ask_to_stop()

    assert one.wait(10)
    assert one.exit_code in (7, -signal.SIGTERM)  # the latter when it had not come as far as the handler


def test_waiting_for_a_child_that_goes_on_tells_so():
    one = Child("sleeper", SLEEP, dict(os.environ))
    one.start()
    try:
        assert not one.wait(0.05)
    finally:
        one.kill()


def test_a_program_that_is_not_there_is_a_failed_start():
    with pytest.raises(StartFailed, match="part cannot be started"):
        Child("part", ["/nowhere/program"], {}).start()


def is_gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
