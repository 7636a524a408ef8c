"""Plans that cannot be made are refused by name; those that can have the shape they promise."""

from itertools import pairwise

import pytest
import torch

from models.errors import SamplingError
from models.samplers import Schedule, make_plan, predict_x_0, spaced

SCHEDULE = Schedule.named("squaredcos_cap_v2")


@pytest.mark.parametrize(
    ("sampler", "steps", "options", "named"),
    [
        ("euler", 10, {}, "'euler'"),
        ("ddim", 0, {}, "steps is 0"),
        ("ddim", -3, {}, "steps is -3"),
        ("ddpm", 1001, {}, "1 to 1000"),
        ("ddim", 10, {"eta": 1.5}, "eta is 1.5"),
        ("ddim", 10, {"eta": float("nan")}, "eta is nan"),
        ("dpm_solver_2m", 10, {"eta": 0.5}, "dpm_solver_2m has none"),
        ("ddim", 10, {"spacing": "karras"}, "'karras'"),
    ],
)
def test_an_impossible_plan_is_refused_by_name(sampler, steps, options, named):
    with pytest.raises(SamplingError, match=named):
        make_plan(SCHEDULE, sampler, steps, **options)


def test_an_unknown_schedule_is_refused_by_name():
    with pytest.raises(SamplingError, match="'sigmoid'"):
        Schedule.named("sigmoid")


def test_an_unknown_prediction_type_is_refused_by_name():
    with pytest.raises(SamplingError, match="'flow'"):
        predict_x_0(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1), "flow")


@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 3, 250, 1000])
def test_timesteps_start_from_pure_noise_and_fall(spacing, steps):
    timesteps = spaced(1000, steps, spacing)
    assert timesteps[0] == 999
    assert len(timesteps) == steps
    assert all(after < before for before, after in pairwise(timesteps))
    assert timesteps[-1] >= 0


@pytest.mark.parametrize(
    ("sampler", "eta", "takes_noise"),
    [("ddpm", 0.0, True), ("ddim", 0.0, False), ("ddim", 0.1, True), ("dpm_solver_2m", 0.0, False)],
)
def test_a_plan_knows_whether_it_takes_noise(sampler, eta, takes_noise):
    assert make_plan(SCHEDULE, sampler, 4, eta=eta).is_stochastic is takes_noise


def test_velocity_is_what_v_prediction_turns_back_into_the_picture():
    x_0, eps, timestep = torch.randn(3, 4, generator=torch.manual_seed(1)), torch.ones(3, 4), torch.tensor([0, 500, 999])
    x_t = SCHEDULE.diffuse(x_0, eps, timestep)
    v = SCHEDULE.velocity(x_0, eps, timestep)
    assert torch.allclose(predict_x_0(v, x_t, SCHEDULE.alphas_cumprod[timestep], "v_prediction"), x_0, atol=1e-6)
