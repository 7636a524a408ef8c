"""What the stages learn from, made once: placed pictures of the objects, their CLIP embeddings and their captions' features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.clip.image import ImageTower
from models.clip.text import TextFeatures, TextTower
from training.data.captions import ObjectWords, captions
from training.data.sprites import SpriteSet

SIZE_PX = 64
SPRITE_SIZES_PX = (56, 58, 60, 62, 64)


@dataclass(frozen=True)
class Pictures:
    """N pictures: pixels uint8 (N, 3, S, S) and which object each shows, (N,) int64."""

    pixels: Tensor
    objects: Tensor

    def take(self, indices: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """(B, 3, S, S) float32 in [-1, 1]."""
        return self.pixels[indices].to(device).float() / 127.5 - 1


def place_objects(sprites: SpriteSet, rows: Sequence[int], per_object: int, generator: torch.Generator) -> Pictures:
    """Each sprite on white, `per_object` times, at chance sizes and places that keep it whole.

    Sizes are drawn by area averaging and places are whole pixels, so every picture is as sharp as a render.
    """
    pixels = torch.full((len(rows) * per_object, 3, SIZE_PX, SIZE_PX), 255, dtype=torch.uint8)
    objects = torch.arange(len(rows)).repeat_interleave(per_object)
    for number, row in enumerate(rows):
        by_size = {size: ((sprites.composited([row], size)[0] + 1) * 127.5).round().byte() for size in SPRITE_SIZES_PX}
        for copy in range(per_object):
            size = SPRITE_SIZES_PX[int(torch.randint(len(SPRITE_SIZES_PX), (1,), generator=generator))]
            top, left = (int(v) for v in torch.randint(SIZE_PX - size + 1, (2,), generator=generator))
            pixels[number * per_object + copy, :, top : top + size, left : left + size] = by_size[size]
    return Pictures(pixels, objects)


@dataclass(frozen=True)
class Captions:
    """M captions' features, with `first[o] : first[o + 1]` those of object o; and the empty caption's."""

    features: TextFeatures
    empty: TextFeatures
    first: Tensor

    @classmethod
    def encode(cls, tower: TextTower, objects: Sequence[ObjectWords]) -> Captions:
        """Run the text tower once over every caption of every object."""
        texts = [captions(words) for words in objects]
        first = torch.tensor([0, *(len(t) for t in texts)]).cumsum(0)
        features = encode_all(tower, [text for group in texts for text in group])
        longest = int(features.mask.sum(1).max())  # nobody learns from padding
        return cls(_shortened(features, longest), _shortened(tower.encode([""]), longest), first)

    def choose(self, objects: Tensor, generator: torch.Generator) -> Tensor:
        """One caption per given object, by chance: (B,) indices."""
        low, high = self.first[objects], self.first[objects + 1]
        return (low + (torch.rand(len(objects), generator=generator) * (high - low)).long()).clamp(max=high - 1)

    def take(self, indices: Tensor, dropped: Tensor) -> TextFeatures:
        """Features of the chosen captions, (B, …); where `dropped` (B,) bool, of the empty caption."""

        def pick(chosen: Tensor, empty: Tensor) -> Tensor:
            shape = (-1, *[1] * (chosen.dim() - 1))
            return torch.where(dropped.reshape(shape), empty, chosen[indices])

        of, no = self.features, self.empty
        return TextFeatures(pick(of.embeds, no.embeds), pick(of.tokens, no.tokens), pick(of.mask, no.mask), ())


def _shortened(features: TextFeatures, length: int) -> TextFeatures:
    return TextFeatures(features.embeds, features.tokens[:, :length], features.mask[:, :length], features.truncated)


def encode_all(tower: TextTower, texts: Sequence[str], batch: int = 256) -> TextFeatures:
    """The text tower over any number of captions."""
    parts = [tower.encode(list(texts[start : start + batch])) for start in range(0, len(texts), batch)]
    return TextFeatures(
        torch.cat([part.embeds for part in parts]),
        torch.cat([part.tokens for part in parts]),
        torch.cat([part.mask for part in parts]),
        tuple(count for part in parts for count in part.truncated),
    )


def embed_pictures(tower: ImageTower, pictures: Pictures, batch: int = 128) -> Tensor:
    """z_i of every picture, (N, D)."""
    chosen = (torch.arange(start, min(start + batch, len(pictures.pixels))) for start in range(0, len(pictures.pixels), batch))
    return torch.cat([tower.encode(pictures.take(indices)) for indices in chosen]).clone()
