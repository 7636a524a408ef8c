"""The image tower's net: a vision transformer (Dosovitskiy et al. 2021) as CLIP has it (Radford et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class VisionConfig:
    """Sizes, as in open_clip's `vision_cfg`. embedding_dim: of z_i."""

    embedding_dim: int
    image_size: int
    patch_size: int
    width: int
    layers: int
    head_width: int

    @classmethod
    def of_json(cls, embedding_dim: int, vision_cfg: dict[str, Any]) -> Self:
        """Read a part's config. Raises CheckpointError for a field that is missing."""
        names = ("image_size", "patch_size", "width", "layers", "head_width")
        return cls(embedding_dim, *(int(vision_cfg[name]) for name in names))


class VisionTransformer(nn.Module):
    """Pictures to embeddings. Parameter names and numbers are open_clip's `VisionTransformer`'s; a test holds the two equal."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width, patches = config.width, (config.image_size // config.patch_size) ** 2
        self.conv1 = nn.Conv2d(3, width, config.patch_size, config.patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(patches + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Blocks(width, config.layers, width // config.head_width)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, config.embedding_dim))

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures: (B, 3, S, S). Returns (B, D), not normalised."""
        patches = self.conv1(pictures).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        states = self.transformer(self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding))
        embedded: Tensor = self.ln_post(states[:, 0]) @ self.proj
        return embedded


class Blocks(nn.Module):
    """The layers, one after another."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads) for _ in range(layers))

    def forward(self, states: Tensor) -> Tensor:
        """states: (B, L, W)."""
        for block in self.resblocks:
            states = block(states)
        return states


class Block(nn.Module):
    """Attention, then two linear layers, each on what is normalised, each added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, states: Tensor) -> Tensor:
        """states: (B, L, W)."""
        seen = self.ln_1(states)
        states = states + self.attn(seen, seen, seen, need_weights=False)[0]
        added: Tensor = states + self.mlp(self.ln_2(states))
        return added
