"""The turbo decoder: the guided decoder's path in few steps, without guidance rows.

Step distillation (Salimans and Ho 2022, §3) of the teacher with its guidance, which the student learns to do without (Meng et
al. 2023, §3), in one stage: the student starts from the teacher's weights and learns for a fixed grid of few timesteps where
several guided steps of the teacher lead. Not onto the picture itself, as consistency models do (Song et al. 2023): over one
interval the path is nearly what the teacher says at its beginning, so that little has to be learned.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.inpainting import Known, inpaint_input
from models.samplers import Plan, Schedule, guide, make_plan, step
from models.samplers.broadcast import rows as per_row
from training.examples import Examples, Source, drop_text
from training.masks import draw_masks
from training.sampling import denoising_loss, lay_out, noise_like
from training.tasks.decoder import DecoderNet

DROP_TEXT = 0.2  # the caption alone is withheld at times; z_i is always there when a prior has drawn it
GRID_ROWS, COLUMNS = 32, 8
SAMPLER = "ddim"
"""The student's: its x_0 is what one such step needs."""

Condition = tuple[Tensor, Tensor, Tensor, Tensor]
"""z_i, then the caption's embeds, tokens and mask: what a `DecoderNet` takes beside picture and time."""


@dataclass(frozen=True)
class Distillation:
    """What becomes one step of the student.

    guidance_scale: the teacher's, which goes into the student's weights. steps: the student's. substeps: the teacher's for each
    of them. masked: share of the rows that paint only a part of a known picture.
    """

    guidance_scale: float
    steps: int = 4
    substeps: int = 2
    masked: float = 0.0


class TurboTask:
    """Trains on the teacher's guided paths from noise to picture; the source's pictures are used for what masks leave of them.

    Paths, not noised pictures: guidance leads them through other places, and at sampling the student is at those.
    """

    name = "turbo"

    def __init__(self, net: DecoderNet, teacher: DecoderNet, source: Source, schedule: Schedule, how: Distillation) -> None:
        """net: of `student_of(teacher)`."""
        self.net, self.teacher, self.source, self.how = net, teacher.eval().requires_grad_(False), source, how
        self.teachers_plan = make_plan(schedule, "dpm_solver_2m", how.steps * how.substeps)
        self.plan = make_plan(schedule, SAMPLER, how.steps)  # its timesteps are among the teacher's: both are trailing

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """The denoising loss at all of the student's timesteps along batch / steps paths."""
        of = self.source.take(max(1, batch // self.how.steps), generator)
        rows, device = len(of.z_i), of.z_i.device
        text = drop_text(of.text, self.source.empty, (torch.rand(rows, generator=generator) < DROP_TEXT).to(device))
        condition, known = (of.z_i, text.embeds, text.tokens, text.mask), Known(of.pixels, self._masks(of, generator))
        path = self.path(condition, known, noise_like(of.pixels, generator))
        at = self.plan.coefficients.take([number for number in range(self.plan.steps) for _ in range(rows)])
        x_t, x_s = path[:-1].flatten(0, 1), path[1:].flatten(0, 1)
        x_0 = ddim_target(x_t, x_s, at.alpha_t, at.alpha_s).clamp(-1, 1)  # as the sampler will clamp the answer
        picture, mask, *condition_of_all = (each_time(part, self.plan.steps) for part in (of.pixels, known.mask, *condition))
        predicted = self.net(inpaint_input(x_t, picture, mask), at.timestep.to(device), *condition_of_all)
        return denoising_loss(predicted, x_0, at.alpha_t.to(device))

    @torch.no_grad()
    def path(self, condition: Condition, known: Known, x_T: Tensor) -> Tensor:
        """Where the guided teacher comes through at the student's timesteps, and its picture: (steps + 1, B, 3, S, S)."""
        rows = len(x_T)
        empty = self.source.empty
        nothing = (empty.embeds, empty.tokens[:, : condition[2].shape[1]], empty.mask[:, : condition[3].shape[1]])
        uncond = [part.expand(rows, *part.shape[1:]) for part in (self.teacher.text_proj.without_image(rows), *nothing)]
        both = [torch.cat(pair) for pair in zip(condition, uncond, strict=True)]
        scale = torch.full((rows,), self.how.guidance_scale, device=x_T.device)

        def x_0_of(x_t: Tensor, t: Tensor) -> Tensor:
            x = inpaint_input(x_t, known.picture, known.mask)
            with_both, with_none = self.teacher(torch.cat([x, x]), torch.cat([t, t]), *both).float().chunk(2)
            return known.hold(guide(with_both, with_none, scale))

        return travel(self.teachers_plan, x_T, x_0_of)[:: self.how.substeps]

    def _masks(self, of: Examples, generator: torch.Generator) -> Tensor:
        """(B, 1, S, S): all is to be painted, but in the share `masked` a part."""
        is_whole = (torch.rand(len(of.owners), 1, 1, 1, generator=generator) >= self.how.masked).to(of.owners.device)
        return draw_masks(of.owners, "object", generator).masked_fill(is_whole, 1.0)

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """Pictures of one batch from the same noise: a line of the guided teacher's, below it the student's, and so on."""
        generator = torch.Generator().manual_seed(0)
        of = self.source.take(GRID_ROWS, generator)
        x_T = torch.randn(of.pixels.shape, generator=generator).to(of.pixels.device)
        condition = (of.z_i, of.text.embeds, of.text.tokens, of.text.mask)

        def x_0_of(x_t: Tensor, t: Tensor) -> Tensor:
            x_0: Tensor = net(inpaint_input(x_t), t, *condition)
            return x_0.float()

        taught = self.path(condition, Known(of.pixels, torch.ones_like(x_T[:, :1])), x_T)[-1]
        learned = travel(self.plan, x_T, x_0_of)[-1]
        lines = [
            line for pair in zip(torch.split(taught, COLUMNS), torch.split(learned, COLUMNS), strict=True) for line in pair
        ]
        return lay_out(torch.cat(lines), columns=COLUMNS)


def student_of(teacher: DecoderNet) -> DecoderNet:
    """A decoder whose UNet starts as the teacher's and learns; the projection is the teacher's own, and stays as it is."""
    student = DecoderNet(copy.deepcopy(teacher.unet), teacher.text_proj.requires_grad_(False))
    student.unet.requires_grad_(True)
    return student


def ddim_target(x_t: Tensor, x_s: Tensor, alpha_t: Tensor, alpha_s: Tensor) -> Tensor:
    """The x_0 with which one DDIM step leads from x_t to x_s (Salimans and Ho 2022, algorithm 2).

    x_t, x_s: (B, …). alpha_t < alpha_s: cumulative products of 1 - beta, (B,); where alpha_s is 1, the result is x_s.
    """
    a_t, a_s = per_row(alpha_t, x_t), per_row(alpha_s, x_t)
    shrink = ((1 - a_s) / (1 - a_t)).sqrt()
    return (x_s - shrink * x_t) / (a_s.sqrt() - shrink * a_t.sqrt())


def travel(plan: Plan, x_T: Tensor, x_0_of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Follow a plan without noise from x_T, x_0 held within ±1. x_T: (B, …). x_0_of: takes x_t (B, …) and t (B,).

    Returns x at each of the plan's timesteps and the picture, (steps + 1, B, …).
    """
    path, x_0_last = [x_T], torch.zeros_like(x_T)
    for number in range(plan.steps):
        at = plan.coefficients.take([number] * len(x_T))
        x_0 = x_0_of(path[-1], at.timestep.to(x_T.device)).clamp(-1, 1)
        path.append(step([plan] * len(x_T), at, path[-1], x_0, x_0_last, torch.zeros_like(x_T)))
        x_0_last = x_0
    return torch.stack(path)


def each_time(rows: Tensor, times: int) -> Tensor:
    """(B, …) as (times · B, …), all rows again for each time."""
    return rows.repeat(times, *[1] * (rows.dim() - 1))
