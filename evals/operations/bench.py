"""True pictures, and what is drawn from them: rows that begin at pictures, run to their 64 px picture."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evals.draw import DrawSettings, cascade_of, default_settings
from evals.judges.judges import Judges
from evals.kept import TOGETHER, Kept, digest
from evals.quality.report import Figure, Report
from models.cascade import Cascade, to_pixels
from models.errors import ModelError
from models.latent import Latent
from models.origin import Aim, Along, Origin, Source, Stay, Turned
from models.row import DONE, WAITING, DrawRequest, Row
from models.setting_out import add_captions, admit_from, origin_of
from training.data.compose import compose
from training.data.phrasing import with_article
from training.data.scene_maker import SceneMaker
from training.data.scenes import Scene
from training.data.shares import Shares
from training.data.sprite_bank import SpriteBank
from training.data.vocabulary import HeldOut

SIZE_PX = 64
RENDERS_SEED = 90_210
"""Of the placements, which training drew others of."""
STEPS = 50
EDIT_GUIDANCE = 8.0
"""Guidance of a text diff at theta 1, as a request gets it that leaves it out."""
FAMILIAR = Shares(
    kinds={"single": 1}, styles={"flat": 1}, concepts={"familiar": 1}, backdrops={"white": 1}, recoloured=0.0, names_style=0.0,
    small=0.0, large_sizes=(0.86, 0.98),
)  # fmt: skip
"""What the decoder was shown most: one familiar flat object, large, on white."""
EVERYDAY = replace(FAMILIAR, concepts={"everyday": 1}, backdrops={"white": 0.5, "plain": 0.5})
"""The same of all everyday things, on white or one colour."""
PAIRS = replace(FAMILIAR, kinds={"relation": 1}, backdrops={"white": 0.5, "plain": 0.5})
"""Two familiar things in a picture."""
Picture = NDArray[np.uint8]
Show = Callable[[str, float, float], None]
"""Called as show(doing, done, total)."""


@dataclass(frozen=True, eq=False)
class Render:
    """A true picture, (64, 64, 3) uint8. owners: (64, 64), 1 where its first object is, and so on. said: each one's name."""

    scene: Scene
    pixels: Picture
    owners: NDArray[np.uint8]
    said: tuple[str, ...]

    @property
    def concept(self) -> str:
        """What it shows, or the first of it."""
        return self.scene.objects[0].concept


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture that is to be drawn from renders.

    begins: one render, or the ends of a way. share: of the way. target, source: captions of a text diff, theta: how far along
    it. is_inverted: from the render's own x_T; else from noise by the seed. inversion_steps: of the way to x_T. changes: what
    is asked for beside, by the names of `DrawRequest`.
    """

    begins: tuple[Render, ...]
    share: float | None = None
    target: str = ""
    source: str = ""
    theta: float = 0.0
    is_inverted: bool = True
    inversion_steps: int = STEPS
    changes: Mapping[str, Any] = field(default_factory=dict)

    def told(self) -> list[Any]:
        """All that decides its pixels, as plain JSON values."""
        turned = [self.target, self.source, self.theta, EDIT_GUIDANCE, "by the prior"] if self.theta else []
        began = [digest(one.pixels) for one in self.begins]
        return ["shot", began, self.share, turned, self.is_inverted, self.inversion_steps, dict(self.changes)]


@dataclass(frozen=True, eq=False)
class Bench:
    """A cascade, who judges what it draws, and how it draws: without guidance, by DDIM, at 64 px. kept: what it drew before."""

    cascade: Cascade
    judges: Judges
    settings: DrawSettings
    kept: Kept
    show: Show | None = None

    @classmethod
    def open(cls, model: Path, out: Path, show: Show | None = None) -> Self:
        """With the judges that ship; what is drawn is kept in OUT/kept. Raises ModelError."""
        kept = Kept(model, out / "kept")
        return cls(cascade_of(model), Judges.load(), default_settings(model), kept, show)

    def request(self, **changes: Any) -> DrawRequest:
        """A request without a caption, for rows that begin at pictures."""
        drawn_plainly = DrawSettings(**{**self.settings, "steps": STEPS, "guidance_scale": 1.0})
        return replace(DrawRequest("", seed=0, stop_at="decoder", eta=0.0, **drawn_plainly), **changes)

    def draw(self, shots: Sequence[Shot], doing: str) -> list[Picture]:
        """(64, 64, 3) of each; those that are kept are not drawn again."""
        tolds = [shot.told() for shot in shots]
        missing = [shot for shot, told in zip(shots, tolds, strict=True) if shot.is_inverted and not self.kept.has(told)]
        for steps in {shot.inversion_steps for shot in missing}:
            self.latents(
                list(dict.fromkeys(one for shot in missing if shot.inversion_steps == steps for one in shot.begins)), steps
            )
        return self.kept.pictures(
            tolds,
            lambda numbers: self.finish(*(self._begun(shots[number]) for number in numbers)),
            lambda done: self.tell(doing, done, len(shots)),
        )

    def tell(self, doing: str, done: int, total: int) -> None:
        """Say how far it has come."""
        if self.show is not None:
            self.show(doing, done, total)

    def latent(self, render: Render, steps: int = STEPS) -> Latent:
        """(z_i, x_T) of a render; found once."""
        return self.latents([render], steps)[0]

    def latents(self, renders: Sequence[Render], steps: int = STEPS) -> list[Latent]:
        """Those of several, found together."""
        tolds = [["latent", digest(one.pixels), steps] for one in renders]
        missing = [number for number, told in enumerate(tolds) if not self.kept.has(told, "bin")]
        for start in range(0, len(missing), TOGETHER):
            part = missing[start : start + TOGETHER]
            for number, found in zip(part, self._inverted([renders[number] for number in part], steps), strict=True):
                self.kept.data(tolds[number], found.to_bytes)
            self.tell("inversion", len(renders) - len(missing) + start + len(part), len(renders))
        return [Latent.from_bytes(self.kept.data(told, _nothing)) for told in tolds]

    def finish(self, *rows: Row) -> list[Picture]:
        """The rows' pictures, (64, 64, 3) each. Raises ModelError where one fails."""
        self._run(rows, lambda row: row.stage in (DONE, WAITING))
        return [to_pixels(row.small[0]) for row in rows if row.small is not None]

    def shows(self, pictures: Sequence[Picture], concept: str, among: int = 5) -> list[bool]:
        """For each picture: is the concept among the judge's first guesses?"""
        group = self.judges.group(concept)
        return [group in guesses[:among] for guesses in self.judges.names(pixels_of(pictures))]

    def report(self, part: str, figures: Sequence[Figure], tables: Mapping[str, str], details: Sequence[Any] = ()) -> Report:
        """A part's findings, with how it drew."""
        settings = {**self.settings, "steps": STEPS, "guidance_scale": 1.0}
        return Report(part, self.cascade.name, self.kept.manifest, settings, list(figures), dict(tables), list(details))

    def _begun(self, shot: Shot) -> Row:
        told = {"prompt": shot.target, "guidance_scale": EDIT_GUIDANCE * shot.theta} if shot.theta else {}
        request = self.request(**told, **shot.changes)
        if shot.is_inverted:
            sources = [Source(latent=self.latent(one, shot.inversion_steps)) for one in shot.begins]
        else:
            sources = [Source(picture=one.pixels) for one in shot.begins]
        origin = origin_of(self.cascade, sources, seed=0, is_inverted=shot.is_inverted)
        if shot.theta:
            add_captions(self.cascade, origin, (shot.target, shot.source))
        return admit_from(self.cascade, request, origin, self._aim(shot))

    def _aim(self, shot: Shot) -> Aim:
        if shot.theta:
            return Turned(shot.theta)
        return Stay() if shot.share is None else Along(shot.share)

    def _inverted(self, renders: Sequence[Render], steps: int) -> list[Latent]:
        origins = [origin_of(self.cascade, [Source(picture=one.pixels)], seed=0) for one in renders]
        request = self.request(inversion_steps=steps)
        rows = [admit_from(self.cascade, request, origin, Stay()) for origin in origins]
        self._run(rows, lambda row: row.origin is None or row.origin.found is not None)
        return [self._latent_of(origin) for origin in origins]

    def _latent_of(self, origin: Origin) -> Latent:
        if origin.found is None or origin.found[0].x_T is None:
            raise ModelError("the inversion found no x_T")
        return Latent(self.cascade.name, 0, "", 0.0, "done", origin.found[0].z_i, origin.found[0].x_T)

    def _run(self, rows: Sequence[Row], is_done: Callable[[Row], bool]) -> None:
        while left := [row for row in rows if not is_done(row)]:
            self.cascade.stages[left[0].stage].run([row for row in left if row.stage == left[0].stage])
            if failed := next((row for row in rows if row.failure is not None), None):
                raise ModelError(f"a row failed: {failed.failure}")


def renders_of(bank: SpriteBank, judges: Judges, count: int, shares: Shares = FAMILIAR) -> list[Render]:
    """Fresh scenes of things that the judges know; the same for each model. Raises DataError."""
    rng, maker = random.Random(RENDERS_SEED), SceneMaker(bank.infos, HeldOut.read(), shares)
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = maker.draw(rng)
        if all(judges.groups.knows(placed.concept) for placed in scene.objects):
            scenes.append(scene)
    composed = compose(scenes, bank, SIZE_PX)
    owners = composed.owners.cpu().numpy()
    names = [tuple(with_article(maker.vocabulary[one.concept].nouns[0]) for one in scene.objects) for scene in scenes]
    return [
        Render(scene, to_pixels(one), own, said)
        for scene, one, own, said in zip(scenes, composed.pixels, owners, names, strict=True)
    ]


def pixels_of(pictures: Sequence[Picture]) -> Tensor:
    """(B, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(one: Picture, other: Picture) -> float:
    """Peak signal-to-noise ratio, in dB, of two pictures."""
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def _nothing() -> bytes:
    raise AssertionError("a latent that was kept is gone")
