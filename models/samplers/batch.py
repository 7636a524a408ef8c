"""One step of a batch whose rows may follow different samplers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.samplers.ddim import ddim_step
from models.samplers.ddpm import ddpm_step, fixed_small_sigma, learned_range_sigma
from models.samplers.dpm_solver import dpm_solver_2m_step
from models.samplers.plan import Coefficients, Plan, Sampler
from models.samplers.predict import predict_eps


def step(
    plans: Sequence[Plan], at: Coefficients, x_t: Tensor, x_0: Tensor, x_0_last: Tensor, noise: Tensor, v: Tensor | None = None
) -> Tensor:
    """Every row's x_s, by its own plan's sampler; each row exactly as it would be alone.

    plans, at: of the B rows, `at` from `gather`. x_t, x_0: (B, …). x_0_last: (B, …), the x_0 of each row's step before, zeros
    at its first. noise: (B, …), zeros where a row's plan is not stochastic. v: (B, …), a `ddpm` net's learned variance, if any.
    """
    x_s = torch.empty_like(x_t)
    for sampler in sorted({plan.sampler for plan in plans}):
        of = [row for row, plan in enumerate(plans) if plan.sampler == sampler]
        learned = None if v is None else v[of]
        x_s[of] = _step_of(sampler, at.take(of), x_t[of], x_0[of], x_0_last[of], noise[of], learned)
    return x_s


def _step_of(
    sampler: Sampler, at: Coefficients, x_t: Tensor, x_0: Tensor, x_0_last: Tensor, noise: Tensor, v: Tensor | None
) -> Tensor:
    if sampler == "ddpm":
        return ddpm_step(x_t, x_0, at, fixed_small_sigma(at, x_t) if v is None else learned_range_sigma(at, v), noise)
    if sampler == "ddim":
        return ddim_step(x_0, predict_eps(x_0, x_t, at.alpha_t), at.alpha_t, at.alpha_s, at.eta, noise)
    return dpm_solver_2m_step(x_t, x_0, x_0_last, at.alpha_t, at.alpha_s, at.slope)
