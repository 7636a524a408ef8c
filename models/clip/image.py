"""The image tower: a small vision transformer from a 64 px picture to the CLIP image embedding z_i.

It is open_clip's, with the same parameter names; open_clip itself is imported by training alone, for the same reason as in
`models.clip.text`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint import load_part, load_strict
from models.nets.vit import VisionConfig, VisionTransformer


class ImageTower:
    """Pictures in, z_i out; frozen."""

    def __init__(self, net: nn.Module, image_size: int) -> None:
        self.net = net.eval().requires_grad_(False)
        self.image_size = image_size

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> ImageTower:
        """Load `image_encoder/` of a model folder. Raises CheckpointError."""
        config, tensors = load_part(folder / "image_encoder")
        net = VisionTransformer(VisionConfig.of_json(config["embedding_dim"], config["vision_cfg"]))
        load_strict(net, tensors, "image_encoder")
        return cls(net.to(device), config["vision_cfg"]["image_size"])

    @torch.inference_mode()
    def encode(self, pictures: Tensor) -> Tensor:
        """pictures: (B, 3, S, S) in [-1, 1], S the tower's size. Returns z_i (B, D) with norm sqrt(D)."""
        projected: Tensor = self.net(pictures)
        return nn.functional.normalize(projected, dim=-1) * math.sqrt(projected.shape[-1])


def vision_net(embedding_dim: int, vision_cfg: dict[str, Any]) -> nn.Module:
    """open_clip's vision transformer for a `vision_cfg` of its model configs, as it is trained."""
    from open_clip.model import _build_vision_tower

    net: nn.Module = _build_vision_tower(embedding_dim, vision_cfg)
    return net
