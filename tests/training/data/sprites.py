"""Sprites made by hand: plain shapes whose pixels a test can tell beforehand."""

import json
from pathlib import Path

import torch
from torch import Tensor

from training.data.labels import SpriteInfo
from training.data.pixel_file import pixel_file
from training.data.sprite_bank import SpriteBank

SIDE_PX = 64


def info(name: str, style: str = "flat") -> SpriteInfo:
    return SpriteInfo(name, name, name.replace("-", " "), (), None, "objects", None, None, style)


def disc(rgb: tuple[int, int, int], side_px: int = SIDE_PX) -> Tensor:
    """uint8 (4, side_px, side_px): a disc as wide as the sprite."""
    axis = torch.arange(side_px) + 0.5 - side_px / 2
    inside = (axis[:, None] ** 2 + axis[None] ** 2 < (side_px / 2) ** 2).to(torch.uint8)
    return torch.stack([inside * value for value in (*rgb, 255)])


def square(rgb: tuple[int, int, int], side_px: int = SIDE_PX) -> Tensor:
    """uint8 (4, side_px, side_px): opaque all over."""
    return torch.tensor([*rgb, 255], dtype=torch.uint8).reshape(4, 1, 1).expand(-1, side_px, side_px).contiguous()


def bank_of(*sprites: Tensor) -> SpriteBank:
    return SpriteBank.of([info(f"sprite-{at}") for at in range(len(sprites))], torch.stack(sprites), SIDE_PX)


def write_cache(folder: Path, styles: dict[str, dict[str, Tensor]]) -> Path:
    """A folder as `unclip data build` leaves it. styles: sprites by name by style."""
    folder.mkdir()
    for style, sprites in styles.items():
        with pixel_file(folder / f"sprites-{style}.safetensors", SIDE_PX) as append:
            for pixels in sprites.values():
                append(pixels.numpy())
        infos = [info(name, style).to_json() for name in sprites]
        (folder / f"sprites-{style}.json").write_text(json.dumps(infos))
    manifest = {"size_px": SIDE_PX, "packages": [{"name": "a-package", "licence": "MIT"}], "drawn_by": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"styles": [{"style": style} for style in styles]}))
    return folder
