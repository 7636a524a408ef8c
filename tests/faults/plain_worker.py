"""`python -m tests.faults.plain_worker`: the real worker process over stages without nets, so that it starts in a moment.

PLAIN_LOAD_SECONDS: how long the model loads. PLAIN_STEP_SECONDS: how long a decoder step takes. PLAIN_DIE_IN, PLAIN_STOP_IN:
name of an EngineWorker method, or `put`; entering it for the first time, the process kills itself the way a crash would, with
SIGKILL, or is told to stop, with SIGTERM, and goes on. PLAIN_WITHOUT: a protection to switch off, by its name in WITHOUT.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from typing import Any

from redis import Redis

import workers.worker
from contract.settings import Settings
from tests.workers.plain import PlainStages
from workers.main import serve
from workers.publish import Publisher
from workers.recovery import Recovery
from workers.worker import EngineWorker

TRACED_CALLS = 100
PLACES = {"put": (Publisher, "_put")}


def load(_: Settings) -> PlainStages:
    time.sleep(float(os.environ.get("PLAIN_LOAD_SECONDS", "0")))
    stages = PlainStages(float(os.environ.get("PLAIN_STEP_SECONDS", "0")))
    for stage in stages.stages.values():
        stage.trace = deque(maxlen=TRACED_CALLS)  # all calls of a long run would look like a leak
    return stages


def arm(place: str, number: signal.Signals) -> None:
    """Have this process send itself a signal where it first enters a method."""
    owner, method = PLACES.get(place, (EngineWorker, place))
    inner = getattr(owner, method)
    once = threading.Lock()

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if once.acquire(blocking=False):
            os.kill(os.getpid(), number)
        return inner(*args, **kwargs)

    setattr(owner, method, wrapped)


def without_recovery() -> None:
    """Nobody looks for the jobs of the dead."""
    Recovery.run = lambda *_: ()


def without_attempts() -> None:
    """Whoever ends a job may do so."""
    module: Any = workers.worker
    module.belongs_to = module.runs_as = lambda *_: True


def without_intermediate_list() -> None:
    """A job leaves its queue for a worker's memory."""
    client: Any = Redis
    client.lmove = lambda self, queue, _: self.lpop(queue)


def without_order() -> None:
    """A job is done before its pictures are stored."""
    put = Publisher._put
    Publisher._put = lambda *args: threading.Timer(2.0, put, args).start()


WITHOUT = {
    "recovery": without_recovery,
    "attempts": without_attempts,
    "intermediate list": without_intermediate_list,
    "order": without_order,
}


def main() -> None:
    if protection := os.environ.get("PLAIN_WITHOUT"):
        WITHOUT[protection]()
    for variable, number in (("PLAIN_DIE_IN", signal.SIGKILL), ("PLAIN_STOP_IN", signal.SIGTERM)):
        if place := os.environ.get(variable):
            arm(place, number)
    # Noise of a few pixels is nothing to look at.
    serve(Settings(picture_filter=False), load)


if __name__ == "__main__":
    main()
