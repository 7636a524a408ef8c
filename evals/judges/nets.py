"""The judges' networks: small residual convolutions over 64 px pictures. Nothing in them is shared with the cascade."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize, pixel_unshuffle, relu

from training.data.scenes import BACKDROPS, COLOURS, PLAIN_COLOURS

PATCH = 4
SLOTS = 2
"""Boxes that one cell can hold: a small and a large one, for what lies inside a thing has the same centre."""


def normed(channels_in: int, channels: int, stride: int = 1) -> nn.Sequential:
    """A 3×3 convolution with group normalisation, which needs no running statistics (Wu and He 2018)."""
    conv = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(channels // 16, channels))


class Block(nn.Module):
    """A residual block (He et al. 2015) of two 3×3 convolutions."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.first, self.second = normed(channels, inner), normed(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return relu(x + self.second(relu(self.first(x))))


class Trunk(nn.Module):
    """(B, 3, 64, 64) → (B, C, 4, 4): blocks at 16, 8 and 4 pixels' side."""

    def __init__(self, channels: Sequence[int] = (64, 128, 192), inner: Sequence[int] = (64, 128, 160)) -> None:
        super().__init__()
        self.channels = channels[-1]
        self.stem = normed(3 * PATCH**2, channels[0])
        self.downs = nn.ModuleList(normed(*pair, stride=2) for pair in pairwise(channels))
        self.blocks = nn.ModuleList(Block(*pair) for pair in zip(channels, inner, strict=True))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, 64, 64) in [-1, 1] to (B, C, 4, 4)."""
        x: Tensor = pixel_unshuffle(pixels, PATCH).contiguous(memory_format=torch.channels_last)
        x = self.blocks[0](relu(self.stem(x)))
        for down, block in zip(self.downs, list(self.blocks)[1:], strict=True):
            x = block(relu(down(x)))
        return x


class Summary(nn.Module):
    """(B, C, 4, 4) → (B, F): two weighted sums over the places of each channel, then a projection.

    A mean would forget where things are; sprites are rigid, so the place tells much.
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.pool = nn.Conv2d(channels, 2 * channels, 4, groups=channels)
        self.project = nn.Linear(2 * channels, features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 4, 4) to (B, F)."""
        summary: Tensor = self.project(self.pooled(x))
        return summary

    def pooled(self, x: Tensor) -> Tensor:
        """(B, C, 4, 4) to (B, 2 C)."""
        return relu(self.pool(x).flatten(1))


class SpriteNet(nn.Module):
    """What one object is: (B, 3, 64, 64) → features (B, F) of length one, log probabilities of its group (B, G), logits of its
    colour (B, 7 + none).

    A group has one prototype for each style; its score is the sum over them (neighbourhood components, Goldberger et al. 2004).
    """

    def __init__(self, groups: int, styles: int = 5, features: int = 112) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.summary = Summary(self.trunk.channels, features)
        self.prototypes = nn.Parameter(normalize(torch.randn(groups, styles, features), dim=-1))
        self.log_scale = nn.Parameter(torch.tensor(2.7))
        self.colour = nn.Linear(2 * self.trunk.channels, len(COLOURS) + 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, log probabilities of groups, logits of colours."""
        pooled = self.summary.pooled(self.trunk(pixels))
        features = normalize(self.summary.project(pooled).float(), dim=1)
        near = features @ normalize(self.prototypes.float(), dim=-1).flatten(0, 1).mT * self.log_scale.exp()
        return features, log_softmax(near, 1).reshape(-1, *self.prototypes.shape[:2]).logsumexp(2), self.colour(pooled)


class SceneNet(nn.Module):
    """Where objects are and what lies behind them.

    (B, 3, 64, 64) → boxes (B, SLOTS, 4, 16, 16): logit that an object's centre lies in the cell, the centre's place in the cell
    as two logits, logarithm of the object's side (as CenterNet has it, Zhou et al. 2019); kind (B, 11) and, of plain
    backdrops, colour (B, 10).
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        wide = 2 * channels
        self.stem, self.fine = normed(3 * PATCH**2, channels), Block(channels, channels)
        self.down, self.coarse = normed(channels, wide, stride=2), nn.Sequential(Block(wide, wide), Block(wide, wide))
        self.up, self.last = nn.Conv2d(wide, channels, 1), Block(channels, channels)
        self.boxes = nn.Conv2d(channels, SLOTS * 4, 1)
        self.kind, self.colour = nn.Linear(2 * wide, len(BACKDROPS)), nn.Linear(2 * wide, len(PLAIN_COLOURS))
        # Centres are rare: begin by expecting few, or the first steps only learn that (Lin et al. 2017, section 3.3).
        nn.init.constant_(self.boxes.bias, -3.0)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, logits of the backdrop's kind, logits of its colour."""
        x = pixel_unshuffle(pixels, PATCH).contiguous(memory_format=torch.channels_last)
        fine = self.fine(relu(self.stem(x)))
        coarse = self.coarse(relu(self.down(fine)))
        x = self.last(relu(fine + self.up(coarse).repeat_interleave(2, 2).repeat_interleave(2, 3)))
        boxes = self.boxes(x).unflatten(1, (SLOTS, 4))
        pooled = torch.cat([coarse.mean((2, 3)), coarse.amax((2, 3))], 1)
        return boxes, self.kind(pooled), self.colour(pooled)


class MatchNet(nn.Module):
    """Pictures and captions in one space, for R-precision: a CLIP (Radford et al. 2021) whose text side is a bag of words."""

    def __init__(self, buckets: int, width: int = 64, features: int = 128) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.summary = Summary(self.trunk.channels, features)
        self.words = nn.EmbeddingBag(buckets, width, mode="sum")
        self.text = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * features), nn.GELU(), nn.Linear(2 * features, features)
        )
        self.log_scale = nn.Parameter(torch.tensor(2.7))

    def picture(self, pixels: Tensor) -> Tensor:
        """(B, 3, 64, 64) → unit vectors (B, F)."""
        return normalize(self.summary(self.trunk(pixels)).float(), dim=1)

    def caption(self, buckets: Tensor, starts: Tensor) -> Tensor:
        """Hashed words of all captions in one row, and where each caption begins → unit vectors (C, F)."""
        return normalize(self.text(self.words(buckets, starts)).float(), dim=1)
