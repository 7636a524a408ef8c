"""Timestep embeddings, shared by the prior and the UNets."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoidal(timesteps: Tensor, dim: int) -> Tensor:
    """Cosine-then-sine features of timesteps (Vaswani et al. 2017, §3.5; ordering as in GLIDE).

    timesteps: (B,), in training steps, fractions allowed. Returns (B, dim) float32.
    """
    half = dim // 2
    frequencies = torch.exp(-math.log(10_000) / half * torch.arange(half, dtype=torch.float32, device=timesteps.device))
    angles = timesteps.float()[:, None] * frequencies[None]
    features = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return nn.functional.pad(features, (0, dim % 2))


class TimestepMLP(nn.Module):
    """Two linear layers with SiLU between: sinusoidal features to the network's conditioning vector."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_dim, out_dim)
        self.linear_2 = nn.Linear(out_dim, out_dim)

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, in_dim). Returns (B, out_dim)."""
        hidden: Tensor = self.linear_2(nn.functional.silu(self.linear_1(features)))
        return hidden
