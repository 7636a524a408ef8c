"""From the stages' EMA weights to one model folder in the diffusers unCLIP layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from models.checkpoint import FORMAT_VERSION, load_part, save_part, write_manifest
from models.nets.configs import prior_ar_json, prior_json, text_proj_json, unet_json
from training.config import Recipe
from training.pieces import decoder_of, prior_ar_of, prior_of, turbo_of, upsamplers_of
from training.trained import Trained

CREATED = 1795305600  # 22 November 2026, when this format was first packed; fixed, so that packing is deterministic


def pack(recipe: Recipe, trained: Trained, folder: Path) -> None:
    """Write the model folder and its manifest, whole or not at all. Same states, same bytes.

    Raises DataError where a stage has not been trained and nothing stands in for it, CheckpointError where that does not fit.
    """
    part, clip = folder.with_name(f".{folder.name}.part"), trained.out / "clip"
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    shutil.copytree(clip / "tokenizer", part / "tokenizer")
    for tower, storage in (("text_encoder", "int8_rows"), ("image_encoder", "float16")):
        config, tensors = load_part(clip / tower)
        save_part(part / tower, config, tensors, storage=storage)  # type: ignore[arg-type]
    _priors(recipe, trained, part)
    _decoders(recipe, trained, part)
    _upsamplers(recipe, trained, part)
    _write(part / "model_index.json", _index(recipe))
    write_manifest(part)
    if folder.exists():  # only now: it may be the model that was started from
        shutil.rmtree(folder)
    part.rename(folder)


def foresee(recipe: Recipe, trained: Trained, stages: Collection[str]) -> None:
    """Raise, before hours of training, what packing would raise after them; stages: those that will have been run by then.

    DataError for a stage that would be missing, CheckpointError for weights started from whose shape is another.
    """
    for piece in (prior_of(recipe), prior_ar_of(recipe), decoder_of(recipe), turbo_of(recipe), *upsamplers_of(recipe)):
        if piece is not None:
            trained.foresee(piece, stages)


def _priors(recipe: Recipe, trained: Trained, folder: Path) -> None:
    prior = trained.fill(prior_of(recipe))
    save_part(folder / "prior", prior_json(prior.config), prior.state_dict())
    _scheduler(folder / "prior_scheduler", prediction_type="sample", clip_sample=False)
    if recipe.prior_ar is not None and (piece := prior_ar_of(recipe)) is not None:
        prior_ar = trained.fill(piece)
        drawing = recipe.prior_ar.model_dump(include={"temperature", "top_p"})
        save_part(folder / "prior_ar", prior_ar_json(prior_ar.config) | drawing, prior_ar.state_dict())


def _decoders(recipe: Recipe, trained: Trained, folder: Path) -> None:
    decoder = trained.fill(decoder_of(recipe))
    save_part(folder / "text_proj", text_proj_json(decoder.text_proj.config), decoder.text_proj.state_dict())
    about, storage = unet_json(decoder.unet.config) | {"sample_size": 64}, recipe.decoder.storage
    save_part(folder / "decoder", about, decoder.unet.state_dict(), storage=storage)
    _scheduler(folder / "decoder_scheduler", prediction_type="sample", clip_sample=True)
    if recipe.turbo is not None and (piece := turbo_of(recipe)) is not None:
        student = trained.fill(piece)
        about = unet_json(student.unet.config) | {"sample_size": 64}
        save_part(folder / "decoder_turbo", about, student.unet.state_dict(), storage="int8_rows")
        few = folder / "decoder_turbo_scheduler"
        _scheduler(few, prediction_type="sample", clip_sample=True, sampler="ddim", steps=recipe.turbo.steps)


def _upsamplers(recipe: Recipe, trained: Trained, folder: Path) -> None:
    first, *others = (trained.fill(piece) for piece in upsamplers_of(recipe))
    save_part(folder / "super_res_first", unet_json(first.config) | {"sample_size": 256}, first.state_dict())
    _scheduler(folder / "super_res_scheduler", prediction_type="sample", clip_sample=True, augmentation_level=50)
    if recipe.upsample_1024 is not None:
        (second,) = others
        save_part(folder / "super_res_second", unet_json(second.config) | {"sample_size": 1024}, second.state_dict())
        few = folder / "super_res_second_scheduler"
        steps = recipe.upsample_1024.steps
        _scheduler(few, prediction_type="sample", clip_sample=True, augmentation_level=0, steps=steps)


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
