"""z_i as a short row of whole numbers, for a prior that predicts one after another (DALL·E 2, §2.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class EmbeddingCodes(nn.Module):
    """Principal components of z_i, largest variance first, each cut into equal buckets between `low` and `high`.

    Nothing here learns by gradients: `training/pca.py` sets it once from the embeddings of training pictures.
    """

    def __init__(self, dim: int, components: int, buckets: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.mean = fixed(torch.zeros(dim))
        self.basis = fixed(torch.eye(dim, components))
        self.low = fixed(-torch.ones(components))
        self.high = fixed(torch.ones(components))

    def coordinates(self, z: Tensor) -> Tensor:
        """Components of z_i, or of a z_t in its place. z: (B, D). Returns (B, K): 0 at `low`, 1 at `high`."""
        return ((z - self.mean) @ self.basis - self.low) / (self.high - self.low)

    def encode(self, z_i: Tensor) -> Tensor:
        """z_i: (B, D). Returns its codes (B, K) int64, 0 to buckets - 1; what lies outside goes to the outermost bucket."""
        return (self.coordinates(z_i) * self.buckets).floor().long().clamp(0, self.buckets - 1)

    def decode(self, codes: Tensor) -> Tensor:
        """codes: (B, K). Returns z_i (B, D) at the buckets' middles, with the norm of all z_i, sqrt(D)."""
        coordinates = self.low + (codes + 0.5) / self.buckets * (self.high - self.low)
        z_i = self.mean + coordinates @ self.basis.T
        return nn.functional.normalize(z_i, dim=-1) * math.sqrt(z_i.shape[-1])


def fixed(tensor: Tensor) -> nn.Parameter:
    """A parameter that is saved with its net and never learns."""
    return nn.Parameter(tensor, requires_grad=False)
