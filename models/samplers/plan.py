"""A row's plan: its timesteps and, for each of its steps, the numbers that the samplers take."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from models.errors import SamplingError
from models.samplers.schedule import Schedule, spaced

Sampler = Literal["ddpm", "ddim", "dpm_solver_2m"]


@dataclass(frozen=True, eq=False)
class Coefficients:
    """The numbers of a step from t to s < t, along one axis N: the steps of a plan, or the rows of a batch.

    timestep: t, int64. The others float32. alpha_t, alpha_s: cumulative products of 1 - beta; alpha_s is 1 where s is the
    picture itself. beta_t: of the step t → s. eta: DDIM's. slope: DPM-Solver++(2M)'s 1 / (2 r), 0 for a step of first order.
    """

    timestep: Tensor
    alpha_t: Tensor
    alpha_s: Tensor
    beta_t: Tensor
    eta: Tensor
    slope: Tensor

    def take(self, indices: Sequence[int]) -> "Coefficients":
        """Those of some of the places along the axis."""
        return Coefficients(*(getattr(self, field.name)[list(indices)] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Plan:
    """How one row travels from noise to picture. Made once per row; holds no state of the travel."""

    sampler: Sampler
    coefficients: Coefficients

    @property
    def steps(self) -> int:
        """How often the net will be asked."""
        return len(self.coefficients.timestep)

    def last(self, steps: int) -> "Plan":
        """Its last `steps` steps alone, for a row that begins on the way; with none before it, the first is of first order."""
        if steps == self.steps:
            return self
        kept = self.coefficients.take(range(self.steps - steps, self.steps))
        slope = torch.cat([torch.zeros(1), kept.slope[1:]])
        return replace(self, coefficients=replace(kept, slope=slope))

    def again(self, times: int) -> "Plan":
        """The same way so many times, one after another."""
        return replace(self, coefficients=self.coefficients.take([*range(self.steps)] * times))

    @property
    def is_stochastic(self) -> bool:
        """Whether the steps take noise."""
        return self.sampler == "ddpm" or bool((self.coefficients.eta > 0).any())


def make_plan(
    schedule: Schedule, sampler: str, steps: int, *, eta: float = 0.0, spacing: str | None = None, trained_betas: bool = False
) -> Plan:
    """Plan `steps` steps of `sampler` down to the picture.

    sampler: `ddpm`, `ddim` or `dpm_solver_2m`. eta: 0 to 1, for `ddim` only. spacing: as in `spaced`; by default `linspace` for
    `ddpm` (as UnCLIPScheduler) and `trailing` for the others. trained_betas: between neighbouring timesteps, and at the last
    step, take the schedule's beta rather than 1 - alpha_t / alpha_s, as UnCLIPScheduler does; they differ by float32 rounding
    alone, but the last step shows it (5e-4 of x_0). Raises SamplingError for anything else.
    """
    if sampler not in get_args(Sampler):
        raise SamplingError(f"sampler {sampler!r} is not known; choose {', '.join(get_args(Sampler))}")
    if not 0.0 <= eta <= 1.0:
        raise SamplingError(f"eta is {eta}; it goes from 0 (deterministic) to 1 (as noisy as DDPM)")
    if eta and sampler != "ddim":
        raise SamplingError(f"eta is {eta}, but {sampler} has none; use ddim or leave it 0")
    t = torch.tensor(spaced(schedule.timesteps, steps, spacing or ("linspace" if sampler == "ddpm" else "trailing")))
    alpha_t = schedule.alphas_cumprod[t]
    alpha_s = torch.cat([alpha_t[1:], torch.ones(1)])
    beta_t = 1 - alpha_t / alpha_s
    if trained_betas:
        s = torch.cat([t[1:], torch.tensor([-1])])
        beta_t = torch.where(s == t - 1, schedule.betas[t], beta_t)
    slope = _slope(alpha_t) if sampler == "dpm_solver_2m" else torch.zeros(steps)
    return Plan(cast(Sampler, sampler), Coefficients(t, alpha_t, alpha_s, beta_t, torch.full((steps,), float(eta)), slope))


def gather(plans: Sequence[Plan], steps: Sequence[int], device: str | torch.device = "cpu") -> Coefficients:
    """The (B,) coefficients of a batch whose row i stands at step `steps[i]` (from 0) of `plans[i]`, on `device`."""
    places = [plan.coefficients.take([step]) for plan, step in zip(plans, steps, strict=True)]
    return Coefficients(*(torch.cat([getattr(p, f.name) for p in places]).to(device) for f in fields(Coefficients)))


def _slope(alpha_t: Tensor) -> Tensor:
    """1 / (2 r_i) = h_i / (2 h_{i-1}), h the steps of half the log signal-to-noise ratio, in float64; (S,) float32.

    0 at the first step, which has no history, and at the last, where the ratio is infinite (diffusers' `lower_order_final`).
    """
    h = torch.logit(alpha_t.double()).diff() / 2
    slope = torch.zeros(len(alpha_t))
    slope[1:-1] = (h[1:] / (2 * h[:-1])).float()
    return slope
