"""What the judges are shown: windows of pictures, and the same made worse, for drawn pictures are not as clean as renders."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from training.sampling import noise_like

SIZE_PX = 64


def windows(pixels: Tensor, boxes: Tensor, turn: Tensor | None = None, stretch: Tensor | None = None) -> Tensor:
    """(n, 3, S, S) and boxes (n, 3) of x, y, side as shares → (n, 3, 64, 64), each the box of its own picture.

    Beyond the picture its edge goes on. turn: radians (n,); stretch: the window's width to its height (n,).
    """
    x, y, side = boxes.unbind(1)
    turn = torch.zeros_like(side) if turn is None else turn
    root = torch.ones_like(side) if stretch is None else stretch.sqrt()
    steps = (torch.arange(SIZE_PX, device=pixels.device) + 0.5) / SIZE_PX * 2 - 1
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    across, down = across * (side * root)[:, None, None], down * (side / root)[:, None, None]
    cosine, sine = turn.cos()[:, None, None], turn.sin()[:, None, None]
    grid_x = cosine * across - sine * down + (2 * x - 1)[:, None, None]
    grid_y = sine * across + cosine * down + (2 * y - 1)[:, None, None]
    return grid_sample(pixels, torch.stack([grid_x, grid_y], -1), padding_mode="border", align_corners=False)


def worsen(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Blurred (a third of them), with other brightness and contrast, noisy. pixels: (n, 3, S, S) in [-1, 1]."""
    rows, side = len(pixels), pixels.shape[-1]
    pixels = pixels.clone()
    blurred = slice(rows // 3)
    small = int(side * (0.4 + 0.5 * torch.rand((), generator=generator).item()))
    pixels[blurred] = interpolate(
        interpolate(pixels[blurred], size=(small, small), mode="area"), size=(side, side), mode="bilinear", align_corners=False
    )
    chance = torch.rand(4, rows, generator=generator).to(pixels.device)
    tint = (torch.rand(rows, 3, generator=generator).to(pixels.device) - 0.5) * 0.1
    contrast, brightness = 0.8 + 0.4 * chance[0], (chance[1] - 0.5) * 0.3
    noise = noise_like(pixels, generator) * (chance[2] * 0.12)[:, None, None, None]
    moved = pixels * contrast[:, None, None, None] + (brightness[:, None] + tint)[:, :, None, None]
    return (moved + noise).clamp(-1, 1)
