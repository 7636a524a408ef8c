"""What each operation is measured by: pictures drawn from true ones, a judge's verdicts, figures with goals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evals.inpainting.cases import object_mask
from evals.operations.bench import STEPS, Bench, Picture, Render, Shot, pixels_of, psnr
from evals.quality.grids import Cell
from evals.quality.report import Figure, Report
from evals.statistics import Spread, bootstrap, bootstrap_median, markdown_table
from models.clip.find import find

FEWER_STEPS, FEW = (5, 10, 25), 12
"""Other numbers of inversion steps, and of how many renders."""
ETA, ETAS, STRENGTHS, VARIED, SEEDS = 0.5, (0.25, 0.75, 1.0), (0.5, 1.0), 6, 2
"""The eta of the goal, others, and strengths of noise, of how many renders; seeds of each variation."""
THETAS, EDITED = (0.25, 0.35, 0.5, 0.75), 16
FRAMES, WAYS = 5, 6
ENDS = 1
"""Levels of 255 by which the end of a way may differ from its source: kernels of other shapes round otherwise."""
FOUND = 0.6
"""Overlap from which a mask counts as found."""
PSNR_GOAL, GAIN_GOAL, KEPT_GOAL, EDIT_GOAL = 25.0, 8.0, 0.8, 0.5


@dataclass(frozen=True)
class Found:
    """A part's report, and the cells of its grid."""

    report: Report
    cells: Sequence[Cell]
    columns: int


def encode(bench: Bench, renders: Sequence[Render]) -> Found:
    """Pictures through (z_i, x_T) and back, by number of steps, against white noise in place of x_T."""
    ways = {f"inverted, {steps} steps": _back(renders[:FEW], steps) for steps in FEWER_STEPS}
    ways |= {f"inverted, {STEPS} steps": _back(renders, STEPS), f"white noise, {STEPS} steps": _white(renders)}
    drawn = _drawn(bench, ways, "encode")
    near = {
        name: [psnr(one, of.pixels) for one, of in zip(pictures, renders, strict=False)] for name, pictures in drawn.items()
    }
    rows = [
        [name, f"{(s := Spread.of(n)).median:.1f}", f"{s.lower_quartile:.1f} to {s.upper_quartile:.1f}", str(s.n)]
        for name, n in near.items()
    ]
    table = markdown_table(("x_T", "median PSNR, dB", "quartiles", "n"), rows)
    cells = _lines(renders, drawn, lambda render: f"true: {render.said[0]}")
    details = [dict(zip(near, values, strict=True)) for values in zip(*near.values(), strict=False)]
    report = bench.report("operations-encode", fidelity(near), {"Decoded from their own latent, eta 0": table}, details)
    return Found(report, cells, len(ways) + 1)


def vary(bench: Bench, renders: Sequence[Render]) -> Found:
    """Does a variation show the same thing, and do seeds differ, by eta? Also from noise, as Karlo varies."""
    few = renders[:VARIED]
    ways = {f"eta {ETA:g}": _varied(renders, eta=ETA)}
    ways |= {f"eta {eta:g}": _varied(few, eta=eta) for eta in ETAS}
    ways |= {f"noise, strength {strength:g}": _varied(few, is_inverted=False, strength=strength) for strength in STRENGTHS}
    ways = dict(sorted(ways.items()))
    drawn = _drawn(bench, ways, "vary")
    kept = {name: names_kept(bench, ways[name], pictures) for name, pictures in drawn.items()}
    apart = {name: distances(bench, pictures) for name, pictures in drawn.items()}
    rows = [[n, str(bootstrap(kept[n])), bootstrap(apart[n]).numbers(), str(len(drawn[n]) // SEEDS)] for n in drawn]
    table = markdown_table(("", "judge still names it", "distance between seeds", "n"), rows)
    firsts = {name: pictures[::SEEDS] for name, pictures in drawn.items()}
    verdicts = {name: of[::SEEDS] for name, of in kept.items()}
    cells = _lines(few, firsts, lambda render: f"true: {render.said[0]}", verdicts)
    figures = [varied_figure(kept[f"eta {ETA:g}"]), apart_figure(apart[f"eta {ETA:g}"])]
    report = bench.report("operations-vary", figures, {f"Variations, {SEEDS} seeds of each picture": table})
    return Found(report, cells, len(ways) + 1)


def edit(bench: Bench, renders: Sequence[Render]) -> Found:
    """Text diffs from what a picture shows to another render's name: is the target seen, and until where the source?"""
    ways = targets(renders)[:EDITED]
    shots = {0.0: _back([one for one, _ in ways], STEPS)} | {theta: turned(ways, theta) for theta in THETAS}
    drawn = {theta: bench.draw(of, f"edit, theta {theta:g}") for theta, of in shots.items()}
    sources = {t: [bench.shows([one], a.concept)[0] for one, (a, _) in zip(of, ways, strict=True)] for t, of in drawn.items()}
    aims = {t: [bench.shows([one], b.concept)[0] for one, (_, b) in zip(of, ways, strict=True)] for t, of in drawn.items()}
    rows = [[f"{theta:g}", str(bootstrap(sources[theta])), str(bootstrap(aims[theta]))] for theta in drawn]
    best = max(drawn, key=lambda theta: sum(aims[theta]))
    figures = [
        Figure(f"edit: target seen at the best theta, {best:g}", bootstrap(aims[best]), goal=EDIT_GOAL),
        Figure("edit: source seen at theta 0", bootstrap(sources[0.0]), goal=1.0),
    ]
    table = markdown_table(("theta", "source seen", "target seen"), rows)
    cells: list[Cell] = []
    for number, (one, other) in enumerate(ways):
        cells.append(Cell(drawn[0.0][number], f"{one.said[0]} to {other.said[0]}"))
        cells += [Cell(drawn[theta][number], f"theta {theta:g}", aims[theta][number]) for theta in THETAS]
    report = bench.report("operations-edit", figures, {f"Text diffs, n = {len(ways)}": table})
    return Found(report, cells, len(drawn))


def interpolate(bench: Bench, renders: Sequence[Render]) -> Found:
    """Do the ends of a way between two pictures reproduce them as encoding does?"""
    ends = list(zip(renders, [*renders[1:], renders[0]], strict=True))[:WAYS]
    shares = [number / (FRAMES - 1) for number in range(FRAMES)]
    drawn = bench.draw([Shot(pair, share=share) for pair in ends for share in shares], "interpolate")
    reproduced: list[bool] = []
    for number, pair in enumerate(ends):
        frames, alone = drawn[number * FRAMES : (number + 1) * FRAMES], bench.draw(_back(pair, STEPS), "interpolate, ends")
        reproduced += [_largest(frames[0], alone[0]) <= ENDS, _largest(frames[-1], alone[1]) <= ENDS]
    told = f"interpolate: ends that are their sources' own reconstruction, to {ENDS} of 255"
    cells = [Cell(pixels, f"{shares[number % FRAMES]:g}") for number, pixels in enumerate(drawn)]
    return Found(bench.report("operations-interpolate", [Figure(told, bootstrap(reproduced), goal=1.0)], {}), cells, FRAMES)


def words(bench: Bench, renders: Sequence[Render], pairs: Sequence[Render]) -> Found:
    """Masks by words against the box of the thing named: of things alone, and of one of two."""
    sets = {"alone on white": _overlaps(bench, renders), "one of two": _overlaps(bench, pairs)}
    every = [one for found in sets.values() for one, _ in found]
    figures = [
        Figure("mask by words: mean overlap (IoU) with the thing's box", bootstrap(every), goal=FOUND, unit="number"),
        Figure(f"mask by words: overlap of {FOUND:g} and more", bootstrap([one >= FOUND for one in every])),
    ]
    rows = [[name, bootstrap([o for o, _ in found]).numbers(2), str(bootstrap([o >= FOUND for o, _ in found])), str(len(found))]
            for name, found in sets.items()]  # fmt: skip
    table = markdown_table(("the thing is", "mean overlap", f"{FOUND:g} and more", "n"), rows)
    cells = [cell for found in sets.values() for _, cell in found[:16]]
    return Found(bench.report("operations-words", figures, {"Masks by words": table}), cells, 8)


def fidelity(near: dict[str, list[float]]) -> list[Figure]:
    """The figures of reconstruction. near: PSNR of each way."""
    own, white = (near[f"{name}, {STEPS} steps"] for name in ("inverted", "white noise"))
    gains = [one - other for one, other in zip(own, white, strict=True)]
    said = f"with {STEPS} inversion steps"
    return [
        Figure(f"encode: median PSNR at 64 px {said}, eta 0", bootstrap_median(own), goal=PSNR_GOAL, unit="dB"),
        Figure("encode: by how much more than from white noise, median", bootstrap_median(gains), goal=GAIN_GOAL, unit="dB"),
    ]


def varied_figure(kept: Sequence[bool]) -> Figure:
    """Of variations at the goal's eta."""
    return Figure(f"vary: pictures at eta {ETA:g} whose name the judge keeps", bootstrap(kept), goal=KEPT_GOAL)


def apart_figure(apart: Sequence[float]) -> Figure:
    """How far seeds lie apart."""
    return Figure(f"vary: distance between seeds at eta {ETA:g} (1 - cosine)", bootstrap(apart), unit="number")


def names_kept(bench: Bench, shots: Sequence[Shot], pictures: Sequence[Picture]) -> list[bool]:
    """Does each picture still show what its render does?"""
    return [bench.shows([one], shot.begins[0].concept)[0] for one, shot in zip(pictures, shots, strict=True)]


def distances(bench: Bench, pictures: Sequence[Picture]) -> list[float]:
    """Between the seeds of each variation, one minus the cosine of how the judge sees them."""
    features = bench.judges.features(pixels_of(pictures))
    groups = [range(at, at + SEEDS) for at in range(0, len(pictures), SEEDS)]
    return [1 - float(features[one] @ features[other]) for group in groups for one, other in combinations(group, 2)]


def targets(renders: Sequence[Render]) -> list[tuple[Render, Render]]:
    """Each render with the next one that shows another thing."""
    ways = []
    for number, one in enumerate(renders):
        others = [*renders[number + 1 :], *renders[:number]]
        ways += [(one, other) for other in others if other.concept != one.concept][:1]
    return ways


def turned(ways: Iterable[tuple[Render, Render]], theta: float) -> list[Shot]:
    """Text diffs by theta."""
    return [Shot((one,), target=other.said[0], source=one.said[0], theta=theta) for one, other in ways]


def overlap(found: NDArray[np.bool_] | None, true: NDArray[np.bool_]) -> float:
    """Intersection over union; 0 where nothing was found."""
    return 0.0 if found is None else float((found & true).sum() / (found | true).sum())


def reconstructions(bench: Bench, renders: Sequence[Render]) -> dict[str, list[float]]:
    """PSNR of each render decoded from its own latent, and of its z_i from white noise."""
    ways = {f"inverted, {STEPS} steps": _back(renders, STEPS), f"white noise, {STEPS} steps": _white(renders)}
    drawn = _drawn(bench, ways, "encode")
    return {name: [psnr(one, of.pixels) for one, of in zip(drawn[name], renders, strict=True)] for name in ways}


def variations(renders: Sequence[Render]) -> list[Shot]:
    """At the goal's eta."""
    return _varied(renders, eta=ETA)


def _overlaps(bench: Bench, renders: Sequence[Render]) -> list[tuple[float, Cell]]:
    found = []
    for number, render in enumerate(renders, start=1):
        bench.tell("masks by words", number, len(renders))
        for place, said in enumerate(render.said):
            true = object_mask(render.owners, place + 1)
            if true.any() and render.said.count(said) == 1:
                mask = find(bench.cascade, render.pixels, said)
                value, shown = overlap(mask, true), render.pixels.copy()
                if mask is not None:
                    shown[~mask] = shown[~mask] // 2 + 110
                found.append((value, Cell(shown, f"{said}: {value:.2f}", value >= FOUND)))
    return found


def _back(renders: Iterable[Render], steps: int) -> list[Shot]:
    return [Shot((one,), inversion_steps=steps, changes={"steps": steps}) for one in renders]


def _white(renders: Iterable[Render]) -> list[Shot]:
    return [Shot((one,), is_inverted=False, changes={"seed": 1}) for one in renders]


def _varied(renders: Iterable[Render], *, is_inverted: bool = True, **changes: float) -> list[Shot]:
    return [
        Shot((one,), is_inverted=is_inverted, changes={"seed": seed, **changes}) for one in renders for seed in range(SEEDS)
    ]


def _drawn(bench: Bench, ways: dict[str, list[Shot]], part: str) -> dict[str, list[Picture]]:
    return {name: bench.draw(shots, f"{part}, {name}") for name, shots in ways.items()}


def _lines(
    renders: Sequence[Render],
    drawn: Mapping[str, Sequence[Picture]],
    said: Callable[[Render], str],
    verdicts: Mapping[str, Sequence[bool]] | None = None,
) -> list[Cell]:
    """A line for each render that was drawn in every way: itself, and what came of it."""
    cells = []
    for number in range(min(len(of) for of in drawn.values())):
        cells.append(Cell(renders[number].pixels, said(renders[number])))
        cells += [Cell(of[number], name, None if verdicts is None else verdicts[name][number]) for name, of in drawn.items()]
    return cells


def _largest(one: Picture, other: Picture) -> int:
    return int(np.abs(one.astype(int) - other).max())
