"""One batch holds rows of different timesteps, step counts, samplers, eta and guidance; none sees the others."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from models.noise import noise
from models.samplers import Plan, Schedule, clamp_x_0, gather, guide, make_plan, predict_x_0, step

SHAPE = (3, 8, 8)
SCHEDULE = Schedule.named("squaredcos_cap_v2")


@dataclass
class Traveller:
    """One row with all that it needs between steps."""

    seed: int
    plan: Plan
    scale: float
    joins_at_tick: int = 0
    index: int = 0
    x_t: Tensor = field(init=False)
    x_0: Tensor = field(init=False)

    def __post_init__(self):
        self.x_t, self.x_0 = noise(self.seed, "decoder", 0, SHAPE), torch.zeros(SHAPE)

    def noise(self):
        return noise(self.seed, "decoder", 1 + self.index, SHAPE) if self.plan.is_stochastic else torch.zeros(SHAPE)


def travellers():
    return [
        Traveller(1, make_plan(SCHEDULE, "dpm_solver_2m", 20), 3.0),
        Traveller(2, make_plan(SCHEDULE, "dpm_solver_2m", 2), 7.5, joins_at_tick=3),
        Traveller(3, make_plan(SCHEDULE, "ddim", 15), 1.0, joins_at_tick=1),
        Traveller(4, make_plan(SCHEDULE, "ddim", 10, eta=0.5), 2.0, joins_at_tick=5),
        Traveller(5, make_plan(SCHEDULE, "ddpm", 31), 4.0),
        Traveller(6, make_plan(SCHEDULE, "ddpm", 1), 4.0, joins_at_tick=30),
        Traveller(7, make_plan(SCHEDULE, "dpm_solver_2m", 50), 3.0, joins_at_tick=2),
    ]


def advance(rows):
    """One step of all rows together; the net is elementwise, so that only the samplers could mix rows."""
    x_t, plans = torch.stack([row.x_t for row in rows]), [row.plan for row in rows]
    at = gather(plans, [row.index for row in rows])
    time = at.timestep.reshape(-1, 1, 1, 1) / 1000
    output = guide(x_t * (0.9 - time), x_t * (0.7 - time), torch.tensor([row.scale for row in rows]))
    x_0 = clamp_x_0(predict_x_0(output, x_t, at.alpha_t, "v_prediction"), torch.ones(len(rows)))
    noises = torch.stack([row.noise() for row in rows])
    x_s = step(plans, at, x_t, x_0, torch.stack([row.x_0 for row in rows]), noises, v=x_t.tanh())
    for row, moved, clean in zip(rows, x_s, x_0, strict=True):
        row.x_t, row.x_0, row.index = moved, clean, row.index + 1


def run_together(rows):
    """All in one interleaved schedule. Returns the sets of timesteps that shared a call."""
    shared = []
    for tick in range(100):
        present = [row for row in rows if row.joins_at_tick <= tick and row.index < row.plan.steps]
        if present:
            shared.append({int(row.plan.coefficients.timestep[row.index]) for row in present})
            advance(present)
    return shared


def test_rows_of_different_plans_in_one_batch_equal_each_alone_exactly():
    crowd, alone = travellers(), travellers()
    shared = run_together(crowd)
    assert max(len(timesteps) for timesteps in shared) >= 4  # they really stood at different timesteps in one call
    for row in alone:
        while row.index < row.plan.steps:
            advance([row])
    for in_crowd, by_itself in zip(crowd, alone, strict=True):
        assert in_crowd.index == in_crowd.plan.steps
        assert torch.equal(in_crowd.x_t, by_itself.x_t), in_crowd.plan.sampler


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", 0.0), ("ddim", 0.0), ("ddim", 1.0), ("dpm_solver_2m", 0.0)])
def test_the_last_step_gives_x_0_itself(sampler, eta):
    plan = make_plan(SCHEDULE, sampler, 5, eta=eta)
    x_t, x_0 = noise(1, "x_t", 0, (1, *SHAPE)), noise(1, "x_0", 0, (1, *SHAPE))
    at = gather([plan], [4])
    v = torch.full_like(x_t, 3.0)  # a learned variance beyond its range must not reach the finished picture either
    x_s = step([plan], at, x_t, x_0, torch.zeros_like(x_0), torch.ones_like(x_0), v)
    assert torch.allclose(x_s, x_0, atol=1e-6)


def test_clamping_with_an_infinite_limit_leaves_a_row_alone():
    x_0 = torch.tensor([[-9.0, 9.0], [-9.0, 9.0]])
    assert clamp_x_0(x_0, torch.tensor([torch.inf, 1.0])).tolist() == [[-9.0, 9.0], [-1.0, 1.0]]


def test_guidance_scales_each_row_by_its_own():
    cond, uncond = torch.tensor([[2.0], [2.0], [2.0]]), torch.tensor([[1.0], [1.0], [1.0]])
    assert guide(cond, uncond, torch.tensor([0.0, 1.0, 3.0])).tolist() == [[1.0], [2.0], [4.0]]
