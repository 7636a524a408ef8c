"""What a small picture may have gone through before it is upsampled: blur, resampling, grain, JPEG.

For the 256 → 1024 net, in the manner of BSRGAN (Zhang et al. 2021, "Designing a practical degradation model", §3) and as the
paper trains its second upsampler (DALL·E 2, §2.1): simple wrongs of chance strength in a chance order. Milder than BSRGAN's,
for what arrives here comes from our own 64 → 256 net and from no camera, and on the small picture alone, where they are cheap.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from training.sampling import noise_like

SHARE = 0.5
"""Of the pictures, for each wrong."""
BLUR_SIGMAS_PX = (0.2, 1.2)
SMALLEST_SCALE = 0.6
STRONGEST_GRAIN = 0.08
QUALITIES = (50, 95)
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""Quantisation at quality 50 (ITU-T T.81, annex K.1), rows by vertical frequency."""
YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Rows: luma, blue and red difference (JFIF 1.02)."""


def degrade(small: Tensor, generator: torch.Generator) -> Tensor:
    """Each wrong done to a chance half of the pictures, in a chance order. small: (B, 3, H, W) in [-1, 1]; so the result."""
    wrongs: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (blurred, resampled, grainy, through_jpeg)
    for number in torch.randperm(len(wrongs), generator=generator).tolist():
        chosen = torch.rand(len(small), 1, 1, 1, generator=generator).to(small.device) < SHARE
        small = torch.where(chosen, wrongs[number](small, generator), small)
    return small.clamp(-1, 1)


def blurred(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture by a Gaussian of its own: two widths and a direction."""
    low, high = BLUR_SIGMAS_PX
    sigmas = low + (high - low) * torch.rand(2, len(pictures), generator=generator)
    return gaussian_blur(pictures, sigmas, math.pi * torch.rand(len(pictures), generator=generator))


def gaussian_blur(pictures: Tensor, sigmas_px: Tensor, angle: Tensor) -> Tensor:
    """Convolve with a 7 × 7 Gaussian, edges repeated. pictures: (B, C, H, W). sigmas_px: (2, B), along `angle` and across."""
    batch, channels = pictures.shape[:2]
    y, x = torch.meshgrid(torch.arange(-3.0, 4.0), torch.arange(-3.0, 4.0), indexing="ij")
    cos, sin = angle.cos().reshape(-1, 1, 1), angle.sin().reshape(-1, 1, 1)
    along, across = cos * x + sin * y, cos * y - sin * x
    kernel = torch.exp(-((along / sigmas_px[0, :, None, None]) ** 2 + (across / sigmas_px[1, :, None, None]) ** 2) / 2)
    kernel = (kernel / kernel.sum(dim=(1, 2), keepdim=True)).repeat_interleave(channels, 0)[:, None].to(pictures)
    as_channels = pad(pictures, (3, 3, 3, 3), mode="replicate").flatten(0, 1)[None]
    return conv2d(as_channels, kernel, groups=batch * channels).reshape(pictures.shape)


def resampled(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Shrunk by one chance factor and enlarged again, each way by a chance method."""
    size = pictures.shape[-2:]
    scale = SMALLEST_SCALE + (1 - SMALLEST_SCALE) * float(torch.rand((), generator=generator))
    smaller = [max(1, round(side * scale)) for side in size]
    methods = ("area", "bilinear", "bicubic")
    down, up = (methods[at] for at in torch.randint(len(methods), (2,), generator=generator).tolist())
    return interpolate(interpolate(pictures, size=smaller, mode=down), size=size, mode=up)


def grainy(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise, coloured or (half of the pictures) grey, each picture at a strength of its own."""
    batch = len(pictures)
    noise = noise_like(pictures, generator)
    is_grey = (torch.rand(batch, 1, 1, 1, generator=generator) < 0.5).to(pictures.device)
    strength = STRONGEST_GRAIN * torch.rand(batch, 1, 1, 1, generator=generator).to(pictures.device)
    return pictures + strength * torch.where(is_grey, noise[:, :1], noise)


def through_jpeg(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """As JPEG leaves them, each at a quality of its own."""
    return jpeg(pictures, torch.randint(QUALITIES[0], QUALITIES[1] + 1, (len(pictures),), generator=generator))


def jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """What baseline JPEG with halved chroma loses (ITU-T T.81): the coefficients' quantisation, without the file.

    pictures: (B, 3, H, W) in [-1, 1]. quality: (B,), 1 to 100, scaling the tables as the Independent JPEG Group's library does.
    """
    height, width = pictures.shape[-2:]
    padded = pad(pictures, (0, -width % 16, 0, -height % 16), mode="replicate") if height % 16 or width % 16 else pictures
    ycc = torch.einsum("kc,bchw->bkhw", pictures.new_tensor(YCC), padded * 127.5 + pictures.new_tensor([127.5]))
    luma = _quantised(ycc[:, :1] - 128, LUMA_TABLE, quality) + 128
    chroma = _quantised(interpolate(ycc[:, 1:], scale_factor=0.5, mode="area"), CHROMA_TABLE, quality)
    ycc = torch.cat([luma, interpolate(chroma, scale_factor=2.0, mode="bilinear")], dim=1)
    rgb = torch.einsum("kc,bchw->bkhw", torch.linalg.inv(pictures.new_tensor(YCC)), ycc)
    return (rgb[..., :height, :width] / 127.5 - 1).clamp(-1, 1)


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """planes: (B, C, H, W), sides multiples of 8: each 8 × 8 block's cosine coefficients rounded to the table's steps."""
    batch, channels, height, width = planes.shape
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality.float()).to(planes)
    steps = ((planes.new_tensor(table) * scale[:, None, None] + 50) / 100).floor().clamp(1, 255)[:, None, None, None]
    place = torch.arange(8, device=planes.device, dtype=planes.dtype)
    cosines = 0.5 * torch.cos((2 * place + 1) * place[:, None] * math.pi / 16)
    cosines[0] *= math.sqrt(0.5)
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    kept = ((cosines @ blocks @ cosines.T) / steps).round() * steps
    return (cosines.T @ kept @ cosines).transpose(3, 4).reshape(planes.shape)
