"""The states of a job, which may follow which, and how RQ's own statuses read in them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from rq.job import JobStatus


class JobState(StrEnum):
    """Where a job stands, as callers see it."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_terminal(self) -> bool:
        """True when nothing follows this state but expiry."""
        return not TRANSITIONS[self]

    def may_become(self, after: JobState) -> bool:
        """True when a job in this state may be seen in `after` next."""
        return after in TRANSITIONS[self]


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    # A job whose run is given up before a worker reports it (too many lost workers) fails from the queue.
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELED, JobState.FAILED}),
    # Back to the queue: recovery only, after its worker died or handed it back.
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELED: frozenset(),
}

_FROM_RQ: Mapping[JobStatus, JobState] = {
    JobStatus.CREATED: JobState.QUEUED,
    JobStatus.QUEUED: JobState.QUEUED,
    # Waiting for a retry, another job or a slot: still to be run.
    JobStatus.SCHEDULED: JobState.QUEUED,
    JobStatus.DEFERRED: JobState.QUEUED,
    JobStatus.READY_TO_ENQUEUE: JobState.QUEUED,
    JobStatus.RATE_LIMITED: JobState.QUEUED,
    JobStatus.STARTED: JobState.RUNNING,
    JobStatus.FINISHED: JobState.SUCCEEDED,
    JobStatus.FAILED: JobState.FAILED,
    JobStatus.STOPPED: JobState.CANCELED,
    JobStatus.CANCELED: JobState.CANCELED,
}


def state_from_rq(status: JobStatus) -> JobState:
    """Return the state that callers see for RQ's `status`."""
    return _FROM_RQ[status]
