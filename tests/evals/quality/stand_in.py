"""Judges that decide by rule, and a tiny bank of sprites: what is measured over them is the measuring."""

from collections.abc import Sequence

import torch
from torch import Tensor

from evals.judges.judges import Seen, SeenObject
from tests.training.data.scenery import infos
from training.data.sprite_bank import SpriteBank

GROUPS = ("red-apple", "banana", "cat", "umbrella", "judge")


class StandIn:
    """Sees one red apple on plain white in every picture; a picture fits the caption of its own place."""

    def names(self, pixels: Tensor) -> list[list[str]]:
        return [list(GROUPS)] * len(pixels)

    def group(self, concept: str) -> str:
        return concept

    def features(self, pixels: Tensor) -> Tensor:
        return pixels.mean(dim=(2, 3))

    def scene(self, pixels: Tensor) -> list[Seen]:
        return [Seen((SeenObject("red-apple", GROUPS, "red", 0.5, 0.5, 0.8, 0.9),), "plain white")] * len(pixels)

    def matches(self, pixels: Tensor, captions: Sequence[str]) -> Tensor:
        return torch.eye(len(pixels), len(captions))


def bank(size_px: int = 64) -> SpriteBank:
    """A page of its own colour for each sprite, with a transparent edge."""
    made = infos()
    colours = torch.randint(256, (len(made), 3, 1, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pixels = torch.zeros(len(made), 4, size_px, size_px, dtype=torch.uint8)
    inner = slice(size_px // 4, -size_px // 4)
    pixels[:, :3, inner, inner], pixels[:, 3, inner, inner] = colours, 255
    return SpriteBank.of(made, pixels, size_px)
