"""The straightforward way to run the cascade, as a pipeline script does: one picture after another, each stage a loop.

Every step runs the net on the conditional and the unconditional row together and projects the caption anew; nothing is kept
between steps but the sample. Same weights, steps, guidance, sampler and noise as the engine, so the pictures are the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cascade import Cascade, to_pixels
from models.inpainting import net_input
from models.noise import noise
from models.row import DrawRequest
from models.samplers import clamp_x_0, guide, predict_x_0, step
from models.samplers.plan import gather
from models.stages.decoder import SIZE_PX, DecoderStage
from models.stages.diffusion import DiffusionStage
from models.stages.prior import PriorStage
from models.stages.upsampler import UpsamplerStage, enlarge


@torch.inference_mode()
def draw(cascade: Cascade, request: DrawRequest) -> NDArray[np.uint8]:
    """One picture, (256, 256, 3) uint8, by prior, decoder and first upsampler."""
    prior, decoder, upsampler = (cascade.stages[name] for name in ("prior", "decoder", "upsample_256"))
    assert isinstance(prior, PriorStage)
    assert isinstance(decoder, DecoderStage)
    assert isinstance(upsampler, UpsamplerStage)
    z_i = _prior(cascade, prior, request)
    small = _decoder(cascade, decoder, request, z_i)
    return to_pixels(_upsampler(upsampler, request, small)[0])


def _prior(cascade: Cascade, stage: PriorStage, request: DrawRequest) -> Tensor:
    candidates = 2

    def output(x_t: Tensor, t: Tensor) -> Tensor:
        said, nothing = cascade.text.encode([request.prompt]), cascade.text.encode([""])
        both = [said] * candidates + [nothing] * candidates
        parts = (torch.cat([getattr(text, name) for text in both]) for name in ("embeds", "tokens", "mask"))
        answer: Tensor = stage.net(torch.cat([x_t, x_t]), torch.cat([t, t]), *parts)
        scale = torch.full((candidates,), request.prior_guidance_scale)
        return guide(answer[:candidates], answer[candidates:], scale)

    start = torch.stack(
        [noise(request.seed, f"prior/{index}", 0, (stage.net.config.embedding_dim,)) for index in range(candidates)]
    )
    drawn = _loop(stage, start, request.prior_steps, output, request.seed)
    z_i = stage.net.denormalise(drawn)
    scores = (z_i * cascade.text.encode([request.prompt]).embeds).mean(dim=-1)
    return z_i[scores.argmax()][None]


def _decoder(cascade: Cascade, stage: DecoderStage, request: DrawRequest, z_i: Tensor) -> Tensor:
    def output(x_t: Tensor, t: Tensor) -> Tensor:
        given = [
            _condition(stage, z_i, cascade, request.prompt),
            _condition(stage, stage.text_proj.without_image(1), cascade, ""),
        ]
        in_time, context, mask = (torch.cat(parts) for parts in zip(*given, strict=True))
        x = net_input(torch.cat([x_t, x_t]), [None, None], stage.unet.config.in_channels)
        answer: Tensor = stage.unet(x, torch.cat([t, t]), in_time, context, mask)
        return guide(answer[:1], answer[1:], torch.full((1,), request.guidance_scale))

    start = noise(request.seed, "decoder", 0, (3, SIZE_PX, SIZE_PX))[None]
    return _loop(stage, start, request.steps, output, request.seed).clamp(-1, 1)


def _condition(stage: DecoderStage, z_i: Tensor, cascade: Cascade, prompt: str) -> tuple[Tensor, Tensor, Tensor]:
    text = cascade.text.encode([prompt])
    in_time, context = stage.text_proj(z_i, text.embeds, text.tokens)
    mask = torch.nn.functional.pad(text.mask, (context.shape[1] - text.mask.shape[1], 0), value=True)
    return in_time, context, mask


def _upsampler(stage: UpsamplerStage, request: DrawRequest, small: Tensor) -> Tensor:
    level = torch.full((1,), stage.sampling.augmentation_level)
    if stage.sampling.augmentation_level:
        grain = noise(request.seed, f"{stage.name}/augmentation", 0, small.shape)
        small = stage.sampling.schedule.diffuse(small, grain, level)

    def output(x_t: Tensor, t: Tensor) -> Tensor:
        x = net_input(torch.cat([x_t, enlarge(small)], dim=1), [None], stage.net.config.in_channels)
        answer: Tensor = stage.net(x, t, level)
        return answer

    start = noise(request.seed, stage.name, 0, (3, stage.size_px, stage.size_px))[None]
    return _loop(stage, start, stage.steps(request), output, request.seed).clamp(-1, 1)


def _loop(stage: DiffusionStage, x_t: Tensor, steps: int, output: Callable[[Tensor, Tensor], Tensor], seed: int) -> Tensor:
    plan, x_0 = stage.sampling.plan(steps), torch.zeros_like(x_t)
    lanes = len(x_t)
    for index in range(steps):
        at = gather([plan] * lanes, [index] * lanes)
        predicted = predict_x_0(output(x_t, at.timestep), x_t, at.alpha_t, stage.sampling.prediction_type)
        limit = torch.full((lanes,), stage.sampling.limit)
        last, x_0 = x_0, clamp_x_0(predicted, limit)
        grain = torch.zeros_like(x_t)
        if plan.is_stochastic:
            grain = torch.stack([noise(seed, f"{stage.name}/{lane}", index + 1, x_t.shape[1:]) for lane in range(lanes)])
        x_t = step([plan] * lanes, at, x_t, x_0, last, grain)
    return x_t
