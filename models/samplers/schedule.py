"""The forward process: how much noise a model was trained to see at each timestep."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from models.errors import SamplingError
from models.samplers.broadcast import rows


@dataclass(frozen=True, eq=False)
class Schedule:
    """beta_t and the running product alpha_t of 1 - beta_t (Ho et al. 2020), each (T,), float32.

    float32 also in the product, as the public checkpoints' own samplers keep it: at the last timesteps of the cosine schedule a
    float64 product differs by 1e-4, and x_0 = (x_t - sqrt(1 - alpha_t) eps) / sqrt(alpha_t) shows it.
    """

    betas: Tensor
    alphas_cumprod: Tensor

    @classmethod
    def named(cls, name: str, timesteps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> "Schedule":
        """The schedule of a config: `linear` (Ho et al. 2020) or `squaredcos_cap_v2` (Nichol and Dhariwal 2021, eq. 17).

        beta_start, beta_end: of `linear` only. Raises SamplingError for any other name.
        """
        if name == "linear":
            betas = torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float32)
        elif name == "squaredcos_cap_v2":
            product = [math.cos((t / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(timesteps + 1)]
            betas = torch.tensor([min(1 - after / before, 0.999) for before, after in pairwise(product)])
        else:
            raise SamplingError(f"beta schedule {name!r} is not known; choose linear or squaredcos_cap_v2")
        return cls(betas, torch.cumprod(1.0 - betas, dim=0))

    @property
    def timesteps(self) -> int:
        """T, the number of timesteps of training."""
        return len(self.betas)

    def diffuse(self, x_0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """x_t = sqrt(alpha_t) x_0 + sqrt(1 - alpha_t) noise (Ho et al. 2020, eq. 4), each row at its own timestep.

        x_0, noise: (B, …). timestep: (B,) int64.
        """
        a_t = rows(self.alphas_cumprod.to(timestep.device, non_blocking=True)[timestep], x_0)
        return a_t.sqrt() * x_0 + (1 - a_t).sqrt() * noise

    def velocity(self, x_0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """v = sqrt(alpha_t) noise - sqrt(1 - alpha_t) x_0 (Salimans and Ho 2022): what a `v_prediction` net is trained to give.

        x_0, noise: (B, …). timestep: (B,) int64.
        """
        a_t = rows(self.alphas_cumprod.to(timestep.device, non_blocking=True)[timestep], x_0)
        return a_t.sqrt() * noise - (1 - a_t).sqrt() * x_0


def spaced(timesteps: int, steps: int, spacing: str) -> list[int]:
    """The `steps` timesteps of training at which a net is asked, highest first (Lin et al. 2023, table 2).

    trailing: the last of each of `steps` equal spans, always from T - 1. linspace: both ends, T - 1 and 0 (UnCLIPScheduler,
    GLIDE). leading: the first of each span; never reaches T - 1. Raises SamplingError for another, or steps outside 1 to T.
    """
    if not 1 <= steps <= timesteps:
        raise SamplingError(f"steps is {steps}; this schedule takes 1 to {timesteps}")
    # Python's round and numpy's agree: halves go to the even neighbour.
    if spacing == "trailing":
        return [round(timesteps - i * timesteps / steps) - 1 for i in range(steps)]
    if spacing == "leading":
        return [i * (timesteps // steps) for i in reversed(range(steps))]
    if spacing == "linspace":
        if steps == 1:  # UnCLIPScheduler divides by zero here; one step must start from pure noise
            return [timesteps - 1]
        return [round(i * ((timesteps - 1) / (steps - 1))) for i in reversed(range(steps))]
    raise SamplingError(f"timestep spacing {spacing!r} is not known; choose trailing, linspace or leading")
