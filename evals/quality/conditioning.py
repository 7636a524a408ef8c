"""What the decoder is told of a picture: three conditionings of one network (DALL·E 2, §5.1, fig. 8)."""

from __future__ import annotations

from typing import Literal, get_args

import torch

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
    text = cascade.text.encode([request.prompt])
    route = tuple(stage for stage in cascade.route(request) if not stage.startswith("prior"))
    decoder = cascade.stages[route[0]]
    if not isinstance(decoder, DecoderStage):
        raise TypeError(f"after the prior comes {route[0]!r}, which is no decoder")
    z_i = text.embeds if conditioning == "text" else decoder.text_proj.without_image(1)
    row = Row(request, text, route, z_i=z_i)
    with torch.inference_mode():
        decoder.enter(row)
    return row
