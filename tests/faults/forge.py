"""Processes made in a moment: forked from one that has imported everything already.

`python -m tests.faults.forge` reads one JSON order a line and answers with a pid. A forked process is the real one in all that
matters to a fault test: memory, threads, connections, signals of its own; it only skips a second of imports.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

from tests.faults import clock

ROOT = Path(__file__).resolve().parents[2]


class ForgedProcess:
    """A process that the forge made, to be used like a Popen; it is the forge's child and reaped there."""

    def __init__(self, pid: int, log: Path, exit_file: Path) -> None:
        self.pid = pid
        self.log = log
        self._exit_file = exit_file

    @property
    def is_running(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def poll(self) -> int | None:
        """Return None while it runs, then its exit status, or minus the signal that killed it."""
        if self.is_running:
            return None
        return int(self._exit_file.read_text())

    def wait(self, seconds: float = 30) -> int:
        """Return its exit status once it has ended. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} still runs after {seconds} s:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal; a process that has ended is no error."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9, also of a stopped one; returns when it is gone."""
        self.send_signal(signal.SIGKILL)
        self.wait(10)


class Forge:
    """Use as a context manager; whatever it made is killed at the end. `root`: whose code it runs, if not this checkout's."""

    def __init__(self, *modules: str, root: Path = ROOT) -> None:
        self.modules = modules
        self.root = root

    def __enter__(self) -> Forge:
        command = [sys.executable, "-m", "tests.faults.forge", *self.modules]
        # A session of its own: the forge ends by killing its whole group.
        self._process = subprocess.Popen(
            command,
            cwd=self.root,
            env=os.environ | clock.preloaded() | {"PYTHONPATH": str(self.root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def make(self, module: str, environment: dict[str, str], log: Path) -> ForgedProcess:
        """Start `module.main()` with these variables and no other UNCLIP_ ones; its output is added to `log`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        log.touch()
        exit_file = log.with_suffix(".exit")
        exit_file.unlink(missing_ok=True)
        order = {"module": module, "environment": environment, "log": str(log), "exit_file": str(exit_file)}
        self._process.stdin.write(json.dumps(order) + "\n")
        return ForgedProcess(int(self._process.stdout.readline()), log, exit_file)


def forge(modules: list[str]) -> None:
    """Import, then fork for every order, until the one who gives them is gone."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    exit_files: dict[int, Path] = {}

    def reap(*_: object) -> None:
        """Write down how children ended, while they are still there as zombies; then let them go."""
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                exit_files[ended.si_pid].write_text(str(status))
                os.waitpid(ended.si_pid, 0)

    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        order = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            become(order["module"], order["environment"], order["log"])
        exit_files[pid] = Path(order["exit_file"])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    os.killpg(0, signal.SIGKILL)


def become(module: str, environment: dict[str, str], log: str) -> NoReturn:
    """Be the process that was ordered."""
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        if clock.VARIABLE in environment and clock.PRELOAD in os.environ:
            clock.go_by(environment[clock.VARIABLE])
        for name in [name for name in os.environ if name.startswith("UNCLIP_")]:
            del os.environ[name]
        os.environ.update(environment)
        importlib.import_module(module).main()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    forge(sys.argv[1:])
