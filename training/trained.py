"""What a run has trained, and what stands in for the stages that it did not run: the model that it started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from models.checkpoint import load_part, load_strict
from training.loop import STATE, ema_of


@dataclass(frozen=True)
class Trained:
    """out: the run's folder, one folder a stage. init_from: a model folder, or None."""

    out: Path
    init_from: Path | None

    def has(self, stage: str) -> bool:
        """Whether this run has trained that stage, if only in part."""
        return (self.out / stage / STATE).exists()

    def fill(self, net: nn.Module, stage: str, parts: dict[str, nn.Module], fits: Sequence[str] = ()) -> None:
        """Fill `net` with the stage's EMA weights, or where it was not run with those of the model, each part for its module.

        fits: earlier stages that the weights must fit; where this run has trained one of them, the model's fit no more. Raises
        DataError where the stage has not been trained and nothing stands in, CheckpointError for parts of another shape.
        """
        if self.init_from is None or any(self.has(name) for name in (stage, *fits)):
            net.load_state_dict(ema_of(self.out / stage), strict=True)
            return
        for part, module in parts.items():
            load_strict(module, load_part(self.init_from / part)[1], part)
