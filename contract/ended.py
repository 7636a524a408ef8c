"""The stream of what became of jobs: written in the same transaction as the job's own record, read by the webhook sender.

One entry for each beginning and each end: `job`, its id; `state`, a `JobState`: `running`, `succeeded`, `failed` or `canceled`;
`queue`, its `lane:key`; of one that succeeded also `work`, as `work_of` counts it. An entry's id begins with Redis's own time
in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from contract.states import JobState

ENDED = "unclip:ended"
OPEN = "unclip:open"
"""A hash of the jobs whose end was not told yet, each with its `lane:key`: what ends without a word is found in it."""
MAX_ENTRIES = 100_000
"""About how many entries are kept; the oldest go."""
RATE_ENTRIES = 500
RATE_SECONDS = 600.0
"""A rate is taken over the last so many entries, none of them older than this."""


@dataclass(frozen=True)
class Entry:
    """One entry. `at_seconds`: when, by Redis's clock, since 1970. `work`: 0 where nobody said."""

    id: str
    job_id: str
    state: JobState
    queue: str
    work: float = 0.0

    @property
    def at_seconds(self) -> float:
        """When the entry was written."""
        return int(self.id.partition("-")[0]) / 1000


def tell(pipe: Any, job_id: str, state: JobState, queue: str, work: float = 0.0) -> None:
    """Add an entry in a transaction under way, or at once on a plain connection."""
    fields = {"job": job_id, "state": state.value, "queue": queue} | ({"work": f"{work:.4g}"} if work else {})
    pipe.xadd(ENDED, fields, maxlen=MAX_ENTRIES, approximate=True)
    if state.is_terminal:
        pipe.hdel(OPEN, job_id)
    else:
        pipe.hset(OPEN, job_id, queue)


def read_entries(raw: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Entry]:
    """Read what XRANGE and its like return; entries of another shape are left out."""
    found = []
    for entry_id, fields in raw:
        try:
            state = JobState(fields[b"state"].decode())
            queue, work = fields.get(b"queue", b"").decode(), float(fields.get(b"work", 0))
            found.append(Entry(entry_id.decode(), fields[b"job"].decode(), state, queue, work))
        except (KeyError, ValueError):
            continue
    return found


def jobs_per_second(redis: Redis, queue_prefix: str = "") -> float | None:
    """Return how many jobs of the queues that begin so ended lately in a second; None where none did.

    Measured over the stream's last entries, up to ten minutes back, by Redis's clock alone.
    """
    with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.xrevrange(ENDED, count=RATE_ENTRIES)
        (seconds, microseconds), raw = pipe.execute()
    now = seconds + microseconds / 1e6
    ages = [
        now - entry.at_seconds
        for entry in read_entries(raw)
        if entry.state.is_terminal and entry.state is not JobState.CANCELED and entry.queue.startswith(queue_prefix)
    ]
    recent = [age for age in ages if age <= RATE_SECONDS]
    # Within a second a rate says nothing: one job that has just ended is not a thousand in a second.
    return len(recent) / max(1.0, *recent) if recent else None
