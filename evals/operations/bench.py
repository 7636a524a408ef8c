"""True pictures, and rows that begin at them, run to their 64 px picture."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evals.draw import DrawSettings
from evals.judges.judges import Judges
from models.cascade import Cascade, to_pixels
from models.errors import ModelError
from models.origin import Aim, Origin, Source
from models.row import DONE, WAITING, DrawRequest, Row
from models.setting_out import admit_from, origin_of
from training.data.compose import compose
from training.data.scene_maker import SceneMaker, Shares
from training.data.scenes import Scene
from training.data.sprite_bank import SpriteBank
from training.data.vocabulary import HeldOut

SIZE_PX = 64
RENDERS_SEED = 90_210
"""Of the placements, which training drew others of."""
FAMILIAR = Shares(
    kinds={"single": 1}, styles={"flat": 1}, concepts={"familiar": 1}, backdrops={"white": 1}, recoloured=0.0, names_style=0.0
)
Show = Callable[[str, float, float], None]


@dataclass(frozen=True, eq=False)
class Render:
    """A true picture, (64, 64, 3) uint8: one familiar object on white. owners: (64, 64), 1 where the object is."""

    scene: Scene
    pixels: NDArray[np.uint8]
    owners: NDArray[np.uint8]

    @property
    def concept(self) -> str:
        """What it shows."""
        return self.scene.objects[0].concept


@dataclass(frozen=True, eq=False)
class Bench:
    """A cascade, who judges what it draws, and how it draws: without guidance, by DDIM, at 64 px."""

    cascade: Cascade
    judges: Judges
    settings: DrawSettings

    def request(self, **changes: object) -> DrawRequest:
        """A request without a caption, for rows that begin at pictures."""
        plain = DrawRequest(
            "",
            seed=0,
            steps=50,
            guidance_scale=1.0,
            prior_steps=self.settings["prior_steps"],
            prior_guidance_scale=self.settings["prior_guidance_scale"],
            upsample_steps=self.settings["upsample_steps"],
            stop_at="decoder",
            eta=0.0,
        )
        return replace(plain, **changes)  # type: ignore[arg-type]

    def origin(self, *sources: NDArray[np.uint8] | str, is_inverted: bool = True) -> Origin:
        """Pictures and prompts as sources."""
        told = [Source(prompt=one) if isinstance(one, str) else Source(picture=one) for one in sources]
        return origin_of(self.cascade, told, seed=0, is_inverted=is_inverted)

    def begin(self, origin: Origin, aim: Aim, **changes: object) -> Row:
        """A row of an origin."""
        return admit_from(self.cascade, self.request(**changes), origin, aim)

    def finish(self, *rows: Row) -> list[NDArray[np.uint8]]:
        """The rows' pictures, (64, 64, 3) each. Raises ModelError where one fails."""
        while left := [row for row in rows if row.stage not in (DONE, WAITING)]:
            self.cascade.stages[left[0].stage].run([row for row in left if row.stage == left[0].stage])
            if failed := next((row for row in rows if row.failure is not None), None):
                raise ModelError(f"a row failed: {failed.failure}")
        return [to_pixels(row.small[0]) for row in rows if row.small is not None]

    def shows(self, pictures: Sequence[NDArray[np.uint8]], concept: str, among: int = 5) -> list[bool]:
        """For each picture: is the concept among the judge's first guesses?"""
        group = self.judges.group(concept)
        return [group in guesses[:among] for guesses in self.judges.names(pixels_of(pictures))]


def renders_of(data: Path, judges: Judges, count: int, shares: Shares = FAMILIAR) -> list[Render]:
    """Fresh scenes of things that the judges know; the same for each model. Raises DataError."""
    bank, held_out, rng = SpriteBank.load(data, SIZE_PX), HeldOut.read(), random.Random(RENDERS_SEED)
    maker = SceneMaker(bank.infos, held_out, shares)
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = maker.draw(rng)
        if all(judges.groups.knows(placed.concept) for placed in scene.objects):
            scenes.append(scene)
    composed = compose(scenes, bank, SIZE_PX)
    owners = composed.owners.cpu().numpy()
    return [Render(scene, to_pixels(one), own) for scene, one, own in zip(scenes, composed.pixels, owners, strict=True)]


def pixels_of(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """(B, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio, in dB, of two pictures."""
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))
