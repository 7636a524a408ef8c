"""What every part of the measurement shares: the model's pictures, the judges, the lists, and the data where they are there."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evals.draw import DrawSettings
from evals.judges.judges import Judges
from evals.quality.asked import Asked, read_list
from evals.quality.conditioning import Conditioning
from evals.quality.grids import Cell, grid
from evals.quality.pictures import SMALL_PX, Job, Pictures
from evals.quality.report import Figure, Report
from training.data.colours import colourable_rows
from training.data.compose import compose
from training.data.errors import DataError
from training.data.scene_maker import SceneMaker
from training.data.sprite_bank import SpriteBank
from training.data.vocabulary import HeldOut

RENDERS_SEED = "renders that no training run drew"
"""Share of a sprite that must take a colour before it is asked for in one."""
SHOWN = 100


@dataclass(frozen=True)
class Renders:
    """True pictures (N, 3, 64, 64) in [-1, 1] of fresh scenes, and their captions."""

    pixels: Tensor
    captions: tuple[str, ...]


class Exam:
    """One model's examination.

    settings: how pictures are drawn. share: of each list, from its head. data: the sprites' folder, which only the parts that
    compare with true pictures need.
    """

    def __init__(
        self,
        pictures: Pictures,
        judges: Judges,
        settings: DrawSettings,
        out: Path,
        *,
        share: float = 1.0,
        data: Path | None = None,
    ) -> None:
        self.pictures, self.judges, self.settings = pictures, judges, settings
        self.out, self.share, self.data = out, share, data

    @cached_property
    def model(self) -> str:
        """The model's name."""
        name: str = json.loads((self.pictures.model_dir / "model_index.json").read_text(encoding="utf-8"))["unclip"]["name"]
        return name

    @cached_property
    def bank(self) -> SpriteBank:
        """The sprites at the decoder's size. Raises DataError where no data folder was given."""
        if self.data is None:
            raise DataError("this part compares with true pictures; give the sprites' folder by --data, or leave it out")
        return SpriteBank.load(self.data, SMALL_PX)

    def asked(self, name: str, *, whole: bool = False) -> tuple[Asked, ...]:
        """That share of a list that was wished for, or the whole of it in any case."""
        return read_list(name, share=1.0 if whole else self.share)

    def draw(
        self,
        asked: Sequence[Asked],
        doing: str,
        *,
        conditioning: Conditioning = "prior",
        settings: DrawSettings | None = None,
        size_px: int = SMALL_PX,
    ) -> list[NDArray[np.uint8]]:
        """A picture (S, S, 3) for each."""
        chosen = settings or self.settings
        return self.pictures.draw([Job.of(one.prompt, one.seed, chosen, conditioning, size_px) for one in asked], doing)

    def renders(self, count: int) -> Renders:
        """`renders_of` this examination's sprites."""
        return renders_of(self.bank, count)

    def show(self, part: str, cells: Sequence[Cell], **how: int) -> None:
        """Save a grid of the first pictures as `PART.png`."""
        self.out.mkdir(parents=True, exist_ok=True)
        grid(cells[:SHOWN], **how).save(self.out / f"{part}.png", optimize=True)

    def report(self, part: str, figures: Sequence[Figure], **more: Any) -> Report:
        """The part's report."""
        return Report(part, self.model, self.pictures.manifest, dict(self.settings), figures, **more)


Part = Callable[[Exam], Report]


def renders_of(bank: SpriteBank, count: int) -> Renders:
    """True pictures with captions in wordings that training never used, from fresh scenes; the same for each model."""
    held_out, rng = HeldOut.read(), random.Random(RENDERS_SEED)
    maker = SceneMaker(bank.infos, held_out, colourable=colourable_rows(bank.levels))
    maker.templates = sorted(held_out.templates)
    scenes = [maker.draw(rng) for _ in range(count)]
    pixels = torch.cat([compose(scenes[at : at + 100], bank, SMALL_PX).pixels for at in range(0, count, 100)])
    return Renders(pixels, tuple(scene.caption for scene in scenes))


def pixels_of(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """(B, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
