"""All sprites in memory, ready to be drawn small: the bank that scenes are composed from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from training.data.archive import CONTENTS, open_archive
from training.data.errors import DataMissing
from training.data.labels import SpriteInfo
from training.data.packages import STYLES
from training.data.sprites import SpriteSet

SMALLEST_PX = 16
CHUNK = 256
"""Sprites that are held as floats at once."""


@dataclass(frozen=True)
class SpriteBank:
    """N sprites. infos: what each is. levels: by side L, uint8 (N, 4, L, L) with colours multiplied by alpha.

    Each level is the one above, averaged two by two (Williams 1983, "Pyramidal parametrics"), down to 16 px: a sprite drawn
    small is read from a level near its size.
    """

    infos: tuple[SpriteInfo, ...]
    levels: dict[int, Tensor]

    @property
    def size_px(self) -> int:
        """Side of the largest level."""
        return max(self.levels)

    @property
    def device(self) -> torch.device:
        """Where the sprites lie."""
        return self.levels[self.size_px].device

    def __len__(self) -> int:
        return len(self.infos)

    def level_for(self, side_px: float) -> int:
        """The smallest level of at least that side, or the largest there is."""
        return min((side for side in self.levels if side >= side_px), default=self.size_px)

    @classmethod
    def load(cls, folder: Path, size_px: int, device: torch.device | str = "cpu") -> Self:
        """The sprites that `unclip data pack` left in `folder`, or where there is no archive those of `unclip data build`.

        size_px: side of the largest level, a power of two. Raises DataMissing, ArchiveBroken.
        """
        if (folder / CONTENTS).is_file():
            archive = open_archive(folder, size_px)
            return cls._filled(archive.infos, archive.chunks(CHUNK), size_px, device)
        sets = [SpriteSet.load(folder, style.name) for style in STYLES if (folder / f"sprites-{style.name}.json").is_file()]
        if not sets:
            raise DataMissing(folder, "any style")
        infos = [info for sprites in sets for info in sprites.infos]
        return cls._filled(infos, (chunk for sprites in sets for chunk in _chunks(sprites.pixels)), size_px, device)

    @classmethod
    def of(cls, infos: Sequence[SpriteInfo], pixels: Tensor, size_px: int, device: torch.device | str = "cpu") -> Self:
        """A bank of pixels uint8 (N, 4, S, S), straight alpha, of any side S. size_px: as in `load`."""
        return cls._filled(infos, _chunks(pixels), size_px, device)

    @classmethod
    def _filled(cls, infos: Sequence[SpriteInfo], chunks: Iterable[Tensor], size_px: int, device: torch.device | str) -> Self:
        sides = [size_px]
        while sides[-1] > SMALLEST_PX:
            sides.append(sides[-1] // 2)
        levels = {side: torch.empty(len(infos), 4, side, side, dtype=torch.uint8, device=device) for side in sides}
        start = 0
        for chunk in chunks:
            rows = slice(start, start := start + len(chunk))
            # Averaged straight, the hidden colour of transparent pixels would bleed into the edges.
            rgba = chunk.to(device).float()
            rgba[:, :3] *= rgba[:, 3:] / 255
            if rgba.shape[-1] != size_px:
                rgba = interpolate(rgba, size=(size_px, size_px), mode="area")
            for side in sides:
                rgba = rgba if side == size_px else avg_pool2d(rgba, 2)
                levels[side][rows] = rgba.round().to(torch.uint8)
        return cls(tuple(infos), levels)


def _chunks(pixels: Tensor) -> Iterator[Tensor]:
    return (pixels[start : start + CHUNK] for start in range(0, len(pixels), CHUNK))
