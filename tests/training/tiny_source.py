"""A source of eight discs on plain backdrops, for tests of what learns from it."""

from __future__ import annotations

import torch
from torch import Tensor

from models.clip.text import TextFeatures
from training.examples import Examples


def features(rows: int, dim: int, length: int, generator: torch.Generator) -> TextFeatures:
    embeds = torch.randn(rows, dim, generator=generator)
    embeds = torch.nn.functional.normalize(embeds, dim=-1) * dim**0.5
    tokens = torch.randn(rows, length, dim, generator=generator)
    mask = torch.arange(length)[None] < 2 + torch.arange(rows)[:, None] % (length - 2)
    return TextFeatures(embeds, tokens, mask, (0,) * rows)


class TinySource:
    """`count` different examples, made from seed 0; z_i is correlated with the caption's embedding."""

    def __init__(self, count: int = 8, dim: int = 16, length: int = 6, size_px: int = 64) -> None:
        generator = torch.Generator().manual_seed(0)
        self.text = features(count, dim, length, generator)
        self.empty = features(1, dim, length, generator)
        self.z_i = self.text.embeds.flip(-1).contiguous()
        colours = torch.rand(count, 2, 3, generator=generator) * 2 - 1
        rows, columns = torch.meshgrid(torch.arange(size_px), torch.arange(size_px), indexing="ij")
        inside = (rows - size_px / 2) ** 2 + (columns - size_px / 2) ** 2 < (size_px / 4) ** 2
        self.owners = inside.to(torch.uint8).expand(count, -1, -1).contiguous()
        self.pixels: Tensor = torch.where(inside[None, None], colours[:, 0, :, None, None], colours[:, 1, :, None, None])

    def take(self, batch: int, generator: torch.Generator) -> Examples:
        at = torch.randint(len(self.pixels), (batch,), generator=generator)
        text = TextFeatures(self.text.embeds[at], self.text.tokens[at], self.text.mask[at], ())
        return Examples(self.pixels[at], self.owners[at], text, self.z_i[at])
