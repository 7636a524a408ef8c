"""Log lines as a process writes them: one stream, one format, ours and the libraries'."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

START = "import logging, structlog; from contract.logs import configure_logging; ours = structlog.get_logger('ours'); "


def logged(script: str) -> list[dict[str, Any]]:
    """What a process that runs `script` writes to standard error. A process, because logging is the whole process's."""
    done = subprocess.run([sys.executable, "-c", START + script], capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines_of_libraries_are_json_like_ours() -> None:
    ours, theirs = logged("configure_logging('info'); ours.info('mine', n=1); logging.getLogger('lib').info('at %s', 'work')")
    assert (ours["event"], ours["n"], ours["level"]) == ("mine", 1, "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("at work", "lib", "info")
    assert theirs["timestamp"]


def test_a_library_that_sets_its_own_level_is_held_to_ours() -> None:
    script = "configure_logging('info', libraries='warning'); lib = logging.getLogger('lib'); lib.setLevel('INFO'); "
    (line,) = logged(script + "lib.info('chatter'); lib.warning('trouble')")
    assert line["event"] == "trouble"


def test_a_higher_level_holds_for_all() -> None:
    assert logged("configure_logging('error'); ours.warning('mine'); logging.getLogger('lib').warning('theirs')") == []


def test_a_traceback_stays_on_its_line() -> None:
    for log in ("ours", "logging.getLogger('lib')"):
        script = f"configure_logging('info')\ntry: 1 / 0\nexcept ZeroDivisionError: {log}.exception('failed')"
        (line,) = logged(script)
        assert "ZeroDivisionError" in line["exception"]
