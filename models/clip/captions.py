"""What a picture shows, in words: the nearest of some hundred captions by CLIP."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from models.clip.text import TextTower

CAPTIONS = Path(__file__).with_name("captions.txt")
AT_ONCE = 64


class Captions:
    """The captions, embedded when they are first asked for: that takes a second, and only edits need it."""

    def __init__(self, text: TextTower) -> None:
        self.text = text

    @cached_property
    def words(self) -> tuple[str, ...]:
        """What is looked through."""
        lines = CAPTIONS.read_text(encoding="utf-8").splitlines()
        return tuple(line for line in lines if line and not line.startswith("#"))

    @cached_property
    def embeds(self) -> Tensor:
        """z_t of each, (N, D)."""
        chunks = [list(self.words[at : at + AT_ONCE]) for at in range(0, len(self.words), AT_ONCE)]
        return torch.cat([self.text.encode(chunk).embeds for chunk in chunks])

    def nearest(self, z_i: Tensor) -> str:
        """The one with the highest dot product with a picture's z_i, (1, D)."""
        return self.words[int((self.embeds @ z_i[0]).argmax())]
