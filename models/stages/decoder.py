"""The decoder's stage: z_i and the caption to a 64 px picture (DALL·E 2, §2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.clip.text import TextFeatures
from models.inpainting import INPAINT_CHANNELS, Known, net_input
from models.nets.text_proj import TextProjection
from models.nets.unet import UNet
from models.noise import noise
from models.row import DrawRequest, Row
from models.samplers import Coefficients, Plan, guide, make_plan, scale_at
from models.stages.diffusion import DiffusionStage, Sampling, plan_of
from models.stages.stage import present

SIZE_PX = 64


class DecoderStage(DiffusionStage):
    """CLIP image embedding to picture."""

    name = "decoder"
    cost = 8.0

    def __init__(
        self,
        unet: UNet,
        text_proj: TextProjection,
        empty: TextFeatures,
        sampling: Sampling,
        *,
        device: str,
        bucket: int,
    ) -> None:
        """empty: features of the empty caption, which with the learned embedding stand for a dropped condition."""
        super().__init__(sampling, device, bucket)
        self.unet, self.text_proj, self.empty = unet, text_proj, empty
        with torch.inference_mode():
            self.nothing = self.condition(text_proj.without_image(1), empty)

    @property
    def can_inpaint(self) -> bool:
        """Whether the net has channels for a picture and a mask."""
        return self.unet.config.in_channels == 3 + INPAINT_CHANNELS

    def steps(self, request: DrawRequest) -> int:
        """The share that the request's strength says; for a picture that stops at the prior a single one, as a glance."""
        return 1 if request.stop_at == "prior" else max(1, round(request.strength * self.all_steps(request)))

    def all_steps(self, request: DrawRequest) -> int:
        """From noise to picture: as many as the request says."""
        return request.steps

    def plan(self, request: DrawRequest) -> Plan:
        """By DDIM where the request says its eta; its last steps alone for a strength below 1."""
        if request.stop_at == "prior":
            return self.sampling.plan(1)
        steps = self.all_steps(request)
        if request.eta is None:
            plan = self.sampling.plan(steps)
        else:
            plan = make_plan(self.sampling.schedule, "ddim", steps, eta=request.eta)
        return plan.last(self.steps(request))

    def guidance(self, row: Row) -> float:
        """The guidance scale of a row's next step; 1 is none."""
        request = row.request
        return scale_at(request.guidance_mode, request.guidance_scale, request.guidance_bounds, row.step, row.steps)

    def enter(self, row: Row) -> None:
        """Project z_i and the caption once for all steps; set out from the row's x_T, or from its seed's."""
        row.given = self.condition(present(row.z_i), row.text)
        row.away = self.nothing if row.z_away is None else self.condition(row.z_away, self.empty)
        row.known = row.request.inpainting.at(SIZE_PX, self.device) if row.request.inpainting else None
        if row.x_T is None:
            stream = self.noise_name or self.name
            row.x_T = noise(row.request.seed, stream, 0, (1, 3, SIZE_PX, SIZE_PX)).to(self.device)
        self.stand(row, row.x_T)
        if row.start is not None and row.request.strength < 1:
            first = plan_of(row).coefficients.timestep[:1].to(self.device)
            row.x_t = self.sampling.schedule.diffuse(row.start, row.x_T, first)

    def predict(self, rows: Sequence[Row], x_t: Tensor, at: Coefficients) -> Tensor:
        """The net's output of every row, (B, 3, 64, 64), guided; rows without guidance meet the net once."""
        scales = [self.guidance(row) for row in rows]
        scale = torch.tensor(scales, device=self.device)
        led = [row for row, own in zip(rows, scales, strict=True) if own != 1]
        guided = (scale != 1).nonzero().flatten()
        x = self.net_input(x_t, [row.known for row in rows])
        lanes = torch.cat([torch.arange(len(rows), device=self.device), guided])
        given = [row.given for row in rows] + [row.away for row in led]
        in_time, context, mask = (torch.cat(parts) for parts in zip(*given, strict=True))
        output: Tensor = self.unet(x[lanes], at.timestep[lanes], in_time, context, mask)
        cond, uncond = output[: len(rows)], output[len(rows) :]
        mixed = cond.clone()
        mixed[guided] = guide(cond[guided], uncond, scale[guided])
        return mixed

    def net_input(self, x_t: Tensor, known: Sequence[Known | None]) -> Tensor:
        """x_t with what the net is told of known pixels, where it has channels for them."""
        return net_input(x_t, known, self.unet.config.in_channels)

    def leave(self, row: Row) -> None:
        """Keep the picture."""
        row.small = self.drawn(row)

    def condition(self, z_i: Tensor, text: TextFeatures) -> tuple[Tensor, ...]:
        """What the net is told at every step of z_i, (1, D), and of one caption."""
        in_time, context = self.text_proj(z_i, text.embeds, text.tokens)
        mask = nn.functional.pad(text.mask, (context.shape[1] - text.mask.shape[1], 0), value=True)
        return in_time, context, mask
