"""Fitting the codes of the autoregressive prior: which directions, which buckets, which dot products."""

from __future__ import annotations

import pytest
import torch

from models.nets.prior_ar import PriorAR, PriorARConfig
from tests.training.tiny_source import TinySource
from training.pca import fit_codes, principal_components, spread

DIM = 16


def tiny_net(components: int = 7, dot_buckets: int = 4) -> PriorAR:
    return PriorAR(PriorARConfig(DIM, 2, 8, 1, 6, components, buckets=64, dot_buckets=dot_buckets))


def chance(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_directions_come_in_order_of_what_varies_along_them() -> None:
    directions = torch.linalg.qr(chance(DIM, DIM)).Q
    scales = torch.tensor([1.0, 5.0, 0.2, 3.0, *[0.01] * 12])
    mean, basis, share = principal_components(7 + (chance(4000, DIM) * scales) @ directions.T, 3)
    assert mean.tolist() == pytest.approx([7.0] * DIM, abs=0.3)
    found = (basis.T @ directions).abs()
    assert found.argmax(dim=1).tolist() == [1, 3, 0]
    assert found.amax(dim=1).min() > 0.99
    assert share == pytest.approx(35 / 35.04, abs=1e-3)


def test_of_a_direction_and_its_opposite_it_is_always_the_same() -> None:
    _, basis, _ = principal_components(chance(200, DIM), DIM)
    assert bool((basis.gather(0, basis.abs().argmax(0, keepdim=True)) > 0).all())
    assert torch.allclose(basis.T @ basis, torch.eye(DIM), atol=1e-5)


def test_all_but_the_tails_lie_between_the_bounds() -> None:
    low, high = spread(torch.arange(1000.0)[:, None].flip(0), tail=0.01)
    assert (low.item(), high.item()) == (10, 989)


def test_fitted_codes_give_back_the_embeddings_that_they_were_fitted_to() -> None:
    source, net = TinySource(), tiny_net()
    share = fit_codes(net, source, torch.Generator().manual_seed(0), examples=512)
    assert share == pytest.approx(1.0, abs=1e-5)  # eight pictures differ along seven directions
    said = net.codes.decode(net.codes.encode(source.z_i))
    assert torch.cosine_similarity(said, source.z_i).min() > 0.999


def test_dot_products_are_told_by_buckets_that_are_equally_frequent() -> None:
    source, net = TinySource(), tiny_net()
    fit_codes(net, source, torch.Generator().manual_seed(0), examples=512)
    of = source.take(512, torch.Generator().manual_seed(1))
    counts = (net.dot_tokens(of.z_i, of.text.embeds) - 64).bincount(minlength=4)
    assert counts.tolist() == pytest.approx([128] * 4, abs=80)  # of eight pictures, two to a bucket


def test_same_source_same_codes() -> None:
    nets = [tiny_net(), tiny_net()]
    for net in nets:
        fit_codes(net, TinySource(), torch.Generator().manual_seed(0), examples=64)
    for name, parameter in nets[0].codes.named_parameters():
        assert torch.equal(parameter, nets[1].codes.get_parameter(name)), name


def test_a_component_along_which_nothing_varies_still_has_a_code() -> None:
    net = tiny_net(components=DIM)
    fit_codes(net, TinySource(), torch.Generator().manual_seed(0), examples=64)
    codes = net.codes.encode(TinySource().z_i)
    assert 0 <= int(codes.min()) <= int(codes.max()) < 64
    assert bool(net.codes.decode(codes).isfinite().all())
