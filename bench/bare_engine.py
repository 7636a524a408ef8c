"""The other arm of the service bench: the engine alone, in a process of its own. Run as `python -m bench.bare_engine`.

It reads the worker's settings from the worker's environment and loads the model by the worker's own function, so that threads,
OpenMP's variables and the CPU backend are the worker's too. For each line that it is sent it draws, and answers with its rate.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench.stack import StackFailed
from contract.settings import Settings
from workers.cascade import load_cascade


class BareEngine:
    """That process, seen from the bench."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def rate(self) -> float:
        """Have it draw, and return its pictures a second. Raises StackFailed when it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("draw\n")
            self._process.stdin.flush()
            return float(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise StackFailed("the bare engine has ended; why, it has said above") from error


@contextmanager
def bare_engine(env: Mapping[str, str]) -> Iterator[BareEngine]:
    """A bare engine in the environment of a service's worker; it is gone at the end."""
    command = [sys.executable, "-m", "bench.bare_engine"]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield BareEngine(process)
        finally:
            process.kill()


def main() -> None:
    """Draw at each line of standard input, until that ends."""
    cascade = load_cascade(Settings()).cascade
    from bench.service import through_engine  # brings torch, which reads OpenMP's variables as it is loaded

    for _ in sys.stdin:
        sys.stdout.write(f"{through_engine(cascade)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
