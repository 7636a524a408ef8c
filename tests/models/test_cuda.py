"""Bucketed calls, and what of the GPU path can be seen on a CPU; the rest is marked `cuda` and runs where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.cascade import Cascade
from models.cuda import FAST_BUCKETS, STRICT_BUCKET, Bucketed, buckets, narrowed, pad, quickened
from models.row import DONE, DrawRequest
from tests.models.tiny import write_tiny_model

Test = TypeVar("Test", bound=Callable[..., None])


def on_a_gpu(test: Test) -> Test:
    """Marks a test that needs a GPU."""
    return pytest.mark.cuda(pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")(test))


class Recorder:
    """Doubles what it is given, and keeps how many lanes each call had."""

    def __init__(self) -> None:
        self.lanes: list[int] = []

    def __call__(self, x: Tensor, extra: Tensor | None = None) -> Tensor:
        self.lanes.append(len(x))
        return 2 * x if extra is None else 2 * x + extra


@pytest.mark.parametrize(("lanes", "calls"), [(1, [1]), (3, [4]), (8, [8]), (9, [8, 1]), (23, [8, 8, 8])])
def test_lanes_run_in_the_smallest_bucket_that_holds_them(lanes, calls):
    net = Recorder()
    x = torch.arange(lanes, dtype=torch.float32)[:, None]
    out = Bucketed(net, (1, 2, 4, 8))(x, None)
    assert net.lanes == calls
    assert torch.equal(out, 2 * x)


def test_a_strict_call_has_the_same_number_of_lanes_whoever_is_in_it():
    net = Recorder()
    bucketed = Bucketed(net, buckets("strict"))
    for lanes in (1, 5, STRICT_BUCKET, STRICT_BUCKET + 1):
        assert bucketed(torch.ones(lanes, 2), torch.ones(lanes, 2)).shape == (lanes, 2)
    assert set(net.lanes) == {STRICT_BUCKET}


def test_padding_repeats_the_last_lane_so_that_no_number_in_it_can_break():
    assert pad(torch.tensor([[1.0], [2.0]]), 4).flatten().tolist() == [1, 2, 2, 2]


def test_the_largest_fast_bucket_holds_a_full_call_with_guidance():
    assert max(FAST_BUCKETS) == 64


def test_fast_mode_narrows_convolutions_and_linear_layers_and_gives_float32_back():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 1)).eval()
    x = torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        exact = net(x)
        fast = Bucketed(narrowed(net, "cpu", "fast"), (4,))(x)
    assert net[0].weight.dtype == torch.bfloat16
    assert net[1].weight.dtype == torch.float32
    assert fast.dtype == torch.float32
    assert 0 < (fast - exact).abs().max() < 0.1


def test_strict_mode_and_other_devices_leave_the_weights_alone():
    net = nn.Linear(2, 2)
    forward = net.forward
    quickened(net, "cpu", "fast")
    narrowed(net, "cpu", "strict")
    assert net.weight.dtype == torch.float32
    assert net.forward == forward


def draw(cascade: Cascade, requests: list[DrawRequest]) -> list[np.ndarray]:
    """Draw the requests together, each stage's rows in one call."""
    rows = [cascade.admit(request) for request in requests]
    while any(row.stage != DONE for row in rows):
        for name, stage in cascade.stages.items():
            stage.run([row for row in rows if row.stage == name])
    return [cascade.picture(row) for row in rows]


def request(seed: int, steps: int = 4, guidance_scale: float = 3.0) -> DrawRequest:
    return DrawRequest(
        prompt="a red apple", seed=seed, steps=steps, guidance_scale=guidance_scale,
        prior_steps=3, prior_guidance_scale=2.0, upsample_steps=2,
    )  # fmt: skip


@on_a_gpu
def test_on_a_gpu_strict_pixels_do_not_depend_on_their_company(tmp_path: Path):
    cascade = Cascade.load(write_tiny_model(tmp_path / "tiny"), device="cuda", cuda_mode="strict")
    [alone] = draw(cascade, [request(7)])
    crowd = draw(cascade, [*(request(seed, steps=seed % 5 + 1, guidance_scale=1 + seed % 3) for seed in range(11)), request(7)])
    assert np.array_equal(alone, crowd[-1])


@on_a_gpu
def test_on_a_gpu_fast_pixels_stay_near_the_strict_ones(tmp_path: Path):
    folder = write_tiny_model(tmp_path / "tiny")
    strict, fast = (Cascade.load(folder, device="cuda", cuda_mode=mode) for mode in ("strict", "fast"))
    [exact] = draw(strict, [request(7)])
    for crowd in (1, 3, 9):
        near = draw(fast, [*(request(seed) for seed in range(100, 99 + crowd)), request(7)])[-1]
        error = near.astype(float) - exact.astype(float)
        assert 10 * np.log10(255**2 / max(1e-9, (error**2).mean())) > 30
