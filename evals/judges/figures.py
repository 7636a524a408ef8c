"""How far the judges can be trusted: measured on renders that no training drew."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from evals.judges.judges import Judges
from evals.judges.renders import Renders
from evals.judges.verify import CLAIMS, alter, judge_scene
from evals.quality.measures import r_precision
from evals.statistics import bootstrap, markdown_table
from training.data.compose import compose
from training.data.scenes import Scene

FIGURES_SEED = 2**40 + 7
"""Training seeds its generators far below."""


def measure(judges: Judges, renders: Renders, count: int) -> dict[str, Any]:
    """All figures over `count` renders each; a share's 95 % bootstrap interval stands beside it."""
    generator = torch.Generator().manual_seed(FIGURES_SEED)
    figures: dict[str, Any] = {"groups": len(judges.groups.names), "concepts": judges.groups.concepts}
    figures["classifier"] = classifier_figures(judges, renders, count, generator)
    scenes = renders.scenes(count, generator)
    clean = compose(scenes, renders.bank, 64).pixels
    figures["detector"] = detector_figures(judges, renders, scenes, clean)
    figures["detector_on_worsened"] = detector_figures(judges, renders, scenes, renders.pictures(scenes, generator))
    figures["portraits"] = portrait_figures(judges, renders, count, generator)
    captions = [scene.caption for scene in scenes]
    figures["matcher"] = {"r_precision": _share(r_precision(judges.matches(clean, captions), captions))}
    return figures


def classifier_figures(judges: Judges, renders: Renders, count: int, generator: torch.Generator) -> dict[str, Any]:
    """One object in each picture, found by the detector and then named. worsened: blurred, noisy, of other contrast."""
    single = _only("single", renders)
    scenes = single.scenes(count, generator)
    wanted = [judges.group(scene.objects[0].concept) for scene in scenes]
    figures: dict[str, Any] = {}
    for name, pixels in (
        ("worsened", single.pictures(scenes, generator)),
        ("clean", compose(scenes, renders.bank, 64).pixels),
    ):
        named = judges.names(pixels)
        first = [names[0] == group for names, group in zip(named, wanted, strict=True)]
        five = [group in names for names, group in zip(named, wanted, strict=True)]
        figures[name] = {"top_1": _share(first), "top_5": _share(five)}
        figures[name] |= {f"top_1_{style}": _share(hits) for style, hits in _by([s.style for s in scenes], first).items()}
    return figures


def detector_figures(judges: Judges, renders: Renders, scenes: Sequence[Scene], pixels: Tensor) -> dict[str, Any]:
    """Per claim: the share of scenes where it is found true, and the share of altered scenes where it is found false."""
    rng = random.Random(FIGURES_SEED)
    concepts = sorted(renders.maker.vocabulary.concepts)
    true: dict[str, list[bool]] = {claim: [] for claim in CLAIMS}
    false: dict[str, list[bool]] = {claim: [] for claim in CLAIMS}
    each: list[bool] = []
    for scene, seen in zip(scenes, judges.scene(pixels), strict=True):
        verdicts = judge_scene(seen, scene, judges.groups)
        for claim in CLAIMS:
            if claim != "colour" or any(placed.colour for placed in scene.objects):
                true[claim].append(verdicts[claim])
            altered = alter(scene, claim, concepts, judges.groups, rng)
            if altered is not None:
                false[claim].append(not judge_scene(seen, altered, judges.groups)[claim])
        each += [judge_scene(seen, replace(scene, objects=(placed,)), judges.groups)["place"] for placed in scene.objects]
    return {
        "found_true": {claim: _share(hits) for claim, hits in true.items()},
        "altered_found_false": {claim: _share(hits) for claim, hits in false.items()},
        "single_objects_named_in_place": _share(each),
    }


def portrait_figures(judges: Judges, renders: Renders, count: int, generator: torch.Generator) -> dict[str, Any]:
    """One large thing exactly in the middle of white, as a prompt of one thing is mostly drawn: the share where one is seen."""
    scenes = _only("portrait", renders).scenes(count, generator)
    seen = judges.scene(compose(scenes, renders.bank, 64).pixels)
    return {"count": _share([len(one.objects) == len(scene.objects) for one, scene in zip(seen, scenes, strict=True)])}


def to_markdown(figures: dict[str, Any]) -> str:
    """What `measure` found as a table."""
    rows: list[list[str]] = []

    def add(what: str, share: dict[str, Any], goal: str = "") -> None:
        rows.append([what, f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})", str(share["n"]), goal])

    for name, told in (("worsened", "blurred, noisy, of other contrast"), ("clean", "as rendered")):
        add(f"one object, {told}: named first", figures["classifier"][name]["top_1"], "≥ 95 %" if name == "worsened" else "")
        add(f"one object, {told}: among the first five", figures["classifier"][name]["top_5"])
    for claim in CLAIMS:
        add(f"scenes: {claim} found right", figures["detector"]["found_true"][claim], "≥ 98 %")
        add(f"scenes, {claim} altered in the caption: found wrong", figures["detector"]["altered_found_false"][claim], "≥ 98 %")
    for claim in CLAIMS:
        add(f"worsened scenes: {claim} found right", figures["detector_on_worsened"]["found_true"][claim])
    add("one large object exactly in the middle: count found right", figures["portraits"]["count"])
    add("R-precision of true pictures among 100 captions", figures["matcher"]["r_precision"])
    head = (
        f"{figures['concepts']} concepts in {figures['groups']} groups. In brackets, 95 % bootstrap intervals over renders.\n\n"
    )
    return head + markdown_table(("judges on renders that no training drew", "share", "n", "goal"), rows)


def _only(kind: str, renders: Renders) -> Renders:
    return Renders(renders.bank, renders.groups, replace(renders.shares, kinds={kind: 1.0}))


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    interval = bootstrap(hits, resamples=1000)
    return {"value": round(interval.value, 4), "low": round(interval.low, 4), "high": round(interval.high, 4), "n": len(hits)}


def _by(keys: Sequence[str], hits: Sequence[bool]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = defaultdict(list)
    for key, hit in zip(keys, hits, strict=True):
        found[key].append(hit)
    return dict(sorted(found.items()))
