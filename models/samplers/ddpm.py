"""DDPM: ancestral sampling, also over respaced timesteps and with a learned variance."""

import torch
from torch import Tensor

from models.samplers.broadcast import rows
from models.samplers.plan import Coefficients


def ddpm_step(x_t: Tensor, x_0: Tensor, at: Coefficients, sigma: Tensor, noise: Tensor) -> Tensor:
    """One draw from q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7), s < t, each row at its own timestep.

    x_t, x_0, noise: (B, …). at: of (B,). sigma: (B, …) or (B, 1, …), from `fixed_small_sigma` or `learned_range_sigma`.
    """
    a_t, a_s, b_t = rows(at.alpha_t, x_t), rows(at.alpha_s, x_t), rows(at.beta_t, x_t)
    mean = a_s.sqrt() * b_t / (1 - a_t) * x_0 + (1 - b_t).sqrt() * (1 - a_s) / (1 - a_t) * x_t
    return mean + sigma * noise


def fixed_small_sigma(at: Coefficients, like: Tensor) -> Tensor:
    """The posterior's own standard deviation, (B, 1, …): sqrt((1 - alpha_s) / (1 - alpha_t) beta_t); 0 at a row's last step."""
    return rows((1 - at.alpha_s) / (1 - at.alpha_t) * at.beta_t, like).sqrt()


def learned_range_sigma(at: Coefficients, v: Tensor) -> Tensor:
    """A standard deviation between the posterior's and beta's, per pixel (Nichol and Dhariwal 2021, eq. 15).

    v: (B, …), the net's second half, -1 for the posterior's and 1 for beta_t. Returns (B, …); 0 at a row's last step.
    """
    small, large = rows((1 - at.alpha_s) / (1 - at.alpha_t) * at.beta_t, v), rows(at.beta_t, v)
    fraction = (v + 1) / 2
    sigma = (0.5 * (fraction * large.log() + (1 - fraction) * small.log())).exp()
    return torch.where(small > 0, sigma, 0.0)
