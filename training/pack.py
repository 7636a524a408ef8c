"""From the stages' EMA weights to one model folder in the diffusers unCLIP layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from models.checkpoint import FORMAT_VERSION, load_part, save_part, write_manifest
from models.nets.configs import prior_ar_json, prior_json, text_proj_json, unet_json
from training.build_nets import build_decoder, build_prior, build_prior_ar, build_upsample_256, build_upsample_1024
from training.config import Recipe
from training.loop import ema_of

N = TypeVar("N", bound=nn.Module)

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
    _priors(recipe, out, folder)
    _decoders(recipe, out, folder)
    _upsamplers(recipe, out, folder)
    _write(folder / "model_index.json", _index(recipe))
    write_manifest(folder)


def _priors(recipe: Recipe, out: Path, folder: Path) -> None:
    prior = _trained(build_prior(recipe), out / "prior")
    save_part(folder / "prior", prior_json(prior.config), prior.state_dict())
    _scheduler(folder / "prior_scheduler", prediction_type="sample", clip_sample=False)
    if recipe.prior_ar is not None:
        prior_ar = _trained(build_prior_ar(recipe), out / "prior_ar")
        drawing = recipe.prior_ar.model_dump(include={"temperature", "top_p"})
        save_part(folder / "prior_ar", prior_ar_json(prior_ar.config) | drawing, prior_ar.state_dict())


def _decoders(recipe: Recipe, out: Path, folder: Path) -> None:
    decoder = _trained(build_decoder(recipe), out / ("inpaint" if recipe.inpaint else "decoder"))
    save_part(folder / "text_proj", text_proj_json(decoder.text_proj.config), decoder.text_proj.state_dict())
    about, storage = unet_json(decoder.unet.config) | {"sample_size": 64}, recipe.decoder.storage
    save_part(folder / "decoder", about, decoder.unet.state_dict(), storage=storage)
    _scheduler(folder / "decoder_scheduler", prediction_type="sample", clip_sample=True)
    if recipe.turbo is not None:
        turbo = _trained(build_decoder(recipe), out / "turbo").unet
        save_part(
            folder / "decoder_turbo", unet_json(turbo.config) | {"sample_size": 64}, turbo.state_dict(), storage="int8_rows"
        )
        few = folder / "decoder_turbo_scheduler"
        _scheduler(few, prediction_type="sample", clip_sample=True, sampler="ddim", steps=recipe.turbo.steps)


def _upsamplers(recipe: Recipe, out: Path, folder: Path) -> None:
    first = _trained(build_upsample_256(recipe), out / "upsample_256")
    save_part(folder / "super_res_first", unet_json(first.config) | {"sample_size": 256}, first.state_dict())
    _scheduler(folder / "super_res_scheduler", prediction_type="sample", clip_sample=True, augmentation_level=50)
    if recipe.upsample_1024 is not None:
        second = _trained(build_upsample_1024(recipe), out / "upsample_1024")
        save_part(folder / "super_res_second", unet_json(second.config) | {"sample_size": 1024}, second.state_dict())
        few = folder / "super_res_second_scheduler"
        steps = recipe.upsample_1024.steps
        _scheduler(few, prediction_type="sample", clip_sample=True, augmentation_level=0, steps=steps)


def _trained(net: N, stage: Path) -> N:
    net.load_state_dict(ema_of(stage), strict=True)
    return net


def _scheduler(folder: Path, **own: str | int | bool) -> None:
    folder.mkdir()
    shared = {"_class_name": "UnCLIPScheduler", "num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}
    _write(folder / "scheduler_config.json", shared | {"sampler": "dpm_solver_2m"} | own)


def _index(recipe: Recipe) -> dict[str, Any]:
    parts = {
        "prior": "PriorTransformer", "decoder": "UNet2DConditionModel", "text_proj": "UnCLIPTextProjModel",
        "text_encoder": "TextTower", "image_encoder": "ImageTower", "super_res_first": "UNet2DModel",
        "prior_scheduler": "UnCLIPScheduler", "decoder_scheduler": "UnCLIPScheduler", "super_res_scheduler": "UnCLIPScheduler",
    }  # fmt: skip
    upsamplers = ["upsample_256"] + ["upsample_1024"] * (recipe.upsample_1024 is not None)
    return {
        "_class_name": "UnCLIPPipeline",
        **{name: ["unclip", kind] for name, kind in parts.items()},
        "unclip": {
            "format_version": FORMAT_VERSION,
            "name": recipe.name,
            "created": CREATED,
            "native_sizes": [64, 256] + [1024] * (recipe.upsample_1024 is not None),
            "stages": ["prior", "decoder", *upsamplers],
            "priors": ["diffusion"] + ["autoregressive"] * (recipe.prior_ar is not None),
            "decoders": ["base"] + ["turbo"] * (recipe.turbo is not None),
            "operations": ["generate", "vary", "interpolate", "edit", "upscale", "encode", "resume"]
            + ["inpaint"] * (recipe.inpaint is not None),
            "max_prompt_tokens": recipe.context_length,
            "defaults": recipe.defaults.model_dump(),
        },
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
