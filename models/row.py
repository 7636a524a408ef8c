"""One picture travelling through the cascade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from models.clip.text import TextFeatures
from models.inpainting import Inpainting, Known
from models.origin import Aim, Origin
from models.samplers import GuidanceMode, Plan
from models.tiles import Tiles

DONE = "done"
WAITING = "waiting"
"""Stage of a row whose sources another row of its job is finding."""


@dataclass(frozen=True)
class DrawRequest:
    """What one picture is to be; nothing left open.

    seed: 0 to 2**32 - 1. guidance scales: 1 is no guidance. Steps: network calls of each stage. size_px: side of the picture
    that is wanted; above 256 it passes the second upsampler, where the model has one. inpainting: a picture of which only a
    part is painted; None for a whole new one. decoder: `turbo` takes its own number of steps and no guidance. prior: the
    autoregressive one takes a step for each code of z_i, whatever `prior_steps` says. prior_candidates: z_i drawn, of which the
    best goes on. conditioning: what the decoder is told beside the caption's tokens (DALL·E 2, §5.1): the prior's z_i, z_t in
    its place, or nothing. guidance_mode, guidance_bounds: as in `scale_at`. eta: of DDIM, 0 to 1, in the decoder; None: the
    model's own sampler. strength: which share of its way a picture that begins at another one goes from noise. inversion_steps:
    of the way to x_T. stop_at: the last stage.
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
    prior_candidates: int = 2
    conditioning: Literal["prior", "text_embedding", "tokens"] = "prior"
    guidance_mode: GuidanceMode = "constant"
    guidance_bounds: tuple[float, float] = (1.0, 30.0)
    eta: float | None = None
    strength: float = 1.0
    inversion_steps: int = 50
    stop_at: Literal["prior", "decoder", "256"] | None = None


@dataclass
class Row:
    """A picture on its way: where it stands, and the tensors that its stage needs.

    route: names of the stages that it travels, in order. stage: the one whose next step it waits for, or "done". step: steps
    done there, of `steps`. x_t, x_0: (K, …), the sample and the last prediction; K is the candidates in the prior, the pictures
    in the inversion, and 1 elsewhere. tokens: (K, 1 + step) int64, what the autoregressive prior has drawn. z_i: (1, D) once
    the prior is done. candidate_scores: each candidate's dot product with z_t, over D. small: (1, 3, 64, 64) once the decoder
    is. large: (1, 3, S, S), what the last upsampler so far gave. given: what the stage computed once for all its steps. known:
    what of the stage's picture shall stay. origin, aim: the job's sources, and how this row sets out from them; None for a row
    that begins with its caption. texts: captions whose z_i the prior draws, the row's own where empty; prior_found: what it
    drew, (1, D) each. inverted: (K, 3, 64, 64), x_T of the origin's pictures. x_T: (1, 3, 64, 64), from where the decoder set
    out, set before it where it is not for the seed to say. z_away: (1, D), z_i of what guidance leads away from; None: nothing.
    away: what the decoder computed of it. start: (1, 3, 64, 64), the picture that a strength below 1 begins
    at. tiles: of a large picture in an upsampler. note: whatever the one who admitted the row wants to find with it at its end.
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
    origin: Origin | None = None
    aim: Aim | None = None
    texts: tuple[TextFeatures, ...] = ()
    prior_found: tuple[Tensor, ...] = ()
    inverted: Tensor | None = None
    x_T: Tensor | None = None
    z_away: Tensor | None = None
    away: tuple[Tensor, ...] = ()
    start: Tensor | None = None
    tiles: Tiles | None = None
    note: object = None
    failure: str | None = None

    @property
    def noise_seed(self) -> int:
        """Of the noise of its stage's steps: while it finds what all rows of its job share, their origin's."""
        is_finding = self.origin is not None and self.origin.found is None
        return self.origin.seed if self.origin is not None and is_finding else self.request.seed

    @property
    def truncated_tokens(self) -> int:
        """How many tokens of the prompt the text tower could not take."""
        return self.text.truncated[0]
