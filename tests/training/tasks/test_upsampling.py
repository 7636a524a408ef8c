"""The upsamplers' tasks on tiny nets and pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.nets.unet import UNet, UNetConfig
from models.samplers.schedule import Schedule
from training.tasks.upsample_256 import Upsample256Task
from training.tasks.upsample_1024 import Upsample1024Task
from training.tasks.upsampling import UpsamplerTask, shrink

SCHEDULE = Schedule.named("squaredcos_cap_v2")


class Discs:
    """Pictures of 256 px: a disc on a plain backdrop, in chance colours; red repeats what owns the pixel."""

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
        centre = torch.rand(batch, 2, 1, 1, generator=generator) * 256
        inside = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < 80**2
        colours = torch.rand(batch, 2, 3, 1, 1, generator=generator) * 2 - 1
        pixels = torch.where(inside[:, None], colours[:, 0], colours[:, 1])
        pixels[:, 0] = inside * 2.0 - 1
        return pixels, ["a disc"] * batch, inside.to(torch.uint8)


def net(embed: str | None, *, residual: bool) -> UNet:
    torch.manual_seed(0)
    config = UNetConfig(
        in_channels=10, out_channels=3, block_out_channels=(8, 8), layers_per_block=1, attention=(False, False),
        mid_attention=False, attention_head_dim=0, cross_attention_dim=0, class_embed_type=embed,
        norm_num_groups=4, patch_size=8, residual=residual,
    )  # fmt: skip
    built = UNet(config)
    torch.nn.init.zeros_(built.conv_out.weight)
    torch.nn.init.zeros_(built.conv_out.bias)  # type: ignore[arg-type]
    return built


@pytest.fixture(params=["upsample_256", "upsample_1024"])
def task(request: pytest.FixtureRequest) -> UpsamplerTask:
    task: UpsamplerTask = Upsample256Task(net("timestep", residual=False), Discs(), SCHEDULE)
    if request.param == "upsample_1024":
        task = Upsample1024Task(net(None, residual=True), Discs(), SCHEDULE, steps=2)
    task.crop_px = 32  # for speed
    return task


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_learns(task: UpsamplerTask) -> None:
    optimizer = torch.optim.AdamW(task.net.parameters(), 5e-4)
    before = task.loss(8, chance()).item()
    for _ in range(12):
        optimizer.zero_grad()
        task.loss(8, chance()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert task.loss(8, chance()).item() < 0.97 * before


def test_the_same_chance_gives_the_same_loss(task: UpsamplerTask) -> None:
    assert task.loss(3, chance(4)).item() == task.loss(3, chance(4)).item()


def test_crops_show_pixels_and_owners_of_one_place(task: UpsamplerTask) -> None:
    pixels, owners = task._crops(9, chance())
    assert pixels.shape == (9, 3, 32, 32)
    assert torch.equal(pixels[:, 0] > 0, owners == 1)


def test_the_net_is_told_of_what_stays_in_about_half_of_the_crops(task: UpsamplerTask) -> None:
    seen: list[Tensor] = []
    task.net.register_forward_pre_hook(lambda net, args: seen.append(args[0][:, 9]))
    task.loss(16, chance())
    masked = seen[0].flatten(1).any(1).sum()
    assert 3 <= masked <= 13


def test_the_grid_shows_enlarged_drawn_and_true(task: UpsamplerTask) -> None:
    grid = task.grid(task.net.eval())
    assert grid.shape == (3, 3 * 258 + 2, 8 * 258 + 2)


def test_the_second_upsampler_learns_the_timesteps_of_its_steps_alone() -> None:
    task = Upsample1024Task(net(None, residual=True), Discs(), SCHEDULE, steps=2)
    assert set(task.timesteps(64, chance()).tolist()) == {999, 499}


def test_shrinking_averages_sixteen_pixels() -> None:
    picture = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert shrink(picture)[0, 0, 0, 1] == picture[0, 0, :4, 4:].mean()
