"""The parts that ask for one thing and look whether it is there: a name, a colour, a count, a relation, a backdrop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.judges.judges import Seen
from evals.quality.asked import Asked
from evals.quality.exam import Exam, Part, pixels_of
from evals.quality.grids import Cell
from evals.quality.report import Figure, Report
from evals.quality.verdicts import (
    AMONG,
    Group,
    has_backdrop,
    has_both,
    has_colour,
    has_count,
    is_coloured,
    is_counted,
    is_named,
    is_related,
)
from evals.statistics import bootstrap, markdown_table

DIRECTIONS = ("left of", "right of", "above", "below")
Verdict = Callable[[Seen, Asked, Group], bool]
Row = dict[str, Any]


def names(part: str, what: str, goal: float | None) -> Part:
    """A part whose pictures the classifier names: its list's name, what is asked for, the goal for the first five guesses."""

    def measure(exam: Exam) -> Report:
        asked = exam.asked(part)
        pictures = exam.draw(asked, part)
        guesses = exam.judges.names(pixels_of(pictures))
        group = exam.judges.group
        five = [is_named(groups, one, group) for groups, one in zip(guesses, asked, strict=True)]
        first = [is_named(groups, one, group, among=1) for groups, one in zip(guesses, asked, strict=True)]
        figures = [
            Figure(f"{what}: named among the judge's first {AMONG}", bootstrap(five), goal),
            Figure(f"{what}: named first", bootstrap(first)),
        ]
        details = [
            {"prompt": one.prompt, "seed": one.seed, "right": right, "guesses": list(groups)}
            for one, right, groups in zip(asked, five, guesses, strict=True)
        ]
        exam.show(part, cells(pictures, asked, five))
        tables = {"By style": by(asked, {"named among the first 5": five}, "style")} if asked[0].style else {}
        return exam.report(part, figures, tables=tables, details=details)

    return measure


def colours(exam: Exam) -> Report:
    """An object in a colour: seen, and in that colour."""
    asked, pictures, right, details = look(exam, "colours", is_coloured, has_colour)
    figures = [
        Figure("colour: the named object is seen in it", bootstrap(right[0]), 0.9),
        Figure("colour: something is seen in it", bootstrap(right[1])),
    ]
    exam.show("colours", cells(pictures, asked, right[0]))
    table = by(asked, {"the object in it": right[0], "anything in it": right[1]}, "colour")
    return exam.report("colours", figures, tables={"By colour": table}, details=details)


def counts(exam: Exam) -> Report:
    """One to five of an object: so many of it, and nothing else."""
    asked, pictures, right, details = look(exam, "counts", is_counted, has_count)

    figures = [Figure("count, 1 to 5: so many objects, of whatever name", bootstrap(right[1]))]
    for low, high, goal in ((1, 3, 0.85), (4, 5, 0.6)):
        what = f"count, {low} to {high}: so many of the named object and nothing else"
        figures += _some(what, [hit for hit, one in zip(right[0], asked, strict=True) if low <= (one.count or 0) <= high], goal)
    exam.show("counts", cells(pictures, asked, right[0]))
    table = by(asked, {"of the object": right[0], "of anything": right[1]}, "count")
    return exam.report("counts", figures, tables={"By count": table}, details=details)


def relations(exam: Exam) -> Report:
    """One object in a relation to another: pairs like those of training, and pairs that stood in no relation there."""
    figures: list[Figure] = []
    tables: dict[str, str] = {}
    details: list[Row] = []
    goal: float | None = 0.8
    for name, what in (("relations", "relation"), ("held-out-relations", "relation, held-out pairs")):
        asked, pictures, right, rows = look(exam, name, is_related, has_both)
        directed = [hit for hit, one in zip(right[0], asked, strict=True) if one.relation in DIRECTIONS]
        figures += _some(f"{what}: left, right, above, below", directed, goal)
        figures.append(Figure(f"{what}: both objects are seen, wherever", bootstrap(right[1])))
        goal = within_ten_points(figures[0].interval.value)  # of the held-out pairs
        tables[f"By relation ({what})"] = by(asked, {"in relation": right[0], "both seen": right[1]}, "relation")
        details += rows
        exam.show(name, cells(pictures, asked, right[0]))
    return exam.report("relations", figures, tables=tables, details=details)


def within_ten_points(seen: float) -> float | None:
    """What held-out pairs must reach, beside the share of seen ones; no goal where those are hardly ever drawn."""
    return round(seen - 0.1, 4) if seen > 0.1 else None


def backdrops(exam: Exam) -> Report:
    """An object on a backdrop: the backdrop is the asked one."""
    asked, pictures, right, details = look(exam, "backdrops", has_backdrop)
    exam.show("backdrops", cells(pictures, asked, right[0]))
    figures = [Figure("backdrop", bootstrap(right[0]), 0.9)]
    return exam.report("backdrops", figures, tables={"By backdrop": by(asked, {"seen": right[0]}, "backdrop")}, details=details)


def _some(name: str, hits: Sequence[bool], goal: float | None) -> list[Figure]:
    """The figure, if a small share of the list has anything of the kind."""
    return [Figure(name, bootstrap(hits), goal)] if hits else []


def look(
    exam: Exam, name: str, *verdicts: Verdict
) -> tuple[tuple[Asked, ...], list[NDArray[np.uint8]], list[list[bool]], list[Row]]:
    """Draw a list, let the detector look: what was asked, the pictures, each verdict's hits, and a line for each picture."""
    asked = exam.asked(name)
    pictures = exam.draw(asked, name)
    seen = exam.judges.scene(pixels_of(pictures))
    group = exam.judges.group
    hits = [[verdict(what, one, group) for what, one in zip(seen, asked, strict=True)] for verdict in verdicts]
    details = [
        {"prompt": one.prompt, "seed": one.seed, "right": right, "seen": spoken(what)}
        for one, right, what in zip(asked, hits[0], seen, strict=True)
    ]
    return asked, pictures, hits, details


def spoken(seen: Seen) -> str:
    """What the detector saw, for a reader: "red apple (0.3, 0.5); car (0.7, 0.5) on plain white"."""
    objects = [f"{one.colour or ''} {one.concept_group} ({one.x:.2f}, {one.y:.2f})".strip() for one in seen.objects]
    return f"{'; '.join(objects) or 'nothing'} on {seen.backdrop}"


def cells(pictures: Sequence[NDArray[np.uint8]], asked: Sequence[Asked], right: Sequence[bool]) -> list[Cell]:
    """For a grid."""
    return [Cell(pixels, one.prompt, is_right) for pixels, one, is_right in zip(pictures, asked, right, strict=True)]


def by(asked: Sequence[Asked], verdicts: dict[str, Sequence[bool]], field: str) -> str:
    """Shares for each value of a field of what was asked, in the values' order of name or number."""
    rows = []
    for value in sorted({getattr(one, field) for one in asked}):
        of_it = [at for at, one in enumerate(asked) if getattr(one, field) == value]
        rows.append([str(value), str(len(of_it)), *(str(bootstrap([hits[at] for at in of_it])) for hits in verdicts.values())])
    return markdown_table((field, "n", *verdicts), rows)
