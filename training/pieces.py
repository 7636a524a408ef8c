"""The nets that are packed: the stage that trains each, its parts in a model folder, and what its weights must fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import nn

from models.nets.prior import PriorTransformer
from models.nets.prior_ar import PriorAR
from models.nets.unet import UNet
from training.build_nets import build_decoder, build_prior, build_prior_ar, build_upsample_256, build_upsample_1024
from training.config import Recipe
from training.tasks.decoder import DecoderNet

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Piece(Generic[Net]):
    """A net of the packed model, with chance weights yet.

    stage: whose weights it gets. parts: of a model folder, each with its module of the net. fits: earlier stages that the
    weights must fit.
    """

    stage: str
    net: Net
    parts: Mapping[str, nn.Module]
    fits: tuple[str, ...] = ()


def prior_of(recipe: Recipe) -> Piece[PriorTransformer]:
    """The diffusion prior."""
    prior = build_prior(recipe)
    return Piece("prior", prior, {"prior": prior}, fits=("clip",))


def prior_ar_of(recipe: Recipe) -> Piece[PriorAR] | None:
    """The autoregressive prior, where the recipe has one."""
    if recipe.prior_ar is None:
        return None
    prior = build_prior_ar(recipe)
    return Piece("prior_ar", prior, {"prior_ar": prior}, fits=("clip",))


def decoder_of(recipe: Recipe, *, stage: str | None = None) -> Piece[DecoderNet]:
    """The decoder as it is after a stage, or after the last one of the recipe that trains it."""
    net, stage = build_decoder(recipe), stage or ("inpaint" if recipe.inpaint else "decoder")
    fits = (*_clip_of(recipe), "decoder") if stage == "inpaint" else _clip_of(recipe)
    return Piece(stage, net, {"decoder": net.unet, "text_proj": net.text_proj}, fits)


def turbo_of(recipe: Recipe) -> Piece[DecoderNet] | None:
    """The distilled decoder, where the recipe has one."""
    if recipe.turbo is None:
        return None
    student = build_decoder(recipe)
    return Piece("turbo", student, {"decoder_turbo": student.unet}, fits=(*_clip_of(recipe), "decoder", "inpaint"))


def _clip_of(recipe: Recipe) -> tuple[str, ...]:
    """The stage that a decoder must fit: none where CLIP keeps its z_i, at which the priors must aim anew all the same."""
    return () if recipe.clip.keep else ("clip",)


def upsamplers_of(recipe: Recipe) -> tuple[Piece[UNet], ...]:
    """Those of the recipe, the smaller first."""
    first = build_upsample_256(recipe)
    pieces = [Piece("upsample_256", first, {"super_res_first": first})]
    if recipe.upsample_1024 is not None:
        second = build_upsample_1024(recipe)
        pieces.append(Piece("upsample_1024", second, {"super_res_second": second}))
    return tuple(pieces)
