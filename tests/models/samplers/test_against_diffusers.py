"""Whole trajectories against diffusers' schedulers, which are the reference for our samplers."""

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UnCLIPScheduler

from models.noise import noise
from models.samplers import (
    Schedule,
    clamp_x_0,
    ddim_invert_step,
    dynamic_threshold,
    gather,
    make_plan,
    predict_x_0,
    spaced,
    step,
)

# numpy 2 reminds DPMSolverMultistepScheduler of torch's __array__.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STEPS = [1, 2, 10, 15, 50]
SHAPE = (2, 3, 8, 8)
TOLERANCE = 1e-5  # float32 throughout, as in diffusers; largest difference of any value after any step


@pytest.fixture(scope="module")
def cosine():
    return Schedule.named("squaredcos_cap_v2")


def net(x_t, timestep, prediction_type, alphas_cumprod):
    """A smooth stand-in for a trained net: it believes that every picture is a tame function of what it sees."""
    alpha = alphas_cumprod[timestep].reshape(-1, *[1] * (x_t.dim() - 1))
    x_0 = torch.tanh(alpha.sqrt() * x_t + 0.3 * x_t.roll(1, dims=-1) + 0.2 * torch.cos(timestep.reshape(alpha.shape) / 100.0))
    if prediction_type == "sample":
        return x_0
    if prediction_type == "v_prediction":
        return (alpha.sqrt() * x_t - x_0) / (1 - alpha).sqrt()
    return (x_t - alpha.sqrt() * x_0) / (1 - alpha).sqrt()


def ours(schedule, plan, prediction_type, limit, shape=SHAPE, learned=False):
    """The x_s after each step, and the timesteps asked for."""
    x_t, x_0_last, trajectory = noise(7, "start", 0, shape), torch.zeros(shape), []
    for index in range(plan.steps):
        at = gather([plan] * shape[0], [index] * shape[0])
        output = net(x_t, at.timestep, prediction_type, schedule.alphas_cumprod)
        v = torch.sin(5 * x_t) if learned else None
        x_0 = clamp_x_0(predict_x_0(output, x_t, at.alpha_t, prediction_type), torch.full(shape[:1], limit))
        x_t, x_0_last = step([plan] * shape[0], at, x_t, x_0, x_0_last, noise(7, "steps", index, shape), v), x_0
        trajectory.append(x_t)
    return torch.stack(trajectory), plan.coefficients.timestep


def theirs(scheduler, monkeypatch, prediction_type, shape=SHAPE, learned=False, **step_options):
    """The same travel by a diffusers scheduler, fed with our noise."""
    x_t, trajectory, drawn = noise(7, "start", 0, shape), [], iter(range(10**6))
    for module in ("unclip", "ddpm", "ddim"):
        monkeypatch.setattr(
            f"diffusers.schedulers.scheduling_{module}.randn_tensor", lambda *_, **__: noise(7, "steps", next(drawn), shape)
        )
    timesteps = scheduler.timesteps
    for index, t in enumerate(timesteps):
        output = net(x_t, t.expand(shape[0]), prediction_type, scheduler.alphas_cumprod)
        if learned:
            output = torch.cat([output, torch.sin(5 * x_t)], dim=1)
        if isinstance(scheduler, UnCLIPScheduler):
            step_options["prev_timestep"] = timesteps[index + 1] if index + 1 < len(timesteps) else None
        x_t = scheduler.step(output, t, x_t, **step_options).prev_sample
        trajectory.append(x_t)
    return torch.stack(trajectory), timesteps


def assert_same_travel(ours, theirs):
    assert ours[1].tolist() == theirs[1].tolist()
    assert (ours[0] - theirs[0]).abs().max() <= TOLERANCE


@pytest.mark.parametrize("steps", STEPS[1:])  # with 1 step UnCLIPScheduler divides by zero
def test_ddpm_equals_unclip_scheduler_of_a_prior(cosine, monkeypatch, steps):
    scheduler = UnCLIPScheduler(prediction_type="sample", clip_sample_range=5.0, variance_type="fixed_small_log")
    scheduler.set_timesteps(steps)
    expected = theirs(scheduler, monkeypatch, "sample", shape=(2, 32))
    plan = make_plan(cosine, "ddpm", steps, trained_betas=True)
    assert_same_travel(ours(cosine, plan, "sample", 5.0, shape=(2, 32)), expected)


@pytest.mark.parametrize("steps", STEPS[1:])
def test_ddpm_equals_unclip_scheduler_of_a_decoder_with_learned_variance(cosine, monkeypatch, steps):
    scheduler = UnCLIPScheduler(prediction_type="epsilon", variance_type="learned_range")
    scheduler.set_timesteps(steps)
    expected = theirs(scheduler, monkeypatch, "epsilon", learned=True)
    plan = make_plan(cosine, "ddpm", steps, trained_betas=True)
    assert_same_travel(ours(cosine, plan, "epsilon", 1.0, learned=True), expected)


@pytest.mark.parametrize("steps", [2, 7])
def test_ddpm_equals_unclip_scheduler_over_neighbouring_timesteps(monkeypatch, steps):
    scheduler = UnCLIPScheduler(num_train_timesteps=steps, prediction_type="sample", clip_sample=False)
    scheduler.set_timesteps(steps)
    schedule = Schedule.named("squaredcos_cap_v2", steps)
    plan = make_plan(schedule, "ddpm", steps, trained_betas=True)
    assert_same_travel(ours(schedule, plan, "sample", torch.inf), theirs(scheduler, monkeypatch, "sample"))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_ddpm_equals_ddpm_scheduler(cosine, monkeypatch, steps, prediction_type):
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type)
    scheduler.set_timesteps(steps)
    expected = theirs(scheduler, monkeypatch, prediction_type)
    assert_same_travel(ours(cosine, make_plan(cosine, "ddpm", steps, spacing="leading"), prediction_type, 1.0), expected)


def test_ddpm_equals_ddpm_scheduler_on_the_linear_schedule(monkeypatch):
    scheduler = DDPMScheduler(beta_schedule="linear", prediction_type="v_prediction", clip_sample=False)
    scheduler.set_timesteps(10)
    linear = Schedule.named("linear")
    plan = make_plan(linear, "ddpm", 10, spacing="leading")
    assert_same_travel(ours(linear, plan, "v_prediction", torch.inf), theirs(scheduler, monkeypatch, "v_prediction"))


# diffusers' DDIM steps back by T // steps whatever its timesteps are: right for `leading`, for `trailing` where steps divide T.
@pytest.mark.parametrize(
    ("spacing", "steps"), [("leading", s) for s in STEPS] + [("trailing", s) for s in STEPS if 1000 % s == 0]
)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_ddim_equals_ddim_scheduler(cosine, monkeypatch, spacing, steps, eta, prediction_type):
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    expected = theirs(scheduler, monkeypatch, prediction_type, eta=eta, use_clipped_model_output=True)
    plan = make_plan(cosine, "ddim", steps, eta=eta, spacing=spacing)
    assert_same_travel(ours(cosine, plan, prediction_type, 1.0), expected)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction"])
def test_dpm_solver_2m_equals_dpm_solver_multistep_scheduler(cosine, monkeypatch, steps, prediction_type):
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(steps)
    expected = theirs(scheduler, monkeypatch, prediction_type)
    assert_same_travel(ours(cosine, make_plan(cosine, "dpm_solver_2m", steps), prediction_type, torch.inf), expected)


# Not on the cosine schedule: there one float32 rounding of sqrt(1 - alpha_t) moves the first x_0 by 1e-3, in theirs as in ours.
@pytest.mark.parametrize("steps", STEPS)
def test_dpm_solver_2m_equals_dpm_solver_multistep_scheduler_for_epsilon(monkeypatch, steps):
    scheduler = DPMSolverMultistepScheduler(beta_schedule="linear", beta_end=0.01, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    linear = Schedule.named("linear", beta_end=0.01)
    expected = theirs(scheduler, monkeypatch, "epsilon")
    assert_same_travel(ours(linear, make_plan(linear, "dpm_solver_2m", steps), "epsilon", torch.inf), expected)


@pytest.mark.parametrize("steps", [10, 50])
def test_ddim_inversion_equals_ddim_inverse_scheduler(cosine, steps):
    scheduler = DDIMInverseScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False, prediction_type="epsilon")
    scheduler.set_timesteps(steps)
    plan = make_plan(cosine, "ddim", steps, spacing="leading")
    mine = expected = noise(3, "picture", 0, SHAPE) / 3
    for index, t in zip(reversed(range(steps)), scheduler.timesteps, strict=True):
        at = gather([plan] * SHAPE[0], [index] * SHAPE[0])
        mine = ddim_invert_step(mine, net(mine, at.timestep, "epsilon", cosine.alphas_cumprod), at.alpha_s, at.alpha_t)
        expected = scheduler.step(net(expected, t.expand(SHAPE[0]), "epsilon", cosine.alphas_cumprod), t, expected).prev_sample
        assert (mine - expected).abs().max() <= TOLERANCE


def test_dynamic_threshold_equals_ddpm_schedulers():
    scheduler = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=2.0)
    x_0 = noise(5, "pictures", 0, SHAPE) * torch.tensor([0.2, 4.0]).reshape(2, 1, 1, 1)
    assert torch.equal(dynamic_threshold(x_0, 0.9, 2.0), scheduler._threshold_sample(x_0))


# numpy's arange drifts, so that a span of `trailing` that ends on a half may round to the other side.
@pytest.mark.parametrize(("spacing", "slack"), [("trailing", 1), ("leading", 0), ("linspace", 0)])
def test_timesteps_equal_ddpm_schedulers_for_every_number_of_steps(spacing, slack):
    scheduler = DDPMScheduler(timestep_spacing=spacing)
    for steps in range(2, 251):
        scheduler.set_timesteps(steps)
        assert np.abs(np.subtract(spaced(1000, steps, spacing), scheduler.timesteps[:steps].numpy())).max() <= slack, steps


def test_betas_equal_diffusers(cosine):
    assert np.array_equal(cosine.alphas_cumprod, DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod)
    assert np.array_equal(Schedule.named("linear").alphas_cumprod, DDPMScheduler(beta_schedule="linear").alphas_cumprod)
