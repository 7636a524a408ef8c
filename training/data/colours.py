"""Colours by name: of backdrops, and of sprites that take another hue than their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

BACKDROP_RGB: dict[str, tuple[float, float, float]] = {
    "white": (1.0, 1.0, 1.0),
    "grey": (0.58, 0.59, 0.60),
    "black": (0.06, 0.06, 0.07),
    "red": (0.86, 0.16, 0.16),
    "orange": (0.97, 0.55, 0.13),
    "yellow": (0.99, 0.86, 0.22),
    "green": (0.24, 0.66, 0.30),
    "blue": (0.16, 0.43, 0.86),
    "purple": (0.50, 0.25, 0.70),
    "pink": (0.97, 0.64, 0.78),
}

HUES: dict[str, tuple[float, float, float]] = {
    "red": (1.0, 0.0, 0.04),
    "orange": (1.0, 0.50, 0.0),
    "yellow": (1.0, 0.84, 0.0),
    "green": (0.0, 1.0, 0.22),
    "blue": (0.0, 0.38, 1.0),
    "purple": (0.56, 0.0, 1.0),
    "pink": (1.0, 0.0, 0.48),
}
"""The purest RGB of each hue: one channel full, one empty."""

LIGHTNESS = {"red": 0.47, "orange": 0.51, "yellow": 0.53, "green": 0.38, "blue": 0.48, "purple": 0.48, "pink": 0.74}
"""Mean HSL lightness that makes a hue look like its name: dark orange is brown, light red is pink."""

SATURATION = 0.82
CONTRAST = 0.5
"""What is left of the differences in lightness: enough to show the shapes, too little to change the colour's name."""

LOOKED_AT_PX = 32
SHOWS_COLOUR = 0.6
"""Share of a sprite's pixels that has to take a colour; below it a caption's colour would hardly be seen."""


def colourise(sprites: Tensor, colours: Sequence[str]) -> Tensor:
    """Sprites (n, 4, L, L) in [0, 1], premultiplied, each given the hue of its colour's name; near-white and near-black stay.

    Hue is set in HSL: rgb = l + (1 - |2l - 1|) s (pure - 1/2) (Joblove and Greenberg 1978), with one saturation for all and the
    sprite's lightness l moved so that its mean over what takes the colour is the name's.
    """
    alpha = sprites[:, 3:]
    rgb = sprites[:, :3] / alpha.clamp_min(1 / 255)
    share = takes_colour(rgb)
    lightness = (rgb.amax(1, keepdim=True) + rgb.amin(1, keepdim=True)) / 2
    weight = share * alpha
    mean = (lightness * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp_min(1e-6)
    target = sprites.new_tensor([LIGHTNESS[name] for name in colours]).reshape(-1, 1, 1, 1)
    pure = sprites.new_tensor([HUES[name] for name in colours]).reshape(-1, 3, 1, 1)
    moved = (target + CONTRAST * (lightness - mean)).clamp(0.05, 0.95)
    tinted = moved + (1 - (2 * moved - 1).abs()) * SATURATION * (pure - 0.5)
    return torch.cat([torch.lerp(rgb, tinted, share) * alpha, alpha], 1)


def takes_colour(rgb: Tensor) -> Tensor:
    """(…, 1, H, W) in [0, 1]: how far a pixel of (…, 3, H, W) takes another hue. Not where it is near white or near black."""
    darkest, brightest = rgb.amin(-3, keepdim=True), rgb.amax(-3, keepdim=True)
    return (1 - _rise(darkest, 0.84, 0.94)) * _rise(brightest, 0.12, 0.3)


def colourable(sprites: Tensor) -> Tensor:
    """(N,): the share of each sprite's visible pixels that would take a colour. sprites: uint8 (N, 4, L, L), premultiplied."""
    rgba = sprites.float() / 255
    alpha = rgba[:, 3:]
    share = takes_colour(rgba[:, :3] / alpha.clamp_min(1 / 255))
    return (share * alpha).sum((1, 2, 3)) / alpha.sum((1, 2, 3)).clamp_min(1e-6)


def colourable_rows(levels: Mapping[int, Tensor]) -> frozenset[int]:
    """The rows of a sprite bank whose sprites show a colour that they are given. levels: the bank's."""
    return frozenset((colourable(levels[LOOKED_AT_PX]) > SHOWS_COLOUR).nonzero().flatten().tolist())


def _rise(value: Tensor, low: float, high: float) -> Tensor:
    return ((value - low) / (high - low)).clamp(0, 1)
