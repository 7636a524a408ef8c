"""A job's life as server-sent events.

Every event but a preview has an id that only grows, made of what the job's record says: so a caller who comes back with
`Last-Event-ID`, to whichever process, is told what it missed, and progress never goes back, not even when a lost worker's job
is begun again.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from contract.errors import UnclipError
from contract.previews import Preview
from contract.record import JobRecord
from contract.states import JobState
from service.jobs.watcher import Follower

KEEP_ALIVE_SECONDS = 15.0
"""Proxies drop streams that are silent for long."""
RECONNECT_MILLISECONDS = 1000
_RANKS = 20_000
_FULL = 9_999
_ENDED = 10**9
_ID = re.compile(r"[0-9]{1,10}")


def event_id(job: JobRecord, after: int = 0) -> int:
    """Return the id of the event that tells of `job` as it stands, to somebody who was last told of event `after`.

    It counts attempts, and within each the share that is done, at least as much as was told before: 0 while nobody has
    begun, 10^9 when the job has ended.
    """
    if job.state.is_terminal:
        return _ENDED
    share = 0
    if job.state is JobState.RUNNING:
        done = int(job.progress.fraction * (_FULL - 1)) if job.progress else 0
        share = max(1 + done, after % _RANKS)
    return job.attempts * _RANKS + share


def fraction_of(event: int) -> float:
    """Return the share of the job that an event's id tells is done, 0 to 1."""
    return 1.0 if event >= _ENDED else max(0, event % _RANKS - 1) / (_FULL - 1)


def last_event_id(header: str | None) -> int:
    """Read `Last-Event-ID`; what is no id of ours counts as none, -1."""
    return int(header) if header and _ID.fullmatch(header) else -1


def has_seen_the_end(last: int) -> bool:
    """True for a caller who was told how the job ended."""
    return last >= _ENDED


@dataclass(frozen=True)
class Telling:
    """How one caller wants to be told. `job`: the job as the caller sees it. `preview`: gives the newest one above an index."""

    job: Callable[[JobRecord], Awaitable[dict[str, Any]]]
    preview: Callable[[str, int], Awaitable[Preview | None]] | None = None
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS


async def stream(follower: Follower, telling: Telling, last: int) -> AsyncIterator[str]:
    """Yield the events of a job after `last`, and a comment when there is nothing to tell; ends with the job."""
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    place, preview_index = None, 0
    spoke_at = time.monotonic()
    try:
        while True:
            job = follower.record
            said = ""
            if telling.preview is not None and job.state is JobState.RUNNING:
                preview = await telling.preview(job.id, preview_index)
                if preview is not None:
                    preview_index = preview.index
                    said += _preview_event(job.id, preview)
            event = event_id(job, max(0, last))
            if event > last or (job.state is JobState.QUEUED and event == last and job.queue_position != place):
                said += _job_event(job, event, last, await telling.job(job))
                last, place = event, job.queue_position
            if said:
                yield said
                spoke_at = time.monotonic()
            if job.state.is_terminal:
                return
            if not await follower.change(max(0.0, telling.keep_alive_seconds - (time.monotonic() - spoke_at))):
                yield ": still there\n\n"
                spoke_at = time.monotonic()
    except UnclipError as error:
        # The reply has begun: its status can no longer say it.
        yield _event("error", error.wire())


def _job_event(job: JobRecord, event: int, last: int, told: dict[str, Any]) -> str:
    if told.get("progress") and not job.state.is_terminal:
        told["progress"]["fraction"] = max(told["progress"]["fraction"], fraction_of(event))
    name = _name(job, last)
    return _event(name, {"type": name, "job": told}, event)


def _name(job: JobRecord, last: int) -> str:
    if job.state is not JobState.RUNNING:
        return f"job.{job.state.value}"
    return "job.progress" if last > job.attempts * _RANKS else "job.started"


def _preview_event(job_id: str, preview: Preview) -> str:
    png = base64.b64encode(preview.png).decode("ascii")
    about = {"job_id": job_id, "index": preview.index, "stage": preview.stage, "picture": preview.picture}
    return _event("job.preview", {"type": "job.preview", **about, "content_type": "image/png", "b64_json": png})


def _event(name: str, data: dict[str, Any], event: int | None = None) -> str:
    number = "" if event is None else f"id: {event}\n"
    return f"{number}event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
