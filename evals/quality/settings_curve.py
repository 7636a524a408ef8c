"""Quality against steps and guidance: what the default settings are chosen from."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from evals.draw import DrawSettings, turbo_settings
from evals.quality.exam import Exam, pixels_of
from evals.quality.measures import r_precision
from evals.quality.pictures import Job, travel
from evals.quality.report import Report
from evals.quality.verdicts import is_named
from evals.statistics import Interval, bootstrap, markdown_table
from models.cascade import Cascade

OBJECTS, CAPTIONS, TIMED = 60, 60, 3
STEPS = (2, 3, 4, 6, 8, 12, 20)
GUIDANCE = (1.0, 1.5, 2.0, 3.0, 4.0)
PRIOR_STEPS = (2, 4, 8, 16)


@dataclass(frozen=True)
class Point:
    """How well and how fast one choice of settings draws. seconds: of one picture at 64 px, median."""

    what: str
    settings: DrawSettings
    first: Interval
    five: Interval
    match: Interval
    seconds: float


def steps(exam: Exam) -> Report:
    """One setting varied at a time, the others at the model's defaults."""
    cascade = Cascade.load(exam.pictures.model_dir, device=exam.pictures.device)
    points = []
    for what, settings in variants(exam.settings, has_turbo="decoder_turbo" in cascade.stages):
        first, five, match = _quality(exam, what, settings)
        points.append(Point(what, settings, first, five, match, _seconds(cascade, settings)))
    rows = [[one.what, str(one.five), str(one.first), str(one.match), f"{one.seconds:.2f}"] for one in points]
    head = ("setting", "object among first 5", "named first", f"R-precision among {points[0].match.n}", "s to 64 px")
    details = [{"what": one.what, "first": one.first.value, "five": one.five.value, "match": one.match.value,
                "seconds": one.seconds} for one in points]  # fmt: skip
    table = markdown_table(head, rows)
    n = f"{points[0].five.n} objects and {points[0].match.n} captions each, seconds the median of {TIMED}, warm"
    return exam.report("steps", [], tables={f"One setting varied at a time ({n})": table}, details=details)


def variants(defaults: DrawSettings, *, has_turbo: bool) -> Iterator[tuple[str, DrawSettings]]:
    """The defaults, then each neighbour of them; the turbo decoder has its own steps and no guidance."""
    yield "defaults", defaults
    for steps in STEPS:
        yield f"decoder steps {steps}", DrawSettings(**{**defaults, "steps": steps})
    for scale in GUIDANCE:
        yield f"decoder guidance {scale:g}", DrawSettings(**{**defaults, "guidance_scale": scale})
    for steps in PRIOR_STEPS:
        yield f"prior steps {steps}", DrawSettings(**{**defaults, "prior_steps": steps})
    for scale in GUIDANCE:
        yield f"prior guidance {scale:g}", DrawSettings(**{**defaults, "prior_guidance_scale": scale})
    if has_turbo:
        yield "turbo decoder", turbo_settings(defaults)


def _quality(exam: Exam, what: str, settings: DrawSettings) -> tuple[Interval, Interval, Interval]:
    """Objects named first, among the first five, and R-precision, over the heads of their lists."""
    objects = exam.asked("objects")[: max(1, round(OBJECTS * exam.share))]
    guesses = exam.judges.names(pixels_of(exam.draw(objects, what, settings=settings)))
    first, five = (
        bootstrap([is_named(groups, one, exam.judges.group, among) for groups, one in zip(guesses, objects, strict=True)])
        for among in (1, 5)
    )
    told = [one.prompt for one in exam.asked("captions")[: max(1, round(CAPTIONS * exam.share))]]
    pictures = exam.draw(exam.asked("captions")[: len(told)], what, settings=settings)
    return first, five, bootstrap(r_precision(exam.judges.matches(pixels_of(pictures), told), told))


def _seconds(cascade: Cascade, settings: DrawSettings) -> float:
    taken = []
    for seed in range(TIMED + 1):
        began = time.perf_counter()
        travel(cascade, [Job.of("a red apple", seed, settings)])
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])
