"""Progress on its way to the queue: each job's latest, at most five times a second, and only when it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contract.record import Progress

MIN_INTERVAL_SECONDS = 0.2


class ProgressBoard:
    """Keeps what each job last told; one thread posts, another takes what is due."""

    def __init__(self, clock: Callable[[], float], interval_seconds: float = MIN_INTERVAL_SECONDS) -> None:
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._latest: dict[str, Progress] = {}
        self._sent: dict[str, tuple[float, Progress]] = {}

    def post(self, job_id: str, progress: Progress) -> None:
        """Put up a job's progress, replacing what was there."""
        self._latest[job_id] = progress

    def due(self) -> Mapping[str, Progress]:
        """Return what should be sent now. What cannot be sent is not lost: `sent` says what was."""
        now = self._clock()
        due = {}
        for job_id, progress in list(self._latest.items()):
            told_at, told = self._sent.get(job_id, (-float("inf"), None))
            if progress != told and now - told_at >= self._interval_seconds:
                due[job_id] = progress
        return due

    def sent(self, told: Mapping[str, Progress]) -> None:
        """Note that these reached the queue."""
        now = self._clock()
        self._sent.update({job_id: (now, progress) for job_id, progress in told.items()})

    def forget(self, job_id: str) -> None:
        """Take down a job that has ended."""
        self._latest.pop(job_id, None)
        self._sent.pop(job_id, None)
