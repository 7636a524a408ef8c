"""Telling the silent from the living by watching them, so that no clock need be right: neither a host's nor the server's.

A living worker renews its leases every quarter of their time. One that stays as it was while we looked on is abandoned; what a
lease says of the time is only believed to make that sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

Score = float


class Watch:
    """What was seen at each pass, and since when. `grace_seconds`: half of a lease."""

    def __init__(self, grace_seconds: float, clock: Callable[[], float]) -> None:
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._now = clock()
        self._taken: dict[str, dict[str, float]] = {}
        self._leases: dict[str, dict[str, tuple[Score, float]]] = {}

    def restart(self) -> None:
        """Forget what was seen."""
        self._taken.clear()
        self._leases.clear()

    def begin_pass(self) -> None:
        """Note the time. After a long pause, in which this process itself may have stood still, the watch begins anew."""
        before, self._now = self._now, self._clock()
        if self._now - before > 2 * self._grace_seconds:
            self.restart()

    def stuck(self, queue: str, ids: Iterable[str]) -> list[str]:
        """Return which of the ids in a queue's intermediate list have lain there for longer than a living worker needs."""
        before = self._taken.get(queue, {})
        seen = self._taken[queue] = {job_id: before.get(job_id, self._now) for job_id in ids}
        return [job_id for job_id, since in seen.items() if self._now - since >= self._grace_seconds]

    def silent(self, queue: str, leases: Mapping[str, Score], server_now: float) -> list[str]:
        """Return which leases, name to end by the server's clock, were not renewed.

        Either for their whole time, or for half of it while we looked on and they have run out.
        """
        before = self._leases.get(queue, {})
        seen = self._leases[queue] = {}
        found = []
        for name, until in leases.items():
            last, since = before.get(name, (until, self._now))
            since = since if last == until else self._now
            seen[name] = (until, since)
            silence = self._now - since
            if silence >= (self._grace_seconds if until <= server_now else 2 * self._grace_seconds):
                found.append(name)
        return found
