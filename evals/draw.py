"""One picture by the cascade, alone, timed by stage. Nothing here knows of data: a prompt and a seed go in."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from evals.kept import TOGETHER
from models.cascade import Cascade
from models.errors import ModelError
from models.row import DONE, DrawRequest
from models.samplers import GuidanceMode


class DrawSettings(TypedDict):
    """How a picture is drawn; the names of `DrawRequest`, whose own defaults stand for what is left out."""

    steps: int
    guidance_scale: float
    prior_steps: int
    prior_guidance_scale: float
    upsample_steps: int
    prior: NotRequired[Literal["diffusion", "autoregressive"]]
    decoder: NotRequired[Literal["base", "turbo"]]
    size_px: NotRequired[int]
    guidance_mode: NotRequired[GuidanceMode]


@dataclass(frozen=True)
class Drawn:
    """One picture, (H, W, 3) uint8, and the seconds that each stage took."""

    pixels: NDArray[np.uint8]
    seconds: dict[str, float]


def default_settings(model_dir: Path) -> DrawSettings:
    """The settings that the model's own folder recommends. Raises ModelError."""
    path = model_dir / "model_index.json"
    try:
        defaults = json.loads(path.read_text(encoding="utf-8"))["unclip"]["defaults"]
        return DrawSettings(
            steps=int(defaults["steps"]),
            guidance_scale=float(defaults["guidance_scale"]),
            prior_steps=int(defaults["prior_steps"]),
            prior_guidance_scale=float(defaults["prior_guidance_scale"]),
            upsample_steps=int(defaults["upsample_steps"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} names no default settings: {error!r}") from error


def model_name(model_dir: Path) -> str:
    """What the model's own folder calls it. Raises ModelError."""
    path = model_dir / "model_index.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["unclip"]["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} names no model: {error!r}") from error


def turbo_settings(settings: DrawSettings) -> DrawSettings:
    """The same with the distilled decoder, which takes its own few steps and no guidance."""
    return DrawSettings(**{**settings, "decoder": "turbo"})


def cascade_of(model: Path, device: str = "cpu") -> Cascade:
    """A model that draws several pictures in a call. Raises ModelError."""
    cascade = Cascade.load(model, device=device, threads=1)
    for stage in cascade.stages.values():
        stage.bucket = max(stage.bucket, TOGETHER)
    return cascade


def draw(cascade: Cascade, prompt: str, seed: int, settings: DrawSettings) -> Drawn:
    """Draw `prompt` at `seed`. Text encoding counts as a stage of its own, "text". Raises ModelError when the row fails."""
    seconds: dict[str, float] = {}
    began = time.perf_counter()
    row = cascade.admit(DrawRequest(prompt=prompt, seed=seed, **settings))
    seconds["text"] = time.perf_counter() - began
    while row.stage != DONE:
        stage, began = row.stage, time.perf_counter()
        cascade.stages[stage].run([row])
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - began
        if row.failure is not None:
            raise ModelError(f"{prompt!r} with seed {seed} failed in {stage}: {row.failure}")
    return Drawn(cascade.picture(row), seconds)
