"""One picture travelling through the cascade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from models.clip.text import TextFeatures
from models.inpainting import Inpainting, Known
from models.samplers import Plan

DONE = "done"


@dataclass(frozen=True)
class DrawRequest:
    """What one picture is to be; nothing left open.

    seed: 0 to 2**32 - 1. guidance scales: 1 is no guidance. Steps: network calls of each stage. size_px: side of the picture
    that is wanted; above 256 it passes the second upsampler, where the model has one. inpainting: a picture of which
    only a part is painted; None for a whole new one. decoder: `turbo` takes its own number of steps and no guidance. prior: the
    autoregressive one takes a step for each code of z_i, whatever `prior_steps` says.
    """

    prompt: str
    seed: int
    steps: int
    guidance_scale: float
    prior_steps: int
    prior_guidance_scale: float
    upsample_steps: int
    size_px: int = 256
    inpainting: Inpainting | None = None
    decoder: Literal["base", "turbo"] = "base"
    prior: Literal["diffusion", "autoregressive"] = "diffusion"


@dataclass
class Row:
    """A picture on its way: where it stands, and the tensors that its stage needs.

    route: names of the stages that it travels, in order. stage: the one whose next step it waits for, or "done". step: steps
    done there, of `steps`. x_t, x_0: (K, …), the sample and the last prediction; K is 2 candidates in the prior and 1
    elsewhere. tokens: (1 + step,) int64, what the autoregressive prior has drawn. z_i: (1, D) once the prior is done.
    candidate_scores: each candidate's dot product with z_t, over D. small: (1, 3, 64, 64) once the decoder is. large:
    (1, 3, S, S), what the last upsampler so far gave. given: what the stage computed once for all its steps. known: what of the
    stage's picture shall stay.
    failure: why this row cannot go on; its neighbours are not touched.
    """

    request: DrawRequest
    text: TextFeatures
    route: tuple[str, ...] = ()
    stage: str = ""
    step: int = 0
    steps: int = 0
    plan: Plan | None = None
    x_t: Tensor | None = None
    x_0: Tensor | None = None
    given: tuple[Tensor, ...] = ()
    known: Known | None = None
    tokens: Tensor | None = None
    z_i: Tensor | None = None
    candidate_scores: tuple[float, ...] = ()
    small: Tensor | None = None
    large: Tensor | None = None
    failure: str | None = None

    @property
    def truncated_tokens(self) -> int:
        """How many tokens of the prompt the text tower could not take."""
        return self.text.truncated[0]
