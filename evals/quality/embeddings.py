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
from evals.quality.pictures import SMALL_PX, go
from evals.quality.report import Figure, Report
from evals.quality.skills import cells
from evals.quality.verdicts import AMONG, is_named
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
LISTS = {"objects": "names", "styles": "held-out pairs", "phrases": "phrases in other words"}


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
    """What the prior draws for names and phrases, among all sprites; pictures of the names from its z_i and from a true one.

    What is named from a true z_i is the most that a better prior could bring; what is missing then is the decoder's.
    """
    threads = torch.get_num_threads()
    sprites = sprites_of(exam.bank, ImageTower.load(exam.pictures.model_dir, exam.pictures.device), exam.pictures.device)
    figures = [figure for name, title in LISTS.items() for figure in _likeness(exam, sprites, exam.asked(name), title)]
    asked = exam.asked("objects")
    true = sprites.z_i[[own_sprite(sprites, one) for one in asked]]
    pictures = {"the prior": exam.draw(asked, "embeddings"), "a true picture": from_z_i(exam, asked, true)}
    for whose, drawings in pictures.items():
        guesses = exam.judges.names(pixels_of(drawings))
        named = [is_named(each, one, exam.judges.group) for each, one in zip(guesses, asked, strict=True)]
        figures.append(Figure(f"names, drawn from the z_i of {whose}: named among the judge's first {AMONG}", bootstrap(named)))
        exam.show("embeddings", cells(drawings, asked, named))  # the last is what stays
    torch.set_num_threads(threads)  # a cascade on a CPU has set it to one, for its pictures' last bits
    return exam.report("embeddings", figures)


def _likeness(exam: Exam, sprites: Sprites, asked: Sequence[Asked], title: str) -> list[Figure]:
    """How often the prior's z_i for what is asked lies nearest, or nearly so, to a sprite that shows it."""
    cascade, group = exam.pictures.cascade, exam.judges.group
    drawn = [draw_z_i(cascade, _request(exam, one), cascade.text.encode([one.prompt])) for one in asked]
    near = [[group(name) for name in names] for names in sprites.nearest(torch.cat(drawn), AMONG)]
    first, five = ([is_named(names, one, group, among) for names, one in zip(near, asked, strict=True)] for among in (1, AMONG))
    return [
        Figure(f"{title}: the prior's z_i is nearest to a sprite that shows it", bootstrap(first)),
        Figure(f"{title}: one that shows it is among the nearest {AMONG}", bootstrap(five)),
    ]


def sprites_of(bank: SpriteBank, tower: ImageTower, device: str = "cpu") -> Sprites:
    """One sprite of each concept and style, as CLIP sees it alone on white, but of no concept without a group.

    device: the tower's.
    """
    found = rows_of(bank)
    rows = list(found.values())
    return Sprites(rows, [concept for concept, _ in found], seen_alone(rows, bank, tower, device))


def rows_of(bank: SpriteBank) -> dict[tuple[str, str], int]:
    """By concept and style the row of one sprite; of no concept without a group, as training and judges have it."""
    found: dict[tuple[str, str], int] = {}
    for row, info in enumerate(bank.infos):
        if info.group is not None:
            found.setdefault((info.base, info.style), row)
    return found


def seen_alone(rows: Sequence[int], bank: SpriteBank, tower: ImageTower, device: str = "cpu") -> Tensor:
    """z_i (N, D) of the bank's rows, each alone on white. device: the tower's."""
    seen = []
    for start in range(0, len(rows), CHUNK):
        scenes = [_alone(row, bank) for row in rows[start : start + CHUNK]]
        seen.append(tower.encode(compose(scenes, bank, SMALL_PX).pixels.to(device)))
    return torch.cat(seen)


def own_sprite(sprites: Sprites, asked: Asked) -> int:
    """The number of a chance sprite of the asked concept, the same for the same seed."""
    return random.Random(asked.seed).choice([at for at, name in enumerate(sprites.concepts) if name in asked.concepts])


def from_z_i(exam: Exam, asked: Sequence[Asked], z_i: Tensor) -> list[NDArray[np.uint8]]:
    """Pictures (64, 64, 3) of the captions and of z_i (N, D) that no prior drew."""
    cascade, together, drawn = exam.pictures.cascade, exam.pictures.together, []
    for start in range(0, len(asked), together):
        part = slice(start, start + together)
        rows = [admit_at(cascade, _request(exam, one), own[None]) for one, own in zip(asked[part], z_i[part], strict=True)]
        for row in rows:
            row.route = row.route[:1]
        go(cascade, rows)
        drawn += [to_pixels(row.small[0]) for row in rows if row.small is not None]
    return drawn


def _alone(row: int, bank: SpriteBank) -> Scene:
    info = bank.infos[row]
    return Scene((Placed(row, info.base, None, 0.5, 0.5, SIDE),), Backdrop("plain", ("white",)), info.style, None, None, "")


def _request(exam: Exam, asked: Asked) -> DrawRequest:
    return DrawRequest(prompt=asked.prompt, seed=asked.seed, **exam.settings)
