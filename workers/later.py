"""Jobs of a later release: while workers are replaced one by one, one may come that only the newer of them can read."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from pydantic import ValidationError
from rq.exceptions import DeserializationError
from rq.job import Job

from contract.queue import DRAW
from contract.spec import read_spec

PATIENCE_SECONDS = 3600.0
"""How long a worker leaves such a job to others, from when it first met it: an upgrade takes less. How old the job is says
nothing, for it may have waited its turn for hours."""


class LaterRelease:
    """What one worker has met of such jobs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._met_at: dict[str, float] = {}
        self._log = structlog.get_logger(__name__)

    def wants(self, job: Job) -> bool:
        """Whether a job is of our function, and has a spec that we cannot read and another worker may."""
        try:
            if job.func_name != DRAW:
                return False
            read_spec(job.kwargs.get("spec"))
        except (ValidationError, AttributeError):
            return self._is_left(str(job.id))
        except DeserializationError:
            return False
        return False

    def _is_left(self, job_id: str) -> bool:
        now = self._clock()
        if job_id not in self._met_at:
            self._log.warning("a job has a spec that this release cannot read; it is left to a later one", job_id=job_id)
            # What was met so long ago has been taken by somebody, or is about to be given up.
            self._met_at = {id_: met for id_, met in self._met_at.items() if now - met < 2 * PATIENCE_SECONDS}
        return now - self._met_at.setdefault(job_id, now) < PATIENCE_SECONDS
