"""What is shown and not judged: enlarging, what the decoder is told, modes of guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from evals.kept import digest
from evals.operations.bench import Bench, Picture, Render
from evals.operations.parts import Found
from evals.quality.asked import Asked, read_list
from evals.quality.grids import Cell
from models.row import DrawRequest
from models.setting_out import upscale

CONDITIONINGS = ("tokens", "text_embedding", "prior")
MODES = ("constant", "interval", "oscillating")
SHOWN = 8
LARGE_PX = 256


def enlarged(bench: Bench, renders: Sequence[Render]) -> Found:
    """From 64 px to 256, beside what bicubic interpolation makes of it."""
    cells = []
    for number, render in enumerate(renders[: SHOWN // 2], start=1):
        large = bench.kept.picture(["upscale", digest(render.pixels), LARGE_PX], lambda render=render: _large(bench, render))  # type: ignore[misc]
        plain = Image.fromarray(render.pixels).resize((LARGE_PX, LARGE_PX), Image.Resampling.BICUBIC)
        cells += [Cell(render.pixels, render.said[0]), Cell(np.asarray(plain), "bicubic"), Cell(large, "upsampler, 256 px")]
        bench.tell("upscale", number, SHOWN // 2)
    return Found(bench.report("operations-upscale", [], {}), cells, 6)


def conditionings(bench: Bench, _: Sequence[Render]) -> Found:
    """The same captions and seeds, with three things told to the decoder."""
    ways = {name: {"conditioning": name} for name in CONDITIONINGS}
    return Found(bench.report("operations-conditionings", [], {}), _ways(bench, ways, "conditionings"), 2 * len(ways))


def guidance(bench: Bench, _: Sequence[Render]) -> Found:
    """The same captions and seeds, with three modes of guidance."""
    ways = {name: {"guidance_mode": name} for name in MODES}
    return Found(bench.report("operations-guidance", [], {}), _ways(bench, ways, "guidance"), 2 * len(ways))


def _ways(bench: Bench, ways: dict[str, dict[str, Any]], doing: str) -> list[Cell]:
    """Each caption in every way, beside one another."""
    cells = []
    asked = read_list("familiar")[::15][:SHOWN]
    for number, one in enumerate(asked, start=1):
        for name, changes in ways.items():
            told = ["asked", one.prompt, one.seed, dict(bench.settings), changes]
            pixels = bench.kept.picture(told, lambda one=one, changes=changes: _asked(bench, one, changes))  # type: ignore[misc]
            cells.append(Cell(pixels, f"{one.prompt}: {name}", bench.shows([pixels], one.concepts[0])[0]))
        bench.tell(doing, number, len(asked))
    return cells


def _asked(bench: Bench, one: Asked, changes: dict[str, Any]) -> Picture:
    request = DrawRequest(one.prompt, one.seed, stop_at="decoder", **{**bench.settings, **changes})
    return bench.finish(bench.cascade.admit(request))[0]


def _large(bench: Bench, render: Render) -> Picture:
    request = bench.request(stop_at=None, size_px=LARGE_PX)
    row = upscale(bench.cascade, request, render.pixels)
    bench.finish(row)
    return bench.cascade.picture(row)
