"""Rendered scenes for the judges: every concept, every style, with labels. No drawn picture ever comes in here."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from evals.judges.groups import Groups
from evals.judges.views import SIZE_PX, windows, worsen
from training.data.colours import HUES, colourable_rows
from training.data.compose import compose
from training.data.scene_maker import SceneMaker
from training.data.scenes import COLOURS, Scene
from training.data.shares import Shares
from training.data.sprite_bank import SpriteBank
from training.data.vocabulary import HeldOut

EVEN = Shares(
    kinds={"single": 0.4, "portrait": 0.15, "count": 0.15, "relation": 0.22, "several": 0.08},
    portraits={"styled": 1.0},
    styles={"flat": 0.2, "fluent": 0.2, "3d": 0.2, "noto": 0.2, "twemoji": 0.2},
    concepts={"everyday": 0.62, "people-body": 0.15, "smileys-emotion": 0.11, "symbols": 0.1, "flags": 0.02},
    recoloured=0.2,
)
"""Every concept about as often as the others, unlike in the cascade's training. Nothing is held out: the judges must know what
the cascade was not shown. Portraits, for where a large thing exactly in the middle always had another inside it, a detector saw
one there too."""
NOTHING = HeldOut(frozenset(), frozenset(), frozenset())
LOOKS_PX = 32
MOST_CROPS = 2
"""Objects of one scene that become crops; several would mostly be the same sprite again."""
NO_COLOUR, UNCLEAR = len(COLOURS), -1
MOST, FEW = 0.6, 0.2
"""A sprite is said to be of a colour by nature where more than the first share of it is, and of none below the second."""


@dataclass(frozen=True)
class Crops:
    """n objects cut out. pixels: (n, 3, 64, 64). groups: (n,). colours: (n,), place in `COLOURS`, NO_COLOUR or UNCLEAR."""

    pixels: Tensor
    groups: Tensor
    colours: Tensor


class Renders:
    """Scenes over a bank, and what is to be seen in them."""

    def __init__(self, bank: SpriteBank, groups: Groups, shares: Shares | None = None) -> None:
        self.bank, self.groups, self.shares = bank, groups, shares or EVEN
        self.maker = SceneMaker(bank.infos, NOTHING, self.shares, colourable_rows(bank.levels))
        self.natural = natural_colours(bank)

    def scenes(self, count: int, generator: torch.Generator) -> list[Scene]:
        """So many scenes; all their chance comes from `generator`."""
        rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
        return [self.maker.draw(rng) for _ in range(count)]

    def pictures(self, scenes: Sequence[Scene], generator: torch.Generator) -> Tensor:
        """(B, 3, 64, 64) in [-1, 1], made worse."""
        with torch.autocast(self.bank.device.type, enabled=False):  # pictures are data: never rounded to bf16
            return worsen(compose(scenes, self.bank, SIZE_PX).pixels, generator)

    def crops(self, count: int, generator: torch.Generator) -> Crops:
        """`count` objects, each cut out with some room around it and made worse."""
        scenes = self.scenes(count, generator)
        chosen = [(row, k) for row, scene in enumerate(scenes) for k in range(min(MOST_CROPS, len(scene.objects)))][:count]
        scenes = scenes[: chosen[-1][0] + 1]
        with torch.autocast(self.bank.device.type, enabled=False):
            pixels = compose(scenes, self.bank, SIZE_PX).pixels
            rows = torch.tensor([row for row, _ in chosen], device=pixels.device)
            placed = [scenes[row].objects[k] for row, k in chosen]
            boxes = torch.tensor([(p.x, p.y, p.size) for p in placed])
            cut = windows(pixels[rows], *(part.to(pixels.device) for part in jitter(boxes, generator)))
            cut = worsen(cut, generator)
        groups = torch.tensor([self.groups.index(p.concept) for p in placed])
        colours = torch.tensor([self.colour(p.sprite, p.colour) for p in placed])
        return Crops(cut, groups.to(pixels.device), colours.to(pixels.device))

    def colour(self, sprite: int, colour: str | None) -> int:
        """The colour that one would see: the given one, or the sprite's own."""
        return self.natural[sprite] if colour is None else COLOURS.index(colour)

    def looks(self, features: int) -> Tensor:
        """(G, 5, features), unit vectors: principal components of each group's sprites in each style, on grey and as outline.

        The square root of a component's deviation is taken off: else details would weigh nothing beside overall brightness.
        A style without the group gets the mean of the others.
        """
        level = self.bank.levels[LOOKS_PX]
        styles = list(dict.fromkeys(info.style for info in self.bank.infos))
        known = [row for row, info in enumerate(self.bank.infos) if self.groups.knows(info.base) and info.group is not None]
        infos = [self.bank.infos[row] for row in known]
        place = torch.tensor([self.groups.index(info.base) * len(styles) + styles.index(info.style) for info in infos])
        rgba = level[known].cpu().float() / 255
        seen = torch.cat([rgba[:, :3] - rgba[:, 3:] / 2, rgba[:, 3:] / 2], 1).flatten(1)
        slots = len(self.groups.names) * len(styles)
        count = torch.bincount(place, minlength=slots).float()
        mean = torch.zeros(slots, seen.shape[1]).index_add_(0, place, seen) / count.clamp_min(1)[:, None]
        shown = mean[count > 0]
        centre = shown.mean(0)
        kept = min(features, *shown.shape)
        _, deviation, axes = torch.svd_lowrank(shown - centre, q=kept, niter=4)
        codes = torch.zeros(slots, features)
        codes[:, :kept] = (mean - centre) @ axes / deviation.clamp_min(1e-6).sqrt()
        codes = (codes * (count > 0)[:, None]).reshape(-1, len(styles), features)
        drawn = (count > 0).reshape(-1, len(styles))
        other = codes.sum(1, keepdim=True) / drawn.sum(1, keepdim=True).clamp_min(1)[..., None]
        return normalize(torch.where(drawn[..., None], codes, other), dim=-1)


def jitter(boxes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (n, 3) → windows around them for `windows`: up to 1.5 times as wide, shifted, turned and stretched."""
    chance = torch.rand(len(boxes), 5, generator=generator)
    side = boxes[:, 2] * (0.95 + 0.55 * chance[:, 0])
    shift = (chance[:, 1:3] - 0.5) * 0.16 * boxes[:, 2:]
    turn = (chance[:, 3] - 0.5) * 0.26
    stretch = torch.exp((chance[:, 4] - 0.5) * 0.3)
    return torch.cat([boxes[:, :2] + shift, side[:, None]], 1), turn, stretch


def natural_colours(bank: SpriteBank) -> list[int]:
    """For each sprite the colour that it has by nature, or NO_COLOUR, or UNCLEAR."""
    smallest = bank.levels[min(bank.levels)]
    natural: list[int] = []
    for at in range(0, len(bank), 512):
        chunk = smallest[at : at + 512]
        share, which = colour_shares(chunk).max(1)
        named = torch.where(share > MOST, which, torch.where(share < FEW, NO_COLOUR, UNCLEAR))
        natural += named.tolist()
    return natural


def colour_shares(sprites: Tensor) -> Tensor:
    """(n, 4, L, L) uint8, premultiplied → (n, 7): the share of the visible pixels that one would call by each of `COLOURS`."""
    rgba = sprites.float() / 255
    alpha = rgba[:, 3]
    rgb = rgba[:, :3] / rgba[:, 3:].clamp_min(1 / 255)
    low, high = rgb.amin(1), rgb.amax(1)
    pure = (rgb - low[:, None]) / (high - low)[:, None].clamp_min(1e-3)
    hues = torch.tensor([HUES[colour] for colour in COLOURS], device=rgb.device)
    distance, which = (pure[:, None] - hues[None, :, :, None, None]).abs().sum(2).min(1)
    light, vivid = (low + high) / 2, (high - low > 0.3) & (distance < 0.45) & (high > 0.35)
    red, orange, pink = (COLOURS.index(name) for name in ("red", "orange", "pink"))
    which = torch.where(((which == red) | (which == pink)) & (light > 0.62), pink, which)
    vivid &= ~((which == orange) & ((high < 0.75) | (light > 0.7)))  # brown and skin
    counted = one_hot(which, len(COLOURS)) * (vivid * alpha)[..., None]
    return counted.sum((1, 2)) / alpha.sum((1, 2)).clamp_min(1e-6)[:, None]
