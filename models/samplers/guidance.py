"""Classifier-free guidance."""

from torch import Tensor

from models.samplers.broadcast import rows


def guide(cond: Tensor, uncond: Tensor, scale: Tensor) -> Tensor:
    """uncond + scale (cond - uncond), each row with its own scale (Ho and Salimans 2021; 1 is no guidance).

    cond, uncond: (B, …), a net's outputs with and without the condition. scale: (B,).
    """
    return uncond + rows(scale, cond) * (cond - uncond)
