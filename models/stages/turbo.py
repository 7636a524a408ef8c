"""The turbo decoder's stage: the decoder distilled into a few steps (Salimans and Ho 2022; Meng et al. 2023)."""

from __future__ import annotations

from models.row import DrawRequest, Row
from models.stages.decoder import DecoderStage


class TurboStage(DecoderStage):
    """CLIP image embedding to picture in the steps that the net was distilled for, its guidance among its weights.

    Its noise is the base decoder's: a seed draws what the base would draw, as nearly as the net learned it.
    """

    name = "decoder_turbo"
    noise_name = DecoderStage.name
    cost = DecoderStage.cost / 2  # no guidance rows

    def all_steps(self, request: DrawRequest) -> int:
        """As many as the scheduler config says; the request's are the base decoder's."""
        return self.sampling.steps or request.steps

    def guidance(self, row: Row) -> float:
        """None."""
        return 1.0
