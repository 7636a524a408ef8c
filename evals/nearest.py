"""Which sprites does a picture look like? Pixel correlation after centring, among all sprites of a style."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate, normalize

from training.data.sprites import SpriteSet

SIZE_PX = 64
PAPER = 0.1
"""What differs from white by less than this part of the full range, in every channel, is paper; what differs by more weighs
as much as it exceeds it. A soft edge, because with a hard one noise decides where a pale object lies. Chosen on the sprites
themselves, blurred, noisy and tinted."""
CHUNK = 128


@dataclass(frozen=True)
class Neighbour:
    """A sprite near a picture. correlation: Pearson's, in [-1, 1]."""

    name: str
    base: str
    correlation: float


@dataclass(frozen=True)
class Ranking:
    """The sprites nearest to one picture, nearest first, and the rank (from 1) of the best sprite of the wanted name."""

    wanted: str
    rank: int
    nearest: tuple[Neighbour, ...]

    def hit(self, among: int) -> bool:
        """Is a sprite of the wanted name among the `among` nearest?"""
        return self.rank <= among


class Gallery:
    """All sprites of a style as unit vectors, ready to be compared with."""

    def __init__(self, sprites: SpriteSet) -> None:
        chunks = torch.split(torch.arange(len(sprites)), CHUNK)
        self.infos = sprites.infos
        self.features = torch.cat([features(sprites.composited(chunk, SIZE_PX)) for chunk in chunks])  # (N, 3·S·S)

    def rank(self, pictures: Tensor, wanted: list[str], *, shown: int = 5) -> list[Ranking]:
        """Rank all sprites by their likeness to each picture.

        pictures: (B, 3, H, W) in [-1, 1] on white. wanted: B base names; skin tones of one person are one name.
        """
        bases = [info.base for info in self.infos]
        if unknown := set(wanted) - set(bases):
            raise ValueError(f"no sprite is called {', '.join(sorted(unknown))}: nothing could ever be a hit")
        correlations = features(pictures) @ self.features.T  # (B, N)
        order = correlations.argsort(dim=1, descending=True, stable=True)
        rankings = []
        for row, places, name in zip(correlations, order.tolist(), wanted, strict=True):
            rank = next(rank for rank, place in enumerate(places, start=1) if bases[place] == name)
            near = tuple(Neighbour(self.infos[i].name, bases[i], round(float(row[i]), 4)) for i in places[:shown])
            rankings.append(Ranking(name, rank, near))
        return rankings


def features(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] on white → (B, 3·64·64): centred, mean taken off, length one, so that a dot product of two
    is Pearson's correlation of their pixels, colours kept."""
    small = interpolate(pictures, size=(SIZE_PX, SIZE_PX), mode="area") if pictures.shape[-1] != SIZE_PX else pictures
    flat = centred((1 - small) / 2).flatten(1)
    return normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)


def centred(ink: Tensor) -> Tensor:
    """Move each drawing so that the centroid of its ink lies in the middle, by whole pixels.

    ink: (B, 3, S, S) in [0, 1], 0 where the paper is white; what moves in from outside is white. A centroid, not a bounding
    box: one stray pixel of a drawn picture may not move it.
    """
    side = ink.shape[-1]
    weight = (ink.amax(dim=1) - PAPER).clamp_min(0)  # (B, S, S)
    place = torch.arange(side, dtype=ink.dtype) - (side - 1) / 2
    mass = weight.sum(dim=(1, 2)).clamp_min(1e-6)
    shift_y = ((weight.sum(dim=2) @ place) / mass).round()
    shift_x = ((weight.sum(dim=1) @ place) / mass).round()
    move = torch.eye(2, 3).repeat(len(ink), 1, 1)
    # affine_grid's unit is half the side; sampling at +shift brings the drawing back by it.
    move[:, 0, 2], move[:, 1, 2] = shift_x * 2 / side, shift_y * 2 / side
    grid = affine_grid(move, list(ink.shape), align_corners=False)
    return grid_sample(ink, grid, mode="nearest", padding_mode="zeros", align_corners=False)
