"""Examples made as they are asked for: scenes composed, captions and pictures embedded, on one device."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from models.clip.image import ImageTower
from models.clip.text import TextFeatures, TextTower
from training.data.compose import compose
from training.data.scene_maker import SceneMaker
from training.data.sprite_bank import SpriteBank
from training.examples import Examples

SIZE_PX = 64


class Pictures(Protocol):
    """Where captioned pictures come from: scenes, or somebody's own data."""

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        """Pixels (B, 3, 64, 64) in [-1, 1], captions, owners (B, 64, 64) uint8."""
        ...


class Scenes:
    """Pictures of chance scenes."""

    def __init__(self, maker: SceneMaker, bank: SpriteBank, size_px: int = SIZE_PX) -> None:
        self.maker, self.bank, self.size_px = maker, bank, size_px

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        """A fresh batch on the bank's device."""
        rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
        scenes = [self.maker.draw(rng) for _ in range(batch)]
        composed = compose(scenes, self.bank, self.size_px)
        return composed.pixels, [scene.caption for scene in scenes], composed.owners


class Live:
    """A source that makes every batch anew. Without an image tower z_i is zeros: CLIP itself is trained so."""

    def __init__(self, pictures: Pictures, text: TextTower, image: ImageTower | None = None) -> None:
        self.pictures, self.text, self.image = pictures, text, image
        self.empty = text.encode([""])

    def take(self, batch: int, generator: torch.Generator) -> Examples:
        """A fresh batch on the towers' device."""
        device = self.empty.tokens.device
        pixels, captions, owners = self.pictures.draw(batch, generator)
        pixels = pixels.to(device)
        text = encode_all(self.text, captions)
        z_i = self.image.encode(pixels).clone() if self.image else torch.zeros_like(text.embeds)
        return Examples(pixels, owners.to(device), text, z_i)


def encode_all(tower: TextTower, texts: Sequence[str], batch: int = 64) -> TextFeatures:
    """The text tower over any number of captions, those of like length together: a batch costs what its longest does."""
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    groups = [order[start : start + batch] for start in range(0, len(order), batch)]
    parts = [tower.encode([texts[at] for at in group]) for group in groups]
    back = torch.tensor(order).argsort()
    truncated = [count for part in parts for count in part.truncated]
    embeds, tokens, mask = (
        torch.cat([getattr(part, name) for part in parts])[back.to(parts[0].mask.device)]
        for name in ("embeds", "tokens", "mask")
    )
    return TextFeatures(embeds, tokens, mask, tuple(truncated[at] for at in back.tolist()))
