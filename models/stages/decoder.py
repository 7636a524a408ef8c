"""The decoder's stage: z_i and the caption to a 64 px picture (DALL·E 2, §2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.clip.text import TextFeatures
from models.inpainting import INPAINT_CHANNELS, net_input
from models.nets.text_proj import TextProjection
from models.nets.unet import UNet
from models.row import DrawRequest, Row
from models.samplers import Coefficients, guide
from models.stages.diffusion import DiffusionStage, Sampling
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
        self.unet, self.text_proj = unet, text_proj
        with torch.inference_mode():
            self.nothing = self._condition(text_proj.without_image(1), empty)

    @property
    def can_inpaint(self) -> bool:
        """Whether the net has channels for a picture and a mask."""
        return self.unet.config.in_channels == 3 + INPAINT_CHANNELS

    def steps(self, request: DrawRequest) -> int:
        """As many as the request says."""
        return request.steps

    def guidance(self, row: Row) -> float:
        """The guidance scale of a row; 1 is none."""
        return row.request.guidance_scale

    def enter(self, row: Row) -> None:
        """Project z_i and the caption once for all steps."""
        row.given = self._condition(present(row.z_i), row.text)
        self.begin_picture(row, SIZE_PX)

    def predict(self, rows: Sequence[Row], x_t: Tensor, at: Coefficients) -> Tensor:
        """The net's output of every row, (B, 3, 64, 64), guided; rows without guidance meet the net once."""
        scale = torch.tensor([self.guidance(row) for row in rows], device=self.device)
        guided = (scale != 1).nonzero().flatten()
        x = net_input(x_t, [row.known for row in rows], self.unet.config.in_channels)
        lanes = torch.cat([torch.arange(len(rows), device=self.device), guided])
        given = [row.given for row in rows] + [self.nothing] * len(guided)
        in_time, context, mask = (torch.cat(parts) for parts in zip(*given, strict=True))
        output: Tensor = self.unet(x[lanes], at.timestep[lanes], in_time, context, mask)
        cond, uncond = output[: len(rows)], output[len(rows) :]
        mixed = cond.clone()
        mixed[guided] = guide(cond[guided], uncond, scale[guided])
        return mixed

    def leave(self, row: Row) -> None:
        """Keep the picture."""
        row.small = self.drawn(row)

    def _condition(self, z_i: Tensor, text: TextFeatures) -> tuple[Tensor, ...]:
        in_time, context = self.text_proj(z_i, text.embeds, text.tokens)
        mask = nn.functional.pad(text.mask, (context.shape[1] - text.mask.shape[1], 0), value=True)
        return in_time, context, mask
