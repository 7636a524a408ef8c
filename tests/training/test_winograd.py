"""Winograd's convolution is the direct one, forwards and backwards, and takes its place without a parameter changing."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from training import winograd
from training.winograd import WinogradConv2d, use_winograd


def results(conv: nn.Module, x: Tensor) -> list[Tensor]:
    """The output and all gradients of a chance linear function of it."""
    x = x.clone().requires_grad_()
    y = conv(x)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y))
    return [y.detach(), x.grad, *(p.grad for p in conv.parameters())]


def both(x: Tensor, channels: int, out: int, *, bias: bool = True) -> tuple[list[Tensor], list[Tensor]]:
    torch.manual_seed(0)
    direct = nn.Sequential(nn.Conv2d(channels, out, 3, padding=1, bias=bias))
    fast = copy.deepcopy(direct)
    use_winograd(fast)
    assert isinstance(fast[0], WinogradConv2d)
    return results(direct.double(), x.double()), results(fast, x)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 5, 8, 12), (1, 2, 4, 4), (7, 16, 32, 32)])
def test_it_is_the_direct_convolution_and_so_are_its_gradients(shape: tuple[int, ...], bias: bool) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for expected, found in zip(*both(x, shape[1], 6, bias=bias), strict=True):
        assert torch.allclose(found.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_it_is_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    at_once = both(x, 4, 4)[1]
    monkeypatch.setattr(winograd, "CHUNK", 2 * 4 * 8 * 8)  # of the five two and two and one
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(at_once, both(x, 4, 4)[1], strict=True))


def test_pictures_of_other_sides_are_convolved_directly() -> None:
    expected, found = both(torch.randn(2, 3, 6, 8), 3, 4)
    assert torch.allclose(found[0].double(), expected[0], atol=1e-5)


@pytest.mark.parametrize("how", [torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False)])
def test_what_is_not_float32_is_convolved_directly(how: torch.autocast) -> None:
    conv = WinogradConv2d(3, 4, 3, padding=1)
    x = torch.randn(2, 3, 8, 8)
    with how:
        assert torch.equal(conv(x), nn.Conv2d.forward(conv, x)) == torch.is_autocast_enabled("cpu")
    conv = conv.double()
    assert torch.equal(conv(x.double()), nn.Conv2d.forward(conv, x.double()))


def test_without_gradients_it_is_the_direct_convolution_too() -> None:
    x = torch.randn(5, 3, 8, 8)
    conv = WinogradConv2d(3, 4, 3, padding=1)
    with torch.no_grad():
        assert torch.allclose(conv(x), nn.Conv2d.forward(conv, x), atol=1e-5)


def test_only_the_convolutions_that_fit_are_replaced_and_parameters_stay_what_they_are() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ModuleList([nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, 2, 1)]))
    before = dict(net.named_parameters())
    use_winograd(net)
    assert [type(m) for m in net.modules() if isinstance(m, nn.Conv2d)] == [WinogradConv2d, nn.Conv2d, nn.Conv2d]
    after = dict(net.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)


def test_a_copy_has_weights_of_its_own() -> None:
    """Turbo's student is a copy of its teacher."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    use_winograd(net)
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    x = torch.randn(1, 3, 8, 8)
    assert net(x).abs().max() > 0
    assert other(x).abs().max() == 0
