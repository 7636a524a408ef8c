"""Rows that do not begin with a caption but at pictures, at latents, or between several; how they find z_i and x_T."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from models.errors import LatentUnusable, PartMissing, SourceUnfit
from models.latent import Latent
from models.noise import noise
from models.origin import Aim, Bipartite, Origin, Source
from models.row import WAITING, DrawRequest, Row
from models.stages.decoder import SIZE_PX, DecoderStage
from models.stages.stage import present

if TYPE_CHECKING:
    from models.cascade import Cascade

FINDING = ("invert", "prior", "prior_ar")
"""Stages in which a job's first row finds what its sources give."""
UPSAMPLED = (64, 256)
"""Sides of what the upsamplers were made for."""


@torch.inference_mode()
def origin_of(cascade: Cascade, sources: Sequence[Source], seed: int, *, is_inverted: bool = True) -> Origin:
    """The sources of a job. Raises LatentUnusable, SourceUnfit, and PartMissing for a picture where there is no image tower.

    seed: of the x_T of prompts. is_inverted: whether a picture's x_T is looked for; else each row draws its own.
    """
    device = cascade.stages["decoder"].device
    origin = Origin(tuple(sources), seed, cascade.text.encode([""]), is_inverted)
    for place, source in enumerate(sources):
        if source.picture is not None:
            small = at_side(as_tensor(source.picture, device), SIZE_PX)
            origin.small[place], origin.embeds[place] = small, encode_all(cascade, small)
        elif source.prompt is not None:
            origin.texts[place] = cascade.text.encode([source.prompt])
        else:
            check(cascade, source.latent)
    return origin


def add_captions(cascade: Cascade, origin: Origin, captions: Sequence[str]) -> None:
    """Put captions behind the sources of a job of which no row was admitted yet; the prior draws their z_i."""
    for place, caption in enumerate(captions, start=len(origin.sources)):
        origin.texts[place] = cascade.text.encode([caption])
    origin.sources = (*origin.sources, *(Source(prompt=caption) for caption in captions))


def admit_from(cascade: Cascade, request: DrawRequest, origin: Origin, aim: Aim) -> Row:
    """Stand a row of a job before its first step: the first one finds what is to be found, the others wait for it.

    The decoder is told the request's prompt, which is empty for pictures and mixtures (DALL·E 2, §3). Raises PartMissing.
    """
    drawing = cascade.drawing_route(request)
    row = Row(request, cascade.text.encode([request.prompt]), drawing, origin=origin, aim=aim)
    if request.strength < 1:
        row.start = origin.small.get(0)
    finding = ("invert",) * bool(origin.is_inverted and origin.small) + (cascade.prior(request),) * bool(origin.texts)
    with torch.inference_mode():
        if not finding or origin.found is not None:
            set_out(cascade, row, origin)
        elif origin.is_led:
            row.stage = WAITING
            origin.waiting.append(row)
        else:
            origin.is_led = True
            row.route, row.texts = finding + drawing, tuple(origin.texts.values())
            cascade.stages[row.route[0]].enter(row)
    return row


def steps_from(cascade: Cascade, request: DrawRequest, *, pictures: bool, prompts: bool) -> dict[str, int]:
    """The stages that the first row of a job travels, and its steps. pictures, prompts: whether there are such sources."""
    finding = ("invert",) * pictures + (cascade.prior(request),) * prompts
    return {name: cascade.stages[name].steps(request) for name in finding + cascade.drawing_route(request)}


def set_out(cascade: Cascade, leader: Row, origin: Origin) -> None:
    """Once everything is found, stand every row that waits before the first step of its drawing.

    The leader comes last: where something raises on the way, it is still where it was and can be handed on again.
    """
    if origin.found is None:
        origin.found = _found(cascade, leader, origin)
    while origin.waiting:
        _draw(cascade, origin.waiting[0], origin.found)
        origin.waiting.pop(0)
    _draw(cascade, leader, origin.found)


def _draw(cascade: Cascade, row: Row, found: Sequence[Bipartite]) -> None:
    if row.aim is None:
        raise AssertionError("a row with sources has no aim")
    begun = row.aim(found)
    row.z_i, row.x_T, row.z_away = begun.z_i, begun.x_T, begun.z_away
    cascade.stages[next(name for name in row.route if name not in FINDING)].enter(row)


def resume(cascade: Cascade, request: DrawRequest, latent: Latent) -> Row:
    """Stand a row before the first step after the one at which its picture stopped; a finished one is decoded again.

    The request's prompt and eta are to be the latent's. Raises LatentUnusable, PartMissing; SourceUnfit where nothing is left.
    """
    check(cascade, latent)
    row = Row(request, cascade.text.encode([request.prompt]), z_i=latent.z_i, x_T=latent.x_T)
    if latent.reached in ("prior", "done"):
        row.route = cascade.drawing_route(request)
    elif latent.reached == "decoder":
        row.small, row.route = latent.picture, cascade.upsamplers(request)
    else:
        row.large, row.route = latent.picture, tuple(name for name in cascade.upsamplers(request) if name == "upsample_1024")
    if not row.route:
        raise SourceUnfit("the picture stopped where it would stop now; ask for a larger size")
    with torch.inference_mode():
        cascade.stages[row.route[0]].enter(row)
    return row


def upscale(cascade: Cascade, request: DrawRequest, picture: NDArray[np.uint8]) -> Row:
    """Stand a row before the first step of the upsampler that its picture needs. picture: (S, S, 3) uint8.

    A picture enters at the side for which an upsampler was made, the larger one if the model has it; one between those sides or
    beyond them goes square by square. Raises SourceUnfit for one that is as large as it is to be, PartMissing.
    """
    side, device = picture.shape[0], cascade.stages["decoder"].device
    if side >= request.size_px:
        raise SourceUnfit(f"the picture is {side} px a side already; ask for a size above that")
    row = Row(request, cascade.text.encode([""]))
    whole = as_tensor(picture, device)
    last = "upsample_1024" if "upsample_1024" in cascade.stages and side > UPSAMPLED[0] and request.size_px > 256 else ""
    if side <= UPSAMPLED[0]:
        row.small, row.route = at_side(whole, UPSAMPLED[0]), cascade.upsamplers(request)
    elif last:
        row.large, row.route = at_side(whole, max(side, UPSAMPLED[1])), (last,)
    else:
        row.small, row.route = whole, ("upsample_256",)
    if not row.route or row.route[0] not in cascade.stages:
        raise PartMissing(cascade.name, "super_res_first")
    with torch.inference_mode():
        cascade.stages[row.route[0]].enter(row)
    return row


def check(cascade: Cascade, latent: Latent | None) -> None:
    """Raise LatentUnusable for another model's latent, or one whose tensors are not of this one's shapes."""
    if latent is None:
        raise LatentUnusable("there is none")
    if latent.model != cascade.name:
        raise LatentUnusable(f"it is of the model {latent.model!r}, and {cascade.name!r} is served")
    decoder = cascade.stages["decoder"]
    dim = decoder.text_proj.without_image(1).shape[-1] if isinstance(decoder, DecoderStage) else 0
    shapes = [("z_i", latent.z_i, (1, dim)), ("x_T", latent.x_T, (1, 3, SIZE_PX, SIZE_PX))]
    if latent.reached in ("decoder", "256"):
        side = SIZE_PX if latent.reached == "decoder" else 256
        if latent.picture is None:
            raise LatentUnusable("the picture at which it stopped is missing")
        shapes.append(("picture", latent.picture, (1, 3, side, side)))
    for name, tensor, shape in shapes:
        if tuple(tensor.shape) != shape:
            raise LatentUnusable(f"its {name} is {tuple(tensor.shape)} instead of {shape}")


def encode_all(cascade: Cascade, pictures: Tensor) -> Tensor:
    """z_i of pictures by CLIP, (B, D). pictures: (B, 3, S, S) in [-1, 1]. Raises PartMissing."""
    if cascade.image is None:
        raise PartMissing(cascade.name, "image_encoder")
    return cascade.image.encode(at_side(pictures, cascade.image.image_size).to(cascade.stages["decoder"].device))


def as_tensor(picture: NDArray[np.uint8], device: str) -> Tensor:
    """(S, S, 3) uint8 to (1, 3, S, S) in [-1, 1]. Raises SourceUnfit for a picture that is not square."""
    if picture.ndim != 3 or picture.shape[0] != picture.shape[1]:
        raise SourceUnfit(f"the picture is {picture.shape[1]}×{picture.shape[0]}; crop it to a square")
    return torch.tensor(picture, device=device).permute(2, 0, 1)[None].float() / 127.5 - 1


def at_side(picture: Tensor, side: int) -> Tensor:
    """(1, 3, S, S) at another side: smaller by area, larger bicubic."""
    if picture.shape[-1] == side:
        return picture
    if picture.shape[-1] > side:
        return adaptive_avg_pool2d(picture, side)
    return interpolate(picture, size=(side, side), mode="bicubic", align_corners=False).clamp(-1, 1)


def _found(cascade: Cascade, leader: Row, origin: Origin) -> list[Bipartite]:
    """What each source gave, in their order."""
    inverted = iter(torch.split(present(leader.inverted), 1)) if leader.inverted is not None else iter(())
    drawn = iter(leader.prior_found)
    found = []
    for place, source in enumerate(origin.sources):
        if source.latent is not None:
            found.append(Bipartite(source.latent.z_i, source.latent.x_T))
        elif place in origin.embeds:
            found.append(Bipartite(origin.embeds[place], next(inverted) if origin.is_inverted else None))
        else:
            decoder = cascade.stages["decoder"]
            x_T = noise(origin.seed, decoder.name, 0, (1, 3, SIZE_PX, SIZE_PX)).to(decoder.device)
            found.append(Bipartite(next(drawn), x_T))
    return found
