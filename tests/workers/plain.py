"""A set of stages without a net: the engine's tests need something to drive, and pictures that tell who drew them."""

from __future__ import annotations

import time
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contract.spec import GenerateSpec
from workers.engine import CannotDraw, Order, Picture, Product

NATIVE_SIZE = 8
ORDER_OF_TRAVEL = ("prior", "decoder", "upsample_256", "done")


@dataclass(eq=False)
class PlainRow:
    """A row whose state is one number; every step folds the step's own number into it."""

    spec: GenerateSpec
    seed: int
    stage: str = "prior"
    step: int = 0
    steps: int = 0
    truncated_tokens: int = 0
    failure: str | None = None
    state: int = 0


@dataclass
class PlainStage:
    """Advances rows and keeps a trace of every call: (seed, step) of each row served."""

    name: str
    cost: float
    step_seconds: float = 0.0
    most_rows: int = 1000
    trace: MutableSequence[list[tuple[int, int]]] = field(default_factory=list)

    def run(self, rows: Sequence[PlainRow]) -> None:
        self.trace.append([(row.seed, row.step) for row in rows])
        for row in rows:
            if "raise" in row.spec.prompt and self.name == "decoder":
                raise ValueError("no such row")
            if "huge" in row.spec.prompt and self.name == "decoder":
                raise MemoryError("no room for this row")
        if len(rows) > self.most_rows:
            raise RuntimeError("CUDA out of memory")
        time.sleep(self.step_seconds * len(rows))
        for row in rows:
            if "nan" in row.spec.prompt and self.name == "decoder":
                row.failure = "not a number"
                continue
            row.state = (row.state * 31 + row.seed + row.step) % 2**32
            row.step += 1
            if row.step == row.steps:
                row.stage = ORDER_OF_TRAVEL[ORDER_OF_TRAVEL.index(self.name) + 1]
                row.step = 0
                row.steps = {"decoder": row.spec.steps, "upsample_256": row.spec.upsample_steps}.get(row.stage, 0)


class PlainStages:
    """The cascade's shape without its weights."""

    def __init__(self, step_seconds: float = 0.0) -> None:
        self.relieved = 0
        self.stages = {
            "prior": PlainStage("prior", 0.25, step_seconds / 4),
            "decoder": PlainStage("decoder", 1.0, step_seconds),
            "upsample_256": PlainStage("upsample_256", 2.0, 2 * step_seconds),
        }

    def steps(self, spec: Any) -> dict[str, int]:
        return {"prior": spec.prior_steps, "decoder": spec.steps, "upsample_256": spec.upsample_steps}

    def admit(self, order: Order, index: int) -> PlainRow:
        spec: Any = order.spec
        if not isinstance(spec, GenerateSpec):
            raise CannotDraw("these stages only generate")
        if "unreadable" in spec.prompt:
            raise ValueError("no such words")
        return PlainRow(spec, spec.picture_seed(index), steps=spec.prior_steps, truncated_tokens=spec.prompt.count("…"))

    def product(self, row: PlainRow) -> Product:
        pixels = np.random.default_rng(row.state).integers(0, 256, (NATIVE_SIZE, NATIVE_SIZE, 3))
        return Product(pixels.astype(np.uint8))

    def relieve(self) -> None:
        self.relieved += 1

    def preview(self, row: PlainRow) -> Picture | None:
        return None if row.stage == "prior" else np.full((NATIVE_SIZE, NATIVE_SIZE, 3), row.step, np.uint8)


def make_spec(prompt: str = "a red apple", **fields: object) -> GenerateSpec:
    """A spec of few steps; name what differs."""
    defaults = {
        "model": "unclip-bootstrap",
        "prompt": prompt,
        "size": "256x256",
        "seed": 7,
        "steps": 4,
        "guidance_scale": 3.0,
        "prior_steps": 2,
        "prior_guidance_scale": 2.0,
        "upsample_steps": 2,
    }
    return GenerateSpec.model_validate(defaults | fields)
