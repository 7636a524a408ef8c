"""Uncurated samples: prompts drawn by lot, one picture of each, as large as the model draws by default."""

from __future__ import annotations

from evals.quality.exam import Exam
from evals.quality.grids import Cell
from evals.quality.report import Report

SIZE_PX, COLUMNS, CELL_PX, LABEL_LINES = 256, 8, 128, 4


def samples(exam: Exam) -> Report:
    """Every prompt of the list at its seed; nothing is chosen and nothing left out."""
    asked = exam.asked("samples", whole=True)
    pictures = exam.draw(asked, "samples", size_px=SIZE_PX)
    cells = [Cell(picture, one.prompt) for picture, one in zip(pictures, asked, strict=True)]
    exam.show("samples", cells, columns=COLUMNS, cell_px=CELL_PX, label_lines=LABEL_LINES)
    return exam.report("samples", [], details=[{"prompt": one.prompt, "seed": one.seed} for one in asked])
