"""A picture's bipartite latent (z_i, x_T) as a file: what it shows, and what the decoder needs beside that (DALL·E 2, §3)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from models.errors import LatentUnusable

FORMAT_VERSION = 1
ABOUT = "unclip"
Reached = Literal["prior", "decoder", "256", "done"]
"""How far a picture had come: z_i is known, it is drawn at 64 px, at 256 px, or as large as it was wanted."""


@dataclass(frozen=True, eq=False)
class Latent:
    """One picture's latent.

    model: name of the model whose z_i and x_T these are. seed: the picture's own. prompt: the caption that the decoder was
    told; empty for a picture that was encoded. eta: of DDIM; None where the model's own sampler drew. reached: see `Reached`.
    z_i: (1, D). x_T: (1, 3, 64, 64). picture: (1, 3, S, S) in [-1, 1], what was drawn of a picture that stopped at 64 or 256
    px.
    """

    model: str
    seed: int
    prompt: str
    eta: float | None
    reached: Reached
    z_i: Tensor
    x_T: Tensor
    picture: Tensor | None = None

    def to_bytes(self) -> bytes:
        """As a safetensors file; the same latent gives the same bytes."""
        tensors = {"z_i": self.z_i, "x_T": self.x_T} | ({} if self.picture is None else {"picture": self.picture})
        about = {
            "format_version": FORMAT_VERSION, "model": self.model, "seed": self.seed,
            "prompt": self.prompt, "eta": self.eta, "reached": self.reached,
        }  # fmt: skip
        kept = {name: tensor.detach().float().cpu().contiguous().clone() for name, tensor in tensors.items()}
        return save(kept, metadata={ABOUT: json.dumps(about, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes, device: str = "cpu") -> Self:
        """Read what `to_bytes` wrote. Raises LatentUnusable."""
        try:
            tensors, about = load(data), read_about(data)
        except (SafetensorError, ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise LatentUnusable(f"it cannot be read: {error}") from error
        if about.get("format_version") != FORMAT_VERSION:
            raise LatentUnusable(f"its format_version is {about.get('format_version')!r}, not {FORMAT_VERSION}")
        if not tensors.keys() >= {"z_i", "x_T"} or about.get("reached") not in get_args(Reached):
            raise LatentUnusable("a part of it is missing")
        if not all(tensor.dtype == torch.float32 and bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise LatentUnusable("its numbers are not finite float32")
        here = {name: tensor.to(device) for name, tensor in tensors.items()}
        return cls(
            str(about["model"]), int(about["seed"]), str(about["prompt"]), about["eta"], about["reached"],
            here["z_i"], here["x_T"], here.get("picture"),
        )  # fmt: skip


def read_about(data: bytes) -> dict[str, Any]:
    """What a latent's file says of itself, without its tensors. Raises ValueError, KeyError or TypeError for another file."""
    length = int.from_bytes(data[:8], "little")
    about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][ABOUT])
    if not isinstance(about, dict):
        raise TypeError("it says nothing of itself")
    return about
