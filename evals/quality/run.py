"""`unclip eval quality` from end to end: the parts, in order, each written down as soon as it is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.quality import copies, skills
from evals.quality.conditionings import captions, conditionings
from evals.quality.embeddings import embeddings
from evals.quality.exam import Exam, Part
from evals.quality.report import Report
from evals.quality.samples import samples
from evals.quality.settings_curve import steps
from evals.quality.zero_shot import zero_shot
from training.data.errors import DataError

PARTS: Mapping[str, Part] = {
    "objects": skills.names("objects", "objects", 0.9),
    "familiar": skills.names("familiar", "familiar objects", None),
    "embeddings": embeddings,
    "styles": skills.names("styles", "held-out object and style pairs", 0.75),
    "colours": skills.colours,
    "counts": skills.counts,
    "relations": skills.relations,
    "backdrops": skills.backdrops,
    "phrases": skills.names("phrases", "open vocabulary", None),
    "captions": captions,
    "samples": samples,
    "conditionings": conditionings,
    "style-fit": copies.style_fit,
    "copies": copies.copies,
    "steps": steps,
    "zero-shot": zero_shot,
}
NEED_DATA = frozenset({"embeddings", "conditionings", "style-fit", "copies", "zero-shot"})
"""Parts that compare with true pictures."""
WITH_GOALS = frozenset({"objects", "styles", "colours", "counts", "relations", "backdrops"})
"""Parts of whose figures some have a goal."""


def run(exam: Exam, parts: Sequence[str] = tuple(PARTS)) -> list[Report]:
    """Measure those parts in their usual order; write `PART.json` and `PART.png` into the exam's folder.

    Raises ModelError, and DataError where a part needs data that was not given: said before the first picture is drawn.
    """
    if exam.data is None and (needing := [part for part in PARTS if part in parts and part in NEED_DATA]):
        raise DataError(f"{', '.join(needing)}: compared with true pictures; give the sprites' folder by --data")
    reports = []
    for name, part in PARTS.items():
        if name in parts:
            report = part(exam)
            report.write(exam.out)
            reports.append(report)
    return reports
