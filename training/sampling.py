"""Chance and pictures for the training stages: stratified timesteps, sample grids, similarity maps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.utils import make_grid

from models.samplers import Schedule, clamp_x_0, gather, make_plan, predict_x_0, step


def stratified(batch: int, timesteps: int, generator: torch.Generator, t_power: float = 0.0) -> Tensor:
    """One timestep from each of `batch` equally likely spans, so that no batch sees only easy ones. (batch,) int64, shuffled.

    t_power: their density is proportional to t to this power; 0 is evenly, more is more of the noisy ones.
    """
    quantiles = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    at = quantiles ** (1 / (t_power + 1))
    return (at[torch.randperm(batch, generator=generator)] * timesteps).long().clamp(max=timesteps - 1)


def noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normals of the shape of `x`, made on its device from a seed that `generator` gives.

    There are so many that on a GPU a CPU's would be waited for.
    """
    own = torch.Generator(x.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    return torch.randn(x.shape, generator=own, device=x.device)


def same_noise_like(x: Tensor) -> Tensor:
    """`noise_like` from seed 0: for sample grids, in which only the net shall differ."""
    return noise_like(x, torch.Generator().manual_seed(0))


def denoising_loss(predicted: Tensor, x_0: Tensor, alpha_t: Tensor) -> Tensor:
    """Squared error of x_0, weighted by min(SNR + 1, 5): v's weight (Salimans and Ho 2022), capped as by Hang et al. (2023).

    predicted, x_0: (B, C, H, W). alpha_t: (B,), cumulative products of 1 - beta; SNR + 1 = 1 / (1 - alpha_t).

    The pixel nets predict x_0 and not noise or v: a position behind pixel-unshuffle holds 48 numbers and the net is hardly
    wider, so it cannot carry noise through and would leave grain; a picture is far smaller than its noise (Li and He 2025).
    """
    weight = (1 / (1 - alpha_t)).clamp(max=5)
    return (weight * (predicted.float() - x_0).square().mean(dim=(1, 2, 3))).mean()


def draw(
    predict: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    x_T: Tensor,
    prediction_type: str,
    *,
    limit: float,
    steps: int = 20,
) -> Tensor:
    """Sample by DPM-Solver++(2M) from x_T, (B, …), x_0 held within ±limit."""
    rows = len(x_T)
    plans = [make_plan(schedule, "dpm_solver_2m", steps)] * rows
    x_t, x_0_last, bound = x_T, torch.zeros_like(x_T), torch.full((rows,), limit, device=x_T.device)
    for number in range(steps):
        at = gather(plans, [number] * rows, x_T.device)
        x_0 = clamp_x_0(predict_x_0(predict(x_t, at.timestep).float(), x_t, at.alpha_t, prediction_type), bound)
        x_t, x_0_last = step(plans, at, x_t, x_0, x_0_last, torch.zeros_like(x_t)), x_0
    return x_t


def lay_out(pictures: Tensor, columns: int = 8) -> Tensor:
    """(B, 3, H, W) as one picture, (3, H', W'), white between them."""
    grid: Tensor = make_grid(pictures.cpu(), nrow=columns, padding=2, pad_value=1)
    return grid


def similarity_map(rows: Tensor, columns: Tensor, cell_px: int = 4) -> Tensor:
    """Cosine similarities of two lists of embeddings as a picture: white 1, black 0 or less; the diagonal should be white.

    rows: (R, D). columns: (C, D). Returns (3, R cell_px, C cell_px) in [-1, 1].
    """
    similar = nn.functional.normalize(rows.float(), dim=-1) @ nn.functional.normalize(columns.float(), dim=-1).T
    shades = similar.clamp(0, 1) * 2 - 1
    return shades.repeat_interleave(cell_px, 0).repeat_interleave(cell_px, 1).expand(3, -1, -1).contiguous()
