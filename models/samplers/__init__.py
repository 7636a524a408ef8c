"""Samplers over per-row coefficients: one batch may hold rows of different timesteps, step counts, samplers, eta and guidance.

A row keeps its `Plan` (made once), the number of its next step, its x_t and its last x_0; a stage steps any rows together:

    schedule = Schedule.named("squaredcos_cap_v2")                              # once per model
    row.plan = make_plan(schedule, "dpm_solver_2m", steps=20)                   # once per row
    row.x_t = noise(row.seed, "decoder", 0, (3, 64, 64)); row.x_0 = torch.zeros(3, 64, 64)
    # and before each step, zeros where not row.plan.is_stochastic:             (step 0 of the address was x_T)
    row.noise = noise(row.seed, "decoder", 1 + row.step, (3, 64, 64))

    at = gather([row.plan for row in rows], [row.step for row in rows])         # (B,) coefficients
    x_t, x_0_last = stack(row.x_t), stack(row.x_0)
    output = guide(net(x_t, at.timestep, text), net(x_t, at.timestep, empty), scale)
    x_0 = clamp_x_0(predict_x_0(output, x_t, at.alpha_t, "v_prediction"), limit)
    x_s = step(plans, at, x_t, x_0, x_0_last, noises)

Each equals diffusers' scheduler over whole trajectories: `ddpm` UnCLIPScheduler and DDPMScheduler, `ddim` DDIMScheduler with
`use_clipped_model_output`, `dpm_solver_2m` DPMSolverMultistepScheduler (dpmsolver++, midpoint, final sigma zero).
"""

from models.samplers.batch import step
from models.samplers.ddim import ddim_invert_step, ddim_step
from models.samplers.ddpm import ddpm_step, fixed_small_sigma, learned_range_sigma
from models.samplers.dpm_solver import dpm_solver_2m_step
from models.samplers.guidance import GuidanceMode, guide, scale_at
from models.samplers.plan import Coefficients, Plan, Sampler, gather, make_plan
from models.samplers.predict import clamp_x_0, predict_eps, predict_x_0
from models.samplers.schedule import Schedule, spaced
from models.samplers.slerp import slerp, slerp_along, slerp_mix
from models.samplers.thresholding import dynamic_threshold

__all__ = [
    "Coefficients",
    "GuidanceMode",
    "Plan",
    "Sampler",
    "Schedule",
    "clamp_x_0",
    "ddim_invert_step",
    "ddim_step",
    "ddpm_step",
    "dpm_solver_2m_step",
    "dynamic_threshold",
    "fixed_small_sigma",
    "gather",
    "guide",
    "learned_range_sigma",
    "make_plan",
    "predict_eps",
    "predict_x_0",
    "scale_at",
    "slerp",
    "slerp_along",
    "slerp_mix",
    "spaced",
    "step",
]
