"""Does the model copy? How near its pictures lie to the nearest sprite, beside how near sprites lie to each other."""

from __future__ import annotations

from collections import defaultdict

import torch

from evals.nearest import features, nearest, on_white
from evals.quality.exam import Exam, pixels_of
from evals.quality.grids import Cell
from evals.quality.pictures import SMALL_PX
from evals.quality.report import Figure, Report
from evals.quality.skills import by
from evals.statistics import bootstrap

LIKE_A_COPY = 0.95
"""Pearson's correlation of pixels, framed alike, above which two pictures are hardly told apart at 64 px."""


def copies(exam: Exam) -> Report:
    """Each picture beside the sprite that it is most like, among all that were trained on."""
    asked = exam.asked("copies")
    pictures = exam.draw(asked, "copies")
    sprites = exam.bank.levels[SMALL_PX]
    found = nearest(pixels_of(pictures), sprites)
    apart = between_styles(exam, {name for one in asked for name in one.concepts})
    figures = [
        Figure("correlation with the nearest training sprite", bootstrap(found.correlations.tolist()), unit="number"),
        Figure(f"pictures nearer than {LIKE_A_COPY} to a sprite", bootstrap((found.correlations > LIKE_A_COPY).tolist())),
        Figure("for comparison: one thing's sprites in two styles, the nearest two", bootstrap(apart), unit="number"),
    ]
    infos = exam.bank.infos
    cells, details = [], []
    for picture, one, row, value in zip(pictures, asked, found.rows.tolist(), found.correlations.tolist(), strict=True):
        name = f"{infos[row].name} ({infos[row].style})"
        sprite = ((on_white(sprites[row][None])[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        cells += [Cell(picture, one.prompt), Cell(sprite, f"{name}, {value:.2f}")]
        details.append({"prompt": one.prompt, "seed": one.seed, "nearest": name, "correlation": round(value, 4)})
    exam.show("copies", cells[: 2 * 40])
    return exam.report("copies", figures, details=details)


def between_styles(exam: Exam, concepts: set[str]) -> list[float]:
    """For each concept the highest correlation of two of its sprites that come from different styles."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, info in enumerate(exam.bank.infos):
        if info.base in concepts:
            rows[info.base].append(row)
    best = []
    for of_one in rows.values():
        styles = [exam.bank.infos[row].style for row in of_one]
        unit = features(on_white(exam.bank.levels[SMALL_PX][of_one]))
        is_other = torch.tensor([[one != two for two in styles] for one in styles])
        if is_other.any():
            best.append(float((unit @ unit.T)[is_other].max()))
    return best


def style_fit(exam: Exam) -> Report:
    """Is a held-out pair drawn in the style asked for? By which of the concept's own sprites it is most like.

    The held-out sprite itself is among them, though the model never saw it. Guessing finds one style in about five.
    """
    asked = exam.asked("styles")
    pictures = exam.draw(asked, "styles")
    right = []
    for picture, one in zip(pictures, asked, strict=True):
        rows = [row for row, info in enumerate(exam.bank.infos) if info.base in one.concepts]
        found = nearest(pixels_of([picture]), exam.bank.levels[SMALL_PX][rows])
        right.append(exam.bank.infos[rows[int(found.rows[0])]].style == one.style)
    figures = [Figure("held-out pairs: nearest to the concept's sprite of the asked style", bootstrap(right))]
    return exam.report("style-fit", figures, tables={"By style": by(asked, {"nearest": right}, "style")})
