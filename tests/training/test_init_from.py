"""Starting from a model folder: what fits is taken, a narrower first convolution is widened, the rest is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoint import load_part, save_part
from models.errors import CheckpointError
from models.nets.configs import unet_config
from models.nets.unet import UNet, UNetConfig
from tests.models.tiny import write_tiny_model
from training.init_from import add_difference, start_from


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def config(folder: Path) -> UNetConfig:
    return unet_config(load_part(folder / "decoder")[0], "decoder")


def ask(net: UNet, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, net.config.in_channels, 64, 64, generator=generator)[:, : net.config.in_channels]
    x[:, :3] = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    in_time, context = torch.randn(2, 32, generator=generator) * 0 + 1, torch.ones(2, 3, net.config.cross_attention_dim)
    return net(x, torch.tensor([10, 500]), in_time, context, torch.ones(2, 3, dtype=torch.bool))


def test_a_net_of_the_same_shape_takes_every_tensor(folder: Path, config: UNetConfig) -> None:
    net = UNet(config)
    start = start_from(net, folder, "decoder")
    stored = load_part(folder / "decoder")[1]
    assert (start.widened, start.left, start.unused) == ((), (), ())
    assert all(torch.equal(tensor, stored[name]) for name, tensor in net.state_dict().items())


def test_new_input_channels_start_at_zero_and_change_nothing(folder: Path, config: UNetConfig) -> None:
    narrow, wide = UNet(config), UNet(replace(config, in_channels=config.in_channels + 4))
    start_from(narrow, folder, "decoder")
    start = start_from(wide, folder, "decoder")
    assert start.widened == ("conv_in.weight",)
    assert torch.allclose(ask(wide), ask(narrow), atol=1e-6)


def test_what_does_not_fit_keeps_its_weights_and_is_named(folder: Path, config: UNetConfig) -> None:
    net = UNet(replace(config, cross_attention_dim=24))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    start = start_from(net, folder, "decoder")
    assert start.left
    assert all("add_" in name for name in start.left)
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in start.left)


def test_a_part_that_the_folder_lacks_fills_nothing(folder: Path, config: UNetConfig) -> None:
    start = start_from(UNet(config), folder, "decoder_turbo")
    assert (start.taken, str(start)) == ((), f"0 of {len(start.left)} tensors")


def test_what_a_part_had_over_its_base_is_added(tmp_path: Path, config: UNetConfig) -> None:
    base, learned, later = UNet(config), UNet(config), UNet(config)
    for name, net in (("decoder", base), ("decoder_turbo", learned)):
        save_part(tmp_path / name, {}, net.state_dict(), storage="float32")
    expected = {
        name: tensor + learned.state_dict()[name] - base.state_dict()[name] for name, tensor in later.state_dict().items()
    }
    assert add_difference(later, tmp_path, "decoder_turbo", base="decoder")
    torch.testing.assert_close(later.state_dict(), expected)


def test_nothing_is_added_where_a_part_is_missing_or_of_another_shape(folder: Path, tmp_path: Path, config: UNetConfig) -> None:
    net = UNet(config)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert not add_difference(net, folder, "decoder_turbo", base="decoder")
    for name in ("decoder", "decoder_turbo"):
        save_part(tmp_path / name, {}, UNet(replace(config, cross_attention_dim=24)).state_dict())
    assert not add_difference(net, tmp_path, "decoder_turbo", base="decoder")
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path, config: UNetConfig) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        start_from(UNet(config), tmp_path / "nowhere", "decoder")
