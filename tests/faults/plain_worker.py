"""`python -m tests.faults.plain_worker`: the real worker process over stages without nets, so that it starts in a moment.

PLAIN_LOAD_SECONDS: how long the model loads. PLAIN_STEP_SECONDS: how long a decoder step takes. PLAIN_DIE_IN: name of an
EngineWorker method; entering it, the process kills itself the way a crash would, with SIGKILL.
"""

from __future__ import annotations

import os
import signal
import time
from typing import NoReturn

from contract.settings import Settings
from tests.workers.plain import PlainStages
from workers.main import serve
from workers.worker import EngineWorker


def die(*_: object, **__: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def load(_: Settings) -> PlainStages:
    time.sleep(float(os.environ.get("PLAIN_LOAD_SECONDS", "0")))
    return PlainStages(float(os.environ.get("PLAIN_STEP_SECONDS", "0")))


if __name__ == "__main__":
    method = os.environ.get("PLAIN_DIE_IN")
    if method:
        assert hasattr(EngineWorker, method)
        setattr(EngineWorker, method, die)
    # Noise of a few pixels is nothing to look at.
    serve(Settings(picture_filter=False), load)
