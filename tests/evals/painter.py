"""A cascade that paints by rule: what is measured over it is the measuring."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evals.draw import DrawSettings
from models.row import DrawRequest

SETTINGS = DrawSettings(steps=2, guidance_scale=1.0, prior_steps=1, prior_guidance_scale=1.0, upsample_steps=1)
SIDE = 24


@dataclass
class PaintedRow:
    request: DrawRequest
    route: tuple[str, ...]
    stage: str
    step: int = 0
    failure: str | None = None


class PaintStage:
    """One product of two 24 × 24 matrices a step; the decoder takes `steps` of them, the others one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, rows: list[PaintedRow]) -> None:
        for row in rows:
            torch.ones(SIDE, SIDE) @ torch.ones(SIDE, SIDE)
            row.failure = "painted with NaN" if row.request.prompt == "nothing" else None
            row.step += 1
            if row.step == (row.request.steps if self.name == "decoder" else 1):
                after = row.route.index(self.name) + 1
                row.stage, row.step = (*row.route, "done")[after], 0


class Painter:
    """Paints a blue page, 256 px or larger as asked. extras: stages beside the usual three."""

    name = "painter"

    def __init__(self, extras: tuple[str, ...] = ()) -> None:
        self.stages = {name: PaintStage(name) for name in ("prior", "decoder", "upsample_256", *extras)}

    @classmethod
    def load(cls, folder: Path, threads: int | None = None) -> "Painter":
        return cls()

    def route(self, request: DrawRequest) -> tuple[str, ...]:
        decoder = {"base": "decoder", "turbo": "decoder_turbo"}[request.decoder]
        return ("prior", decoder, "upsample_256", *["upsample_1024"] * (request.size_px > 256))

    def steps(self, request: DrawRequest) -> dict[str, int]:
        return {name: request.steps if name == "decoder" else 1 for name in self.route(request)}

    def admit(self, request: DrawRequest) -> PaintedRow:
        return PaintedRow(request, self.route(request), "prior")

    def picture(self, row: PaintedRow) -> np.ndarray:
        return np.full((row.request.size_px, row.request.size_px, 3), (0, 0, 255), dtype=np.uint8)
