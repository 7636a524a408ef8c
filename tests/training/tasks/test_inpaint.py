"""The inpaint stage: it starts as the decoder, learns what is known, and keeps drawing from nothing."""

from __future__ import annotations

import torch

from models.samplers.schedule import Schedule
from tests.training.tiny_decoder import tiny_decoder
from tests.training.tiny_source import TinySource
from training.masks import draw_masks
from training.tasks.decoder import DecoderTask
from training.tasks.inpaint import InpaintTask

SCHEDULE = Schedule.named("squaredcos_cap_v2")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def new_weights_gradient(task: DecoderTask) -> torch.Tensor:
    task.loss(8, seeded()).backward()
    gradient = task.net.unet.conv_in.weight.grad
    assert gradient is not None
    return gradient[:, 3 * 16 :]


def test_the_decoders_own_stage_leaves_the_inpainting_weights_at_zero() -> None:
    assert (new_weights_gradient(DecoderTask(tiny_decoder(patch_size=4), TinySource(), SCHEDULE)) == 0).all()


def test_the_inpaint_stage_teaches_every_one_of_them() -> None:
    gradient = new_weights_gradient(InpaintTask(tiny_decoder(patch_size=4), TinySource(), SCHEDULE, policy="object"))
    assert (gradient.unflatten(1, (4, 16)).abs().amax((0, 2, 3, 4)) > 0).all()


def test_it_learns() -> None:
    net = tiny_decoder(patch_size=4)
    task, optimizer = InpaintTask(net, TinySource(), SCHEDULE, policy="object"), torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for step in range(25):
        loss = task.loss(8, seeded(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_a_share_of_the_pictures_is_painted_whole() -> None:
    source = TinySource()
    task = InpaintTask(tiny_decoder(patch_size=4), source, SCHEDULE, policy="object")
    _, masks = task.known(source.take(200, seeded()), seeded())
    whole = (masks == 1).all(-1).all(-1).float().mean()
    assert 0.2 < whole < 0.4


def test_the_policy_decides_the_masks() -> None:
    source = TinySource()
    of = source.take(8, seeded())
    told = [
        InpaintTask(tiny_decoder(patch_size=4), source, SCHEDULE, policy=policy).known(of, seeded(1))[1]
        for policy in ("object", "random")
    ]
    drawn = [draw_masks(of.owners, policy, seeded(1)) for policy in ("object", "random")]
    for masks, expected in zip(told, drawn, strict=True):
        is_whole = (masks == 1).flatten(1).all(1)
        assert torch.equal(masks[~is_whole], expected[~is_whole])


def test_the_grid_shows_the_picture_what_is_told_and_what_is_painted() -> None:
    task = InpaintTask(tiny_decoder(patch_size=4), TinySource(), SCHEDULE, policy="object")
    assert task.grid(task.net).shape == (3, 4 * 66 + 2, 12 * 66 + 2)
