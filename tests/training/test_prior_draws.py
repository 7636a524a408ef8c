"""z_i in training are those that the service would draw from the same noise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evals.priors import draw_z_i
from models.cascade import Cascade, load_prior
from models.noise import noise
from models.row import DrawRequest
from tests.models.tiny import DIM, write_tiny_model
from training.build_nets import SCHEDULE
from training.prior_draws import PriorDraws

CAPTIONS = ("a banana", "two red cars left of a tree")


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_it_draws_as_the_service_does(tmp_path: Path, scale: float) -> None:
    torch.set_num_threads(1)
    cascade = Cascade.load(write_tiny_model(tmp_path))
    net = load_prior(tmp_path / "prior", "cpu")
    draws = PriorDraws(net, cascade.text.encode([""]), SCHEDULE, steps=4, guidance_scale=scale)
    text = cascade.text.encode(list(CAPTIONS))
    z_T = torch.stack([noise(seed, "prior/0", 0, (DIM,)) for seed in range(2)])
    drawn = draws(text, z_T)
    for row, caption in enumerate(CAPTIONS):
        request = DrawRequest(caption, row, 2, 2.0, 4, scale, 2, prior_candidates=1)
        served = draw_z_i(cascade, request, cascade.text.encode([caption]))
        torch.testing.assert_close(drawn[row : row + 1], served, rtol=1e-4, atol=1e-4)
    assert not drawn.requires_grad
    assert not any(parameter.requires_grad for parameter in net.parameters())
