"""A CLIP that learns on keeps z_i where it was right, and learns where it was not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.training.tiny_source import TinySource
from training.tasks.clip import ClipNet, ClipTask, fit_scale, moved

VISION = {"image_size": 64, "patch_size": 16, "width": 16, "layers": 1, "head_width": 8}


def unit(*rows: tuple[float, float]) -> Tensor:
    return nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=-1)


@pytest.fixture
def source() -> TinySource:
    return TinySource()


@pytest.fixture
def net() -> ClipNet:
    torch.manual_seed(0)
    return ClipNet(16, 16, VISION)


def test_what_stays_has_not_moved() -> None:
    z = unit((1, 0), (0, 1))
    assert moved(z, z, z, torch.tensor(40.0)).item() == pytest.approx(0, abs=1e-6)


def test_a_picture_that_was_taken_for_another_is_free_to_go() -> None:
    z_t, right, wrong = unit((1, 0), (0, 1)), unit((1, 0), (0, 1)), unit((1, 0), (1, 0.01))
    now = unit((1, 0), (0, 1))
    turned = unit((1, 1), (0, 1))
    assert moved(now, wrong, z_t, torch.tensor(40.0)) < 1e-3
    assert moved(turned, right, z_t, torch.tensor(40.0)).item() == pytest.approx((1 - math.sqrt(0.5)) / 2, abs=1e-4)


def learned(net: ClipNet, source: TinySource, keep: float) -> float:
    """How far pictures that were found are, in the mean, from where they were after 30 steps; 1 - cosine."""
    with torch.no_grad():
        source.z_i = nn.functional.normalize(net.visual(source.pixels), dim=-1)
        source.text.tokens[:] = (source.z_i @ torch.linalg.pinv(net.proj.weight.T))[:, None]  # each was found
    net.logit_scale.data.fill_(math.log(100))
    task = ClipTask(net, source, keep=keep)
    # What they shall learn is another order of the captions than the one they know.
    source.text.tokens[:4] = source.text.tokens[:4].flip(0)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-3)
    for step in range(30):
        optimizer.zero_grad()
        task.loss(8, torch.Generator().manual_seed(step)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        z_i = nn.functional.normalize(net.visual(source.pixels), dim=-1)
    return float(1 - (z_i * source.z_i).sum(-1)[4:].mean())


def test_keeping_holds_z_i_and_the_text_projection_still(source: TinySource, net: ClipNet) -> None:
    proj, start = net.proj.weight.detach().clone(), {name: tensor.clone() for name, tensor in net.state_dict().items()}
    free = learned(net, source, keep=0)
    assert not torch.equal(net.proj.weight, proj)
    net.load_state_dict(start)
    held = learned(net, TinySource(), keep=20)
    assert torch.equal(net.proj.weight, proj)
    assert held < free / 2


def test_a_net_that_finds_its_captions_starts_sharper_than_one_that_knows_nothing(source: TinySource, net: ClipNet) -> None:
    examples = source.take(8, torch.Generator().manual_seed(0))
    scales = []
    for known in (False, True):
        if known:
            with torch.no_grad():
                z_i = net.visual(examples.pixels)
            examples.text.tokens[:] = z_i[:, None]
        fit_scale(net, examples)
        scales.append(net.logit_scale.exp().item())
    assert scales[0] == pytest.approx(10)
    assert scales[1] > 2 * scales[0]
