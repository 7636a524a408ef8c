"""DDIM, denoising and inversion."""

from torch import Tensor

from models.samplers.broadcast import rows


def ddim_step(x_0: Tensor, eps: Tensor, alpha_t: Tensor, alpha_s: Tensor, eta: Tensor, noise: Tensor) -> Tensor:
    """One DDIM step from t to s < t (Song et al. 2020, eq. 12), each row at its own timestep.

    x_0, eps, noise: (B, …); x_0 and eps both, because x_0 taken from eps where alpha_t is near 0 has no digits left.
    alpha_t < alpha_s: cumulative products of 1 - beta, (B,). eta: 0 deterministic, 1 DDPM, (B,).
    Denoising only: s > t would take the root of a negative; inversion is `ddim_invert_step`.
    """
    a_t, a_s = rows(alpha_t, x_0), rows(alpha_s, x_0)
    sigma = rows(eta, x_0) * ((1 - a_s) / (1 - a_t)).sqrt() * (1 - a_t / a_s).sqrt()
    return a_s.sqrt() * x_0 + (1 - a_s - sigma**2).clamp_min(0).sqrt() * eps + sigma * noise


def ddim_invert_step(x_s: Tensor, eps: Tensor, alpha_s: Tensor, alpha_t: Tensor) -> Tensor:
    """One step of DDIM's ODE towards noise, from s to t > s (Dhariwal and Nichol 2021, appendix F).

    x_s: (B, …). eps: (B, …), the net's at (x_s, t). alpha_s > alpha_t: (B,), as a plan's own step from t to s names them.
    """
    a_s, a_t = rows(alpha_s, x_s), rows(alpha_t, x_s)
    x_0 = (x_s - (1 - a_s).sqrt() * eps) / a_s.sqrt()
    return a_t.sqrt() * x_0 + (1 - a_t).sqrt() * eps
