"""Turbo: the student's four plain steps come to lead where the guided teacher's eight lead."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.inpainting import Known, inpaint_input
from models.samplers import ddim_step, predict_eps
from models.samplers.schedule import Schedule
from tests.training.tiny_decoder import tiny_decoder
from tests.training.tiny_source import TinySource
from training.tasks.decoder import DecoderNet, DecoderTask
from training.tasks.turbo import Condition, Distillation, TurboTask, ddim_target, student_of, travel

SCHEDULE = Schedule.named("squaredcos_cap_v2")


def tiny_task(**how: float) -> TurboTask:
    teacher = tiny_decoder(patch_size=8)
    return TurboTask(student_of(teacher), teacher, TinySource(size_px=32), SCHEDULE, Distillation(guidance_scale=3.0, **how))  # type: ignore[arg-type]


def examples(rows: int) -> tuple[Condition, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    of = TinySource(size_px=32).take(rows, generator)
    condition = (of.z_i, of.text.embeds, of.text.tokens, of.text.mask)
    return condition, of.pixels, torch.randn(of.pixels.shape, generator=generator)


@torch.no_grad()
def missed(task: TurboTask) -> float:
    """Mean squared distance between the student's pictures and the guided teacher's from the same noise."""
    condition, pixels, x_T = examples(8)
    taught = task.path(condition, Known(pixels, torch.ones_like(pixels[:, :1])), x_T)[-1]
    return float((travel(task.plan, x_T, plain(task.net, condition))[-1] - taught).square().mean())


def plain(net: DecoderNet, condition: Condition) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x_t, t: net(inpaint_input(x_t), t, *condition)


def learn(task: DecoderTask | TurboTask, net: nn.Module, steps: int) -> None:
    optimizer = torch.optim.AdamW(net.parameters())
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - number / steps)  # as the loop does: at a fixed rate the end is chance
        optimizer.zero_grad()
        task.loss(16, torch.Generator().manual_seed(number)).backward()
        optimizer.step()


def test_the_student_learns_to_draw_what_the_guided_teacher_draws() -> None:
    untaught = tiny_task()
    teacher = untaught.teacher.requires_grad_(True)
    learn(DecoderTask(teacher, untaught.source, SCHEDULE), teacher, steps=40)
    task = TurboTask(student_of(teacher), teacher, untaught.source, SCHEDULE, untaught.how)
    before = missed(task)
    learn(task, task.net.unet, steps=80)
    assert missed(task) < before / 4


def test_nothing_but_the_students_unet_learns() -> None:
    task = tiny_task()
    task.loss(8, torch.Generator().manual_seed(0)).backward()
    learning = {name.partition(".")[0] for name, p in task.net.named_parameters() if p.grad is not None}
    assert learning == {"unet"}
    assert all(p.grad is None for p in task.teacher.parameters())


def test_the_students_steps_are_among_the_teachers() -> None:
    task = tiny_task(substeps=3)
    assert torch.equal(task.plan.coefficients.timestep, task.teachers_plan.coefficients.timestep[::3])


@pytest.mark.parametrize("alpha_s", [0.5, 1.0])
def test_the_target_is_the_x_0_whose_ddim_step_leads_there(alpha_s: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x_t, x_s = torch.randn(2, 4, 3, 8, 8, generator=generator)
    a_t, a_s, zero = (torch.full((4,), value) for value in (0.1, alpha_s, 0.0))
    x_0 = ddim_target(x_t, x_s, a_t, a_s)
    led = ddim_step(x_0, predict_eps(x_0, x_t, a_t), a_t, a_s, zero, torch.zeros_like(x_t))
    assert torch.allclose(led, x_s, atol=1e-5)


def test_what_is_known_is_in_the_picture_that_the_teacher_paints() -> None:
    task = tiny_task()
    condition, pixels, x_T = examples(4)
    mask = torch.zeros_like(pixels[:, :1])
    mask[..., :16] = 1
    painted = task.path(condition, Known(pixels, mask), x_T)[-1]
    assert torch.allclose(painted[..., 16:], pixels[..., 16:], atol=1e-6)
    assert not torch.allclose(painted[..., :16], pixels[..., :16], atol=1e-1)


def test_with_masks_the_weights_for_them_learn_too() -> None:
    task = tiny_task(masked=1.0)
    task.loss(16, torch.Generator().manual_seed(0)).backward()
    gradient = task.net.unet.conv_in.weight.grad
    assert gradient is not None
    assert gradient[:, 3 * 64 :].abs().sum() > 0


def test_the_grid_shows_the_teachers_lines_above_the_students() -> None:
    task = tiny_task()
    grid = task.grid(task.net)
    assert grid.shape == (3, 8 * 34 + 2, 8 * 34 + 2)
