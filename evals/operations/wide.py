"""The chief figures once more on all everyday things, most of which the decoder was shown far less often."""

from __future__ import annotations

from collections.abc import Sequence

from evals.operations import parts
from evals.operations.bench import Bench, Render
from evals.operations.parts import Found
from evals.quality.grids import Cell
from evals.quality.report import Figure
from evals.statistics import bootstrap

THETA = 0.5


def wide(bench: Bench, renders: Sequence[Render]) -> Found:
    """Reconstruction, variations and text diffs of everyday things on white or one colour."""
    near = parts.reconstructions(bench, renders)
    shots = parts.variations(renders)
    varied = bench.draw(shots, "everyday, vary")
    kept = parts.names_kept(bench, shots, varied)
    ways = parts.targets(renders)
    edited = bench.draw(parts.turned(ways, THETA), "everyday, edit")
    aims = [bench.shows([one], other.concept)[0] for one, (_, other) in zip(edited, ways, strict=True)]
    own = [bench.shows([one.pixels], one.concept)[0] for one in renders]
    figures = [
        *parts.fidelity(near),
        parts.varied_figure(kept),
        Figure(f"edit: target seen at theta {THETA:g}", bootstrap(aims), goal=parts.EDIT_GOAL),
        Figure("true pictures whose name the judge says: more cannot be hoped for", bootstrap(own)),
    ]
    cells = []
    for number, (render, edit) in enumerate(zip(renders, edited, strict=True)):
        at = number * parts.SEEDS
        cells += [
            Cell(render.pixels, render.said[0], own[number]),
            Cell(varied[at], f"eta {parts.ETA:g}", kept[at]),
            Cell(edit, f"to {ways[number][1].said[0]}", aims[number]),
        ]
    return Found(bench.report("operations-everyday", figures, {}), cells, 9)
