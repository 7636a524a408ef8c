"""Sprites as large as the second upsampler's pictures: an archive of some, drawn from the vectors, and crops of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from training.data.archive import Progress, add_to_contents, open_archive, write_archive
from training.data.backdrops import paint
from training.data.colours import colourise
from training.data.drawings import Drawing, list_drawings
from training.data.labels import Emojibase, SpriteInfo
from training.data.packages import EMOJIBASE, STYLES, Package, Style, find_packages
from training.data.scenes import COLOURS, PATTERNS, PLAIN_COLOURS, SCENERY, Backdrop, Placed, Scene
from training.data.vocabulary import HeldOut

SIZE_PX, CROP_PX = 1024, 256
CHUNK = 16
"""Sprites that are decoded at once."""
SEED = 2204
UNINTERESTING = ("flags", "symbols", None)
"""Groups that are left out: they are plain shapes, and few objects look like them."""
RECOLOURED = 0.2


def pack_large(packages: Path, out: Path, *, each: int, size_px: int = SIZE_PX, progress: Progress | None = None) -> Path:
    """Draw `each` sprites of every vector style at `size_px` into `out/sprites-<size_px>.tar`; returns its path.

    packages: a folder with the npm packages. The lot is fixed: the same packages give the same bytes. Skin tones are left out.
    Raises PackageMissing, PackageBroken, SpriteBroken.
    """
    styles = [style for style in STYLES if style.webp_folder is None]
    sources = {source.package: source.version for style in styles for source in style.sources}
    found = find_packages(packages, {EMOJIBASE[0]: EMOJIBASE[1], **sources})
    words = found[EMOJIBASE[0]]
    emojibase = Emojibase(words.read("en/data.json"), words.read("en/messages.json"))
    chosen = [pair for style in styles for pair in _chosen(style, found, emojibase, each)]
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"sprites-{size_px}.tar"
    write_archive(path, size_px, [info for info, _ in chosen], (drawing.draw(size_px) for _, drawing in chosen), progress)
    add_to_contents(path, size_px, len(chosen))
    return path


def _chosen(
    style: Style, packages: Mapping[str, Package], emojibase: Emojibase, count: int
) -> list[tuple[SpriteInfo, Drawing]]:
    drawings = list_drawings(style, packages, emojibase)
    described = [(emojibase.describe(one.name, one.codepoints, style.name), one) for one in drawings]
    fit = [(info, one) for info, one in described if info.group not in UNINTERESTING and info.skin_tone is None]
    return random.Random(SEED).sample(fit, min(count, len(fit)))


class LargeSprites:
    """Pictures of 256 px, cut from sprites four times as wide: what the 256 → 1024 net learns from."""

    def __init__(self, infos: Sequence[SpriteInfo], pixels: Tensor, held_out: HeldOut) -> None:
        """pixels: uint8 (N, 4, 1024, 1024), straight alpha, 4 MiB each, on the device where pictures are wanted."""
        self.infos, self.pixels = infos, pixels
        self.rows = [row for row, info in enumerate(infos) if (info.base, info.style) not in held_out.styles]
        """Those that training may show."""

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Those of a folder that `unclip data pack --large` wrote. Raises DataMissing, DataError, ArchiveBroken."""
        archive = open_archive(folder, SIZE_PX)
        pixels = torch.empty(len(archive.infos), 4, SIZE_PX, SIZE_PX, dtype=torch.uint8, device=device)
        for start, chunk in zip(range(0, len(pixels), CHUNK), archive.chunks(CHUNK), strict=True):
            pixels[start : start + CHUNK] = chunk.to(device)
        return cls(archive.infos, pixels, HeldOut.read())

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        """Crops of chance sprites over chance backdrops: pixels (batch, 3, 256, 256) in [-1, 1], what they show, owners.

        A quarter of the sprite's width, half of it halved, or all of it: edges are a render's, as sharp as they can be.
        owners: (batch, 256, 256) uint8, 1 where the sprite covers more than half of a pixel.
        """
        rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
        rows = rng.choices(self.rows, k=batch)
        rgba = torch.stack([crop(self.pixels[row], rng) for row in rows])
        if recoloured := [number for number in range(batch) if rng.random() < RECOLOURED]:
            rgba[recoloured] = colourise(rgba[recoloured], rng.choices(COLOURS, k=len(recoloured)))
        backdrops = paint([_empty_scene(rng) for _ in rows], CROP_PX, rgba.device)
        pixels = rgba[:, :3] + (1 - rgba[:, 3:]) * backdrops
        return pixels * 2 - 1, [self.infos[row].label for row in rows], (rgba[:, 3] > 0.5).to(torch.uint8)


def crop(sprite: Tensor, rng: random.Random) -> Tensor:
    """(4, 256, 256) float32 in [0, 1], premultiplied: a chance part of a sprite (4, 1024, 1024) uint8, straight alpha."""
    factor = rng.choice((1, 2, 4))
    side = factor * CROP_PX
    top, left = (rng.randint(0, sprite.shape[-1] - side) for _ in range(2))
    rgba = sprite[:, top : top + side, left : left + side].float() / 255
    rgba[:3] *= rgba[3:]
    return avg_pool2d(rgba, factor)


def _empty_scene(rng: random.Random) -> Scene:
    """A backdrop by lot: plain ones most, since around most objects there is no more."""
    kind = rng.choice(("plain",) * 10 + PATTERNS + SCENERY)
    colours = rng.sample(PLAIN_COLOURS, {"plain": 1}.get(kind, 2 if kind in PATTERNS else 0))
    nowhere = Placed(0, "", None, rng.random(), rng.random(), 1.0)  # painters vary by where objects are
    return Scene((nowhere,), Backdrop(kind, tuple(colours)), "", None, None, "")
