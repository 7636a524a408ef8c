"""Classifier-free guidance."""

from typing import Literal

from torch import Tensor

from models.samplers.broadcast import rows

GuidanceMode = Literal["constant", "interval", "oscillating"]
INTERVAL = (0.25, 0.75)
"""Of a plan's steps, where guidance in an interval begins and ends."""


def guide(cond: Tensor, uncond: Tensor, scale: Tensor) -> Tensor:
    """uncond + scale (cond - uncond), each row with its own scale (Ho and Salimans 2021; 1 is no guidance).

    cond, uncond: (B, …), a net's outputs with and without the condition. scale: (B,).
    """
    return uncond + rows(scale, cond) * (cond - uncond)


def scale_at(mode: GuidanceMode, scale: float, bounds: tuple[float, float], step: int, steps: int) -> float:
    """The guidance scale of step `step` (from 0) of `steps`.

    `constant`: always `scale`. `interval`: `scale` in the middle half of the steps, none before and after (Kynkäänniemi et al.
    2024). `oscillating`: in turn the higher and the lower of `bounds`, the higher first (Wang et al. 2023, "Imagen Editor", §3;
    Ho et al. 2022, "Imagen Video", §2.6).
    """
    if mode == "interval":
        first, last = (round(share * steps) for share in INTERVAL)
        return scale if first <= step < max(last, first + 1) else 1.0
    if mode == "oscillating":
        return bounds[0] if step % 2 else bounds[1]
    return scale
