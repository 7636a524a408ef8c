"""Previews on their way to the queue: each asking job's latest, at most five times a second, and only when it changed."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from workers.engine import Sketch
from workers.progress import MIN_INTERVAL_SECONDS


@dataclass
class Shown:
    """What one job has shown: when and what the engine last posted, and whether it still waits to be sent."""

    at: float
    sketch: Sketch
    is_waiting: bool = True


class PreviewBoard:
    """Keeps each job's latest sketch; the engine's thread posts, the clerk's takes what waits."""

    def __init__(self, clock: Callable[[], float], interval_seconds: float = MIN_INTERVAL_SECONDS) -> None:
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._shown: dict[str, Shown] = {}

    def is_due(self, job_id: str) -> bool:
        """Whether a job may show another one now. Asked first, so that nobody reads out pixels for nothing."""
        shown = self._shown.get(job_id)
        return shown is None or self._clock() - shown.at >= self._interval_seconds

    def post(self, job_id: str, sketch: Sketch) -> None:
        """Put up a job's sketch, replacing what was there; one that shows what the last did stays unsent."""
        before = self._shown.get(job_id)
        if before is not None and before.sketch.stage == sketch.stage and np.array_equal(before.sketch.pixels, sketch.pixels):
            before.at = self._clock()
            return
        self._shown[job_id] = Shown(self._clock(), sketch)

    def waiting(self) -> Mapping[str, Sketch]:
        """Return what should be sent now. What cannot be sent is not lost: `sent` says what was."""
        return {job_id: shown.sketch for job_id, shown in list(self._shown.items()) if shown.is_waiting}

    def sent(self, told: Mapping[str, Sketch]) -> None:
        """Note that these reached the queue."""
        for job_id, sketch in told.items():
            shown = self._shown.get(job_id)
            if shown is not None and shown.sketch is sketch:
                shown.is_waiting = False

    def forget(self, job_id: str) -> None:
        """Take down a job that has ended."""
        self._shown.pop(job_id, None)


def encode_preview(sketch: Sketch) -> bytes:
    """Return a sketch as a small PNG; quickly rather than tightly, for it is looked at once."""
    file = io.BytesIO()
    Image.fromarray(sketch.pixels).save(file, format="PNG", compress_level=1)
    return file.getvalue()
