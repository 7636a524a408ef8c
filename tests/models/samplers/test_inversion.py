"""DDIM inversion: a picture to its x_T and back."""

import pytest
import torch

from models.noise import noise
from models.samplers import Schedule, ddim_invert_step, gather, make_plan, predict_x_0, step

SCHEDULE = Schedule.named("squaredcos_cap_v2")
SHAPE = (2, 3, 8, 8)
SPREAD = 0.5


def eps_of_gaussian_data(x, timestep):
    """The exact eps where pictures are drawn from N(0, SPREAD²): sqrt(1 - alpha_t) x / (alpha_t SPREAD² + 1 - alpha_t)."""
    a = SCHEDULE.alphas_cumprod[timestep].double().reshape(-1, 1, 1, 1)
    return (1 - a).sqrt() * x / (a * SPREAD**2 + 1 - a)


def there_and_back(picture, steps, eps_of):
    """float64, so that what is left is the method's own error. Returns x_T and the picture drawn from it again."""
    plan, x = make_plan(SCHEDULE, "ddim", steps), picture.double()
    plans, zeros = [plan] * len(x), torch.zeros_like(x)
    for index in reversed(range(steps)):
        at = gather(plans, [index] * len(x))
        x = ddim_invert_step(x, eps_of(x, at.timestep), at.alpha_s, at.alpha_t)
    x_T = x
    for index in range(steps):
        at = gather(plans, [index] * len(x))
        x = step(plans, at, x, predict_x_0(eps_of(x, at.timestep), x, at.alpha_t, "epsilon"), zeros, zeros)
    return x_T, x


def test_a_round_trip_is_exact_where_eps_does_not_depend_on_the_picture():
    picture, direction = SPREAD * noise(1, "picture", 0, SHAPE).double(), noise(1, "eps", 0, SHAPE).double()
    _, again = there_and_back(picture, 10, lambda x, timestep: direction)
    assert torch.allclose(again, picture, atol=1e-9)


@pytest.mark.parametrize(("steps", "error"), [(50, 0.05), (200, 0.012), (800, 0.004)])
def test_a_round_trip_comes_closer_the_more_steps_it_takes(steps, error):
    picture = SPREAD * noise(1, "picture", 0, SHAPE)
    _, again = there_and_back(picture, steps, eps_of_gaussian_data)
    assert (again - picture).abs().mean() <= error * picture.abs().mean()


def test_x_T_of_a_picture_is_as_spread_as_noise():
    picture = SPREAD * noise(1, "picture", 0, (8, 3, 32, 32))
    x_T, _ = there_and_back(picture, 200, eps_of_gaussian_data)
    assert 0.95 <= x_T.std() <= 1.05
