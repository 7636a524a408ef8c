"""From the stages' EMA weights to one model folder in the diffusers unCLIP layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from models.checkpoint import FORMAT_VERSION, load_part, save_part, write_manifest
from models.nets.configs import prior_json, text_proj_json, unet_json
from training.build_nets import build_decoder, build_prior, build_upsampler
from training.config import Recipe
from training.data.errors import DataError

CREATED = 1795305600  # 22 November 2026, when this format was first packed; fixed, so that packing is deterministic


def pack(recipe: Recipe, out: Path, folder: Path) -> None:
    """Write the model folder and its manifest. Same states, same bytes. Raises DataError where a stage has not been trained."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    shutil.copytree(out / "clip" / "tokenizer", folder / "tokenizer")
    for tower, storage in (("text_encoder", "int8_rows"), ("image_encoder", "float16")):
        config, tensors = load_part(out / "clip" / tower)
        save_part(folder / tower, config, tensors, storage=storage)  # type: ignore[arg-type]
    prior, decoder, upsampler = build_prior(recipe), build_decoder(recipe), build_upsampler(recipe)
    _load_ema(prior, out / "prior")
    _load_ema(decoder, out / "decoder")
    _load_ema(upsampler, out / "upsampler")
    save_part(folder / "prior", prior_json(prior.config), prior.state_dict())
    save_part(folder / "text_proj", text_proj_json(decoder.text_proj.config), decoder.text_proj.state_dict())
    save_part(folder / "decoder", unet_json(decoder.unet.config) | {"sample_size": 64}, decoder.unet.state_dict())
    save_part(folder / "super_res_first", unet_json(upsampler.config) | {"sample_size": 256}, upsampler.state_dict())
    _schedulers(folder)
    _write(folder / "model_index.json", _index(recipe))
    write_manifest(folder)


def _load_ema(net: nn.Module, stage: Path) -> None:
    path = stage / "state.safetensors"
    if not path.exists():
        raise DataError(f"{stage.name} has not been trained: there is no {path}")
    ema: dict[str, Tensor] = {
        name.removeprefix("ema."): tensor for name, tensor in load_file(path).items() if name.startswith("ema.")
    }
    net.load_state_dict(ema, strict=True)


def _schedulers(folder: Path) -> None:
    shared = {"_class_name": "UnCLIPScheduler", "num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}
    own = {
        "prior_scheduler": {"prediction_type": "sample", "sampler": "dpm_solver_2m", "clip_sample": False},
        "decoder_scheduler": {"prediction_type": "sample", "sampler": "dpm_solver_2m", "clip_sample": True},
        "super_res_scheduler": {
            "prediction_type": "sample", "sampler": "dpm_solver_2m", "clip_sample": True, "augmentation_level": 50
        },
    }  # fmt: skip
    for name, values in own.items():
        (folder / name).mkdir()
        _write(folder / name / "scheduler_config.json", shared | values)


def _index(recipe: Recipe) -> dict[str, Any]:
    parts = {
        "prior": "PriorTransformer", "decoder": "UNet2DConditionModel", "text_proj": "UnCLIPTextProjModel",
        "text_encoder": "TextTower", "image_encoder": "ImageTower", "super_res_first": "UNet2DModel",
        "prior_scheduler": "UnCLIPScheduler", "decoder_scheduler": "UnCLIPScheduler", "super_res_scheduler": "UnCLIPScheduler",
    }  # fmt: skip
    return {
        "_class_name": "UnCLIPPipeline",
        **{name: ["unclip", kind] for name, kind in parts.items()},
        "unclip": {
            "format_version": FORMAT_VERSION,
            "name": recipe.name,
            "created": CREATED,
            "native_sizes": [64, 256],
            "stages": ["prior", "decoder", "upsample_256"],
            "max_prompt_tokens": recipe.context_length,
            "defaults": recipe.defaults.model_dump(),
        },
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
