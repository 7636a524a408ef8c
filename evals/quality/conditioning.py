"""What the decoder is told of a picture: three conditionings of one network (DALL·E 2, §5.1, fig. 8)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from models.cascade import Cascade
from models.row import DrawRequest, Row
from models.stages.decoder import DecoderStage

Conditioning = Literal["tokens", "text", "prior"]
"""The caption's tokens alone, z_i dropped; beside them the text embedding z_t in place of z_i; beside them the prior's z_i."""
CONDITIONINGS: tuple[Conditioning, ...] = get_args(Conditioning)


def admit(cascade: Cascade, request: DrawRequest, conditioning: Conditioning) -> Row:
    """A new row before its first step: in the prior, as `Cascade.admit` stands it, or in the decoder with its z_i given."""
    if conditioning == "prior":
        return cascade.admit(request)
    if conditioning == "text":
        return admit_at(cascade, request, cascade.text.encode([request.prompt]).embeds)
    return admit_at(cascade, request, decoder_of(cascade, request).text_proj.without_image(1))


def admit_at(cascade: Cascade, request: DrawRequest, z_i: Tensor) -> Row:
    """A new row before the decoder's first step, with a z_i (1, D) that no prior drew."""
    decoder = decoder_of(cascade, request)
    route = cascade.drawing_route(request)
    row = Row(request, cascade.text.encode([request.prompt]), route, z_i=z_i)
    with torch.inference_mode():
        decoder.enter(row)
    return row


def decoder_of(cascade: Cascade, request: DrawRequest) -> DecoderStage:
    """The stage that draws a request's 64 px picture."""
    decoder = cascade.stages[cascade.drawing_route(request)[0]]
    assert isinstance(decoder, DecoderStage)
    return decoder
