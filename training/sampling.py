"""Chance and pictures for the training stages: stratified timesteps and sample grids."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.utils import make_grid

from models.samplers import Schedule, clamp_x_0, gather, make_plan, predict_x_0, step


def stratified(batch: int, timesteps: int, generator: torch.Generator) -> Tensor:
    """One timestep from each of `batch` equal spans, so that no batch sees only easy ones. (batch,) int64, in chance order."""
    spans = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    return (spans[torch.randperm(batch, generator=generator)] * timesteps).long().clamp(max=timesteps - 1)


def draw_grid(
    v_of: Callable[[Tensor, Tensor], Tensor], schedule: Schedule, shape: tuple[int, ...], *, steps: int = 20, columns: int = 8
) -> Tensor:
    """Sample `shape` pictures by DPM-Solver++(2M) without guidance and lay them out. Returns (3, H, W) in [-1, 1]."""
    plans = [make_plan(schedule, "dpm_solver_2m", steps)] * shape[0]
    x_t = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x_0_last = torch.zeros(shape)
    for number in range(steps):
        at = gather(plans, [number] * shape[0])
        x_0 = clamp_x_0(predict_x_0(v_of(x_t, at.timestep).float(), x_t, at.alpha_t, "v_prediction"), torch.ones(shape[0]))
        x_t, x_0_last = step(plans, at, x_t, x_0, x_0_last, torch.zeros(shape)), x_0
    grid: Tensor = make_grid(x_t, nrow=columns, padding=2, pad_value=1)
    return grid
