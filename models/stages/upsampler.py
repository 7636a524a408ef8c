"""The upsamplers' stages: 64 to 256 px and 256 to 1024 px, without text or guidance (DALL·E 2, §2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.inpainting import net_input
from models.nets.unet import UNet
from models.noise import noise
from models.row import DrawRequest, Row
from models.samplers import Coefficients
from models.stages.diffusion import DiffusionStage, Sampling, plan_of
from models.stages.stage import present
from models.tiles import Tiles

FACTOR = 4
COSTS = {256: 20.0, 1024: 65.0}
"""Of a step, by the side of what it gives, in the other stages' units: what the bundled nets take on a CPU."""


class UpsamplerStage(DiffusionStage):
    """Small picture to one four times as large.

    The small one is noised at a level that the net is told (Imagen, §2.4), where the sampling names a level.
    """

    def __init__(self, net: UNet, sampling: Sampling, *, size_px: int, device: str, bucket: int) -> None:
        """size_px: of what it gives, 256 or 1024."""
        super().__init__(sampling, device, bucket)
        self.net, self.size_px = net, size_px
        self.name, self.cost = f"upsample_{size_px}", COSTS[size_px]

    def steps(self, request: DrawRequest) -> int:
        """As many as the request says, unless the net was trained for a number of its own."""
        return self.sampling.steps or request.upsample_steps

    def enter(self, row: Row) -> None:
        """Noise and enlarge the last picture once for all steps; one larger than the net was made for goes square by square."""
        small = present(row.small if row.large is None else row.large)
        if small.shape[-1] * FACTOR <= self.size_px:
            row.tiles, row.given = None, self._given(row, small, "")
            self.begin_picture(row, self.size_px)
            return
        tiles = Tiles.of(small, self.size_px // FACTOR)
        row.tiles, row.given = tiles, self._given(row, tiles.next(), "/0")
        self.begin(row, self._shape, [f"{self.name}/0"])
        plan = plan_of(row).again(len(tiles.corners))
        row.plan, row.steps = plan, plan.steps

    def advance(self, rows: Sequence[Row]) -> None:
        """Before the step itself put rows whose last square is through before the next one."""
        for row in rows:
            if row.tiles is not None:
                self._next_square(row, row.tiles)
        super().advance(rows)

    def _next_square(self, row: Row, tiles: Tiles) -> None:
        each = row.steps // len(tiles.corners)
        number = row.step // each
        if row.step % each or number == len(tiles.done):
            return
        through = present(row.x_t).clamp(-1, 1)
        x_t = noise(row.request.seed, f"{self.name}/{number}", 0, (1, *self._shape)).to(self.device)
        given = self._given(row, tiles.next(number), f"/{number}")
        tiles.done.append(through)
        row.given, row.x_t, row.x_0 = given, x_t, torch.zeros_like(x_t)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return 3, self.size_px, self.size_px

    def _given(self, row: Row, small: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """What the net is told of the small picture. name: of the square among others."""
        level = torch.full((len(small),), self.sampling.augmentation_level, device=self.device)
        if self.sampling.augmentation_level:
            grain = noise(row.request.seed, f"{self.name}/augmentation{name}", 0, small.shape).to(self.device)
            small = self.sampling.schedule.diffuse(small, grain, level)
        return enlarge(small), level

    def predict(self, rows: Sequence[Row], x_t: Tensor, at: Coefficients) -> Tensor:
        """The net's output of every row, (B, 3, S, S)."""
        large, level = (torch.cat(parts) for parts in zip(*(row.given for row in rows), strict=True))
        x = net_input(torch.cat([x_t, large], dim=1), [row.known for row in rows], self.net.config.in_channels)
        output: Tensor = self.net(x, at.timestep, level)
        return output

    def leave(self, row: Row) -> None:
        """Keep the picture."""
        row.large = self.drawn(row) if row.tiles is None else row.tiles.together(present(row.x_t).clamp(-1, 1))


def enlarge(small: Tensor) -> Tensor:
    """(B, 3, S, S) to (B, 3, 4 S, 4 S), bicubic."""
    return interpolate(small, scale_factor=FACTOR, mode="bicubic", align_corners=False)
