"""What `unclip calibrate` found out about this machine: time and memory of a call, by stage and number of rows.

It lies as `calibration.json` in the data folder. A worker takes ceilings and costs from it when it is of the same model,
device, mode, threads and torch; both say how rows are scheduled, neither how a pixel is computed. Without it: defaults.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

FILE = "calibration.json"
NEARLY = 0.95
"""A larger call must gain more than the rest to one, or it only makes others wait."""
MEMORY_SHARE = 0.8
"""Of the memory that was free, what calls may take: rows in flight and a first call's workspaces need some too."""


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Setup(_Found):
    """What a measurement is of; another machine or model needs its own."""

    model: str
    manifest_sha256: str
    device: str
    cuda_mode: str
    cpu_backend: str = "torch"
    threads: int
    torch: str


class Point(_Found):
    """One size of call: rows, seconds of the median call, and bytes that it took beyond what was taken before."""

    rows: int
    seconds: float
    peak_bytes: int


class Calibration(_Found):
    """All of it. `points`: by stage, rows ascending. `free_bytes`: of the device's memory before the first call; 0: unknown."""

    format_version: int = 1
    setup: Setup
    measured_at: datetime
    free_bytes: int
    points: Mapping[str, Sequence[Point]]

    @property
    def ceilings(self) -> dict[str, int]:
        """Most rows in a call, by stage."""
        return {stage: ceiling(points, self.free_bytes) for stage, points in self.points.items() if points}

    @property
    def costs(self) -> dict[str, float]:
        """Seconds of one row's step, by stage, in a call of as many rows as its ceiling."""
        ceilings = self.ceilings
        return {
            stage: next(point.seconds / point.rows for point in points if point.rows == ceilings[stage])
            for stage, points in self.points.items()
            if points
        }

    def costs_beside(self, own: Mapping[str, float]) -> dict[str, float]:
        """Return costs for the stages of `own`: as measured, and where nothing was, their own word in the same unit."""
        costs = self.costs
        known = [costs[stage] / own[stage] for stage in own if stage in costs]
        unit = statistics.median(known) if known else 1.0
        return {stage: costs.get(stage, cost * unit) for stage, cost in own.items()}


def ceiling(points: Sequence[Point], free_bytes: int) -> int:
    """Return how many rows a call had better not exceed: the fewest that draw nearly as many rows a second as any that fit."""
    fitting = [point for point in points if not free_bytes or point.peak_bytes <= MEMORY_SHARE * free_bytes]
    if not fitting:
        return points[0].rows
    best = max(point.rows / point.seconds for point in fitting)
    return min(point.rows for point in fitting if point.rows / point.seconds >= NEARLY * best)


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write the file, whole or not at all. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary, path = folder / f".{FILE}.tmp", folder / FILE
    temporary.write_text(calibration.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def read_calibration(folder: Path, setup_now: Callable[[], Setup]) -> Calibration | None:
    """Return what was measured of exactly this setup; None where nothing was, or of another, which is logged.

    setup_now: asked only where there is a file.
    """
    log = structlog.get_logger(__name__)
    path = folder / FILE
    try:
        found = Calibration.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("the calibration cannot be read; defaults are used", path=str(path), reason=str(error))
        return None
    setup = setup_now()
    differing = [name for name in Setup.model_fields if getattr(found.setup, name) != getattr(setup, name)]
    if found.format_version != 1 or differing:
        log.warning("the calibration is of another setup; run `unclip calibrate` again", path=str(path), differing=differing)
        return None
    return found


def manifest_digest(model_folder: Path) -> str:
    """Return the sha256 of a model folder's manifest, which names all of its weights."""
    try:
        return hashlib.sha256((model_folder / "manifest.json").read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
