"""Where a name is lost: does the prior draw a z_i that says it, and does the decoder draw what a z_i says?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from evals.priors import draw_z_i
from evals.quality.asked import Asked
from evals.quality.conditioning import admit_at
from evals.quality.exam import Exam, pixels_of
from evals.quality.grids import Cell
from evals.quality.pictures import SMALL_PX, go
from evals.quality.report import Figure, Report
from evals.quality.verdicts import AMONG, is_named, wanted
from evals.statistics import bootstrap
from models.cascade import to_pixels
from models.clip.image import ImageTower
from models.row import DrawRequest
from training.data.compose import compose
from training.data.scenes import Backdrop, Placed, Scene
from training.data.sprite_bank import SpriteBank

SIDE = 0.85
"""Of a true picture's object, as a share of the picture's side: as large as training mostly shows one that stands alone."""
CHUNK = 256


@dataclass(frozen=True)
class Sprites:
    """One sprite of each concept in each of its styles: bank rows, concepts, and the z_i (N, D) of its picture on white."""

    rows: Sequence[int]
    concepts: Sequence[str]
    z_i: Tensor

    def nearest(self, z_i: Tensor, count: int) -> list[list[str]]:
        """The concepts of the sprites nearest to each z_i, the nearest first, by cosine after the mean of all is taken off."""
        mean = self.z_i.mean(dim=0)
        likeness = normalize(z_i - mean, dim=1) @ normalize(self.z_i - mean, dim=1).T
        return [[self.concepts[at] for at in row] for row in likeness.topk(min(count, len(self.rows))).indices.tolist()]


def embeddings(exam: Exam) -> Report:
    """Of each listed name: the prior's z_i among those of all sprites, and pictures from it and from a true z_i of the name.

    What is named from a true z_i is the most that a better prior could bring; what is missing then is the decoder's.
    """
    asked, cascade = exam.asked("objects"), exam.pictures.cascade
    sprites = sprites_of(exam.bank, ImageTower.load(exam.pictures.model_dir, exam.pictures.device))
    requests = [DrawRequest(prompt=one.prompt, seed=one.seed, **exam.settings) for one in asked]
    drawn = torch.cat([draw_z_i(cascade, each, cascade.text.encode([each.prompt])) for each in requests])
    near = sprites.nearest(drawn, AMONG)
    true = sprites.z_i[[own_sprite(sprites, one) for one in asked]]
    pictures = {"its prior": exam.draw(asked, "embeddings"), "a true picture": from_z_i(exam, requests, true)}
    figures = [
        Figure("the prior's z_i: nearest to a sprite of the name", bootstrap(_own(exam, asked, near, among=1))),
        Figure(f"the prior's z_i: a sprite of the name among the nearest {AMONG}", bootstrap(_own(exam, asked, near))),
    ]
    named = {}
    for whose, drawings in pictures.items():
        guesses = exam.judges.names(pixels_of(drawings))
        named[whose] = [is_named(each, one, exam.judges.group) for each, one in zip(guesses, asked, strict=True)]
        what = f"pictures from the z_i of {whose}: named among the judge's first {AMONG}"
        figures.append(Figure(what, bootstrap(named[whose])))
    cells = [
        Cell(*cell)
        for cell in zip(pictures["a true picture"], (one.prompt for one in asked), named["a true picture"], strict=True)
    ]
    exam.show("embeddings", cells)
    return exam.report("embeddings", figures)


def sprites_of(bank: SpriteBank, tower: ImageTower) -> Sprites:
    """One sprite of each concept and style, as CLIP sees it alone on white."""
    found: dict[tuple[str, str], int] = {}
    for row, info in enumerate(bank.infos):
        found.setdefault((info.base, info.style), row)
    rows = list(found.values())
    seen = []
    for start in range(0, len(rows), CHUNK):
        scenes = [_alone(row, bank) for row in rows[start : start + CHUNK]]
        seen.append(tower.encode(compose(scenes, bank, SMALL_PX).pixels))
    return Sprites(rows, [concept for concept, _ in found], torch.cat(seen))


def own_sprite(sprites: Sprites, asked: Asked) -> int:
    """The number of a chance sprite of the asked concept, the same for the same seed."""
    return random.Random(asked.seed).choice([at for at, name in enumerate(sprites.concepts) if name in asked.concepts])


def from_z_i(exam: Exam, requests: Sequence[DrawRequest], z_i: Tensor) -> list[NDArray[np.uint8]]:
    """Pictures (64, 64, 3) of the requests' captions and of z_i that no prior drew."""
    cascade, together, drawn = exam.pictures.cascade, exam.pictures.together, []
    for start in range(0, len(requests), together):
        part = slice(start, start + together)
        rows = [admit_at(cascade, each, one[None]) for each, one in zip(requests[part], z_i[part], strict=True)]
        for row in rows:
            row.route = row.route[:1]
        go(cascade, rows)
        drawn += [to_pixels(row.small[0]) for row in rows if row.small is not None]
    return drawn


def _alone(row: int, bank: SpriteBank) -> Scene:
    info = bank.infos[row]
    return Scene((Placed(row, info.base, None, 0.5, 0.5, SIDE),), Backdrop("plain", ("white",)), info.style, None, None, "")


def _own(exam: Exam, asked: Sequence[Asked], near: Sequence[Sequence[str]], among: int = AMONG) -> list[bool]:
    group = exam.judges.group
    return [
        not wanted(one, group).isdisjoint(group(name) for name in names[:among]) for one, names in zip(asked, near, strict=True)
    ]
