"""Parts written and read back, strictly; and a manifest that notices every change."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.checkpoint import load_part, load_strict, save_part, verify_manifest, write_manifest
from models.errors import CheckpointError, ModelError


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(1)
    return {
        "linear.weight": torch.randn(16, 64, generator=generator) * torch.logspace(-3, 1, 16)[:, None],
        "conv.weight": torch.randn(8, 4, 3, 3, generator=generator),
        "norm.bias": torch.randn(16, generator=generator),
        "dead.weight": torch.zeros(3, 5),
        "steps": torch.tensor([1, 2, 2**40]),
    }


@pytest.fixture
def model_folder(tmp_path, tensors):
    """A folder of two parts with its manifest, a tokenizer's file and a card."""
    save_part(tmp_path / "prior", {"layers": 2}, tensors)
    save_part(tmp_path / "decoder", {"layers": 3}, tensors, storage="int8_rows")
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    (tmp_path / "README.md").write_text("a model card")
    write_manifest(tmp_path)
    return tmp_path


def test_float32_storage_gives_back_the_same_numbers(tmp_path, tensors):
    save_part(tmp_path, {"a": [1, None]}, tensors, storage="float32")
    config, again = load_part(tmp_path)
    assert config == {"a": [1, None]}
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_float16_storage_rounds_to_half_and_reads_as_float32(tmp_path, tensors):
    save_part(tmp_path, {}, tensors, storage="float16")
    _, again = load_part(tmp_path)
    assert torch.equal(again["linear.weight"], tensors["linear.weight"].half().float())
    assert torch.equal(again["steps"], tensors["steps"])


def test_int8_rows_are_within_half_a_step_of_their_own_row(tmp_path, tensors):
    save_part(tmp_path, {}, tensors, storage="int8_rows")
    _, again = load_part(tmp_path)
    for name in ("linear.weight", "conv.weight", "dead.weight"):
        row_step = tensors[name].flatten(1).abs().amax(dim=1) / 127
        error = (again[name] - tensors[name]).flatten(1).abs().amax(dim=1)
        assert (error <= 0.5001 * row_step).all(), name
    assert torch.equal(again["norm.bias"], tensors["norm.bias"].half().float())
    assert again.keys() == tensors.keys()


def test_int8_rows_take_about_a_byte_a_number(tmp_path):
    save_part(tmp_path, {}, {"weight": torch.randn(512, 1024)}, storage="int8_rows")
    size = (tmp_path / "diffusion_pytorch_model.safetensors").stat().st_size
    assert size < 1.01 * 512 * 1024


def test_a_net_in_half_precision_on_strided_memory_is_saved_too(tmp_path):
    weight = torch.randn(6, 4).T.bfloat16()
    save_part(tmp_path, {}, {"weight": weight}, storage="float16")
    assert torch.equal(load_part(tmp_path)[1]["weight"], weight.float())


def test_a_part_of_a_diffusers_folder_reads_too(tmp_path):
    save_file({"weight": torch.ones(2, dtype=torch.float16)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"_class_name": "CLIPTextModelWithProjection"}')
    config, tensors = load_part(tmp_path)
    assert config["_class_name"] == "CLIPTextModelWithProjection"
    assert tensors["weight"].dtype == torch.float32


def test_numbers_that_are_not_finite_are_not_saved(tmp_path):
    with pytest.raises(CheckpointError, match=r"decoder\.weight"):
        save_part(tmp_path, {}, {"decoder.weight": torch.tensor([1.0, float("nan")])})
    assert not (tmp_path / "config.json").exists()


def test_numbers_beyond_float16_are_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"big.*1e\+05.*float32"):
        save_part(tmp_path, {}, {"big": torch.tensor([1e5])})


@pytest.mark.parametrize("name", ["config.json", "diffusion_pytorch_model.safetensors"])
def test_a_missing_file_is_named(model_folder, name):
    (model_folder / "prior" / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_part(model_folder / "prior")


@pytest.mark.parametrize(
    ("name", "text"), [("config.json", "{"), ("config.json", "[]"), ("diffusion_pytorch_model.safetensors", "{}")]
)
def test_an_unreadable_file_is_named(model_folder, name, text):
    (model_folder / "prior" / name).write_text(text)
    with pytest.raises(CheckpointError, match=name):
        load_part(model_folder / "prior")


def test_a_file_cut_short_is_refused(model_folder):
    path = model_folder / "prior" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_part(model_folder / "prior")


def test_a_newer_format_is_refused(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors", metadata={"format_version": "9"})
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="format_version '9'"):
        load_part(tmp_path)


def test_a_scale_without_its_tensor_is_refused(tmp_path):
    save_file({"weight:scale": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="weight:scale"):
        load_part(tmp_path)


def test_load_strict_fills_a_net(tmp_path):
    saved, fresh = nn.Linear(3, 2), nn.Linear(3, 2)
    save_part(tmp_path, {}, saved.state_dict(), storage="float32")
    load_strict(fresh, load_part(tmp_path)[1], "prior")
    assert torch.equal(fresh.weight, saved.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("bias"), "prior do not fit its net: missing bias"),
        (lambda tensors: tensors.update(extra=torch.ones(1)), "unknown extra"),
        (lambda tensors: tensors.update(weight=torch.ones(2, 4)), r"misshapen weight \(2, 4\) instead of \(2, 3\)"),
    ],
)
def test_load_strict_names_what_does_not_fit(change, message):
    tensors = dict(nn.Linear(3, 2).state_dict())
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        load_strict(nn.Linear(3, 2), tensors, "prior")


def test_an_untouched_folder_verifies(model_folder):
    verify_manifest(model_folder)


def test_a_model_card_may_be_edited(model_folder):
    (model_folder / "README.md").write_text("a better model card")
    verify_manifest(model_folder)


def test_one_changed_byte_is_noticed(model_folder):
    path = model_folder / "decoder" / "diffusion_pytorch_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"decoder/diffusion_pytorch_model\.safetensors is not the file"):
        verify_manifest(model_folder)


def test_a_file_that_is_gone_is_noticed(model_folder):
    (model_folder / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match=r"vocab\.txt is missing"):
        verify_manifest(model_folder)


def test_a_file_that_was_added_is_noticed(model_folder):
    (model_folder / "prior" / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"prior/model\.safetensors is not in manifest\.json"):
        verify_manifest(model_folder)


@pytest.mark.parametrize(
    "content", [{"format_version": 2, "files": {}}, {"format_version": 1}, {"format_version": 1, "files": []}]
)
def test_a_manifest_of_another_kind_is_refused(model_folder, content):
    (model_folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"manifest\.json"):
        verify_manifest(model_folder)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"manifest\.json cannot be read"):
        verify_manifest(tmp_path)
