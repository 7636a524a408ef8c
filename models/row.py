"""One picture travelling through the cascade."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.clip.text import TextFeatures
from models.samplers import Plan

DONE = "done"


@dataclass(frozen=True)
class DrawRequest:
    """What one picture is to be; nothing left open.

    seed: 0 to 2**32 - 1. guidance scales: 1 is no guidance. Steps: network calls of each stage.
    """

    prompt: str
    seed: int
    steps: int
    guidance_scale: float
    prior_steps: int
    prior_guidance_scale: float
    upsample_steps: int


@dataclass
class Row:
    """A picture on its way: where it stands, and the tensors that its stage needs.

    stage: the stage whose next step it waits for, or "done". step: steps done there. x_t, x_0: (K, …), the sample and the last
    prediction; K is 2 candidates in the prior and 1 elsewhere. z_i: (1, D) once the prior is done. candidate_scores: each
    candidate's dot product with z_t, over D. small: (1, 3, 64, 64) once the decoder is. large: (1, 3, 256, 256) once the
    upsampler is. given: what the stage computed once for all its steps.
    failure: why this row cannot go on; its neighbours are not touched.
    """

    request: DrawRequest
    text: TextFeatures
    stage: str = ""
    step: int = 0
    plan: Plan | None = None
    x_t: Tensor | None = None
    x_0: Tensor | None = None
    given: tuple[Tensor, ...] = ()
    z_i: Tensor | None = None
    candidate_scores: tuple[float, ...] = ()
    small: Tensor | None = None
    large: Tensor | None = None
    failure: str | None = None

    @property
    def steps(self) -> int:
        """How many steps the present stage takes."""
        return self.plan.steps if self.plan else 0

    @property
    def truncated_tokens(self) -> int:
        """How many tokens of the prompt the text tower could not take."""
        return self.text.truncated[0]
