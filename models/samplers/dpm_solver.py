"""DPM-Solver++, second order, multistep."""

from torch import Tensor

from models.samplers.broadcast import rows


def dpm_solver_2m_step(x_t: Tensor, x_0: Tensor, x_0_last: Tensor, alpha_t: Tensor, alpha_s: Tensor, slope: Tensor) -> Tensor:
    """One step of DPM-Solver++(2M) from t to s < t (Lu et al. 2022, algorithm 2), each row at its own timestep.

    x_t, x_0: (B, …). x_0_last: (B, …), the row's x_0 one step before; any finite numbers where slope is 0.
    alpha_t < alpha_s: cumulative products of 1 - beta, (B,): the squares of the paper's alphas. slope: its 1 / (2 r), (B,).
    Its alpha_s (exp(-h) - 1) is written without h, which is infinite at a row's last step.
    """
    a_t, a_s = rows(alpha_t, x_t), rows(alpha_s, x_t)
    shrink = ((1 - a_s) / (1 - a_t)).sqrt()
    d = x_0 + rows(slope, x_t) * (x_0 - x_0_last)
    return shrink * x_t + (a_s.sqrt() - a_t.sqrt() * shrink) * d
