"""What every stage after the first learns from: pictures, who owns each pixel, captions' features and z_i."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.clip.text import TextFeatures


@dataclass(frozen=True)
class Examples:
    """B pictures and what is known of them.

    pixels: (B, 3, S, S) in [-1, 1]. owners: (B, S, S) uint8, 0 the backdrop, k the k-th object where it is seen. text: the
    captions' features. z_i: (B, D) with norm sqrt(D); zeros before CLIP is trained.
    """

    pixels: Tensor
    owners: Tensor
    text: TextFeatures
    z_i: Tensor


class Source(Protocol):
    """Where examples come from: composed at each call (`Live`), or drawn from a store made once (`Bank`)."""

    empty: TextFeatures
    """Features of the empty caption, one row."""

    def take(self, batch: int, generator: torch.Generator) -> Examples:
        """A fresh batch on the source's device; all its chance comes from `generator`."""
        ...


def drop_text(text: TextFeatures, empty: TextFeatures, dropped: Tensor) -> TextFeatures:
    """The captions, the empty one in place of those where `dropped` (B,) bool."""

    def pick(own: Tensor, none: Tensor) -> Tensor:
        return torch.where(dropped.reshape(-1, *[1] * (own.dim() - 1)), none[:, : own.shape[1]], own)

    return TextFeatures(
        pick(text.embeds, empty.embeds), pick(text.tokens, empty.tokens), pick(text.mask, empty.mask), text.truncated
    )
