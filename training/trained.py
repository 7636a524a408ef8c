"""What a run has trained, and what stands in for the stages that it did not run: the model that it started from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.checkpoint import load_part, load_strict
from training.data.errors import DataError
from training.loop import STATE, ema_of
from training.pieces import Net, Piece


@dataclass(frozen=True)
class Trained:
    """out: the run's folder, one folder a stage. init_from: a model folder, or None."""

    out: Path
    init_from: Path | None

    def has(self, stage: str) -> bool:
        """Whether this run has trained that stage, if only in part."""
        return (self.out / stage / STATE).exists()

    def fill(self, piece: Piece[Net]) -> Net:
        """Fill a net, in place, with its stage's EMA weights, or where that was not run with those of the model; returns it.

        Where this run has trained an earlier stage that they must fit, the model's fit no more. Raises DataError where the
        stage has not been trained and nothing stands in, CheckpointError for parts of another shape.
        """
        if self.init_from is None or any(self.has(name) for name in (piece.stage, *piece.fits)):
            piece.net.load_state_dict(ema_of(self.out / piece.stage), strict=True)
            return piece.net
        for part, module in piece.parts.items():
            load_strict(module, load_part(self.init_from / part)[1], part)
        return piece.net

    def foresee(self, piece: Piece[Any], stages: Collection[str]) -> None:
        """Fill a net as `fill` will once those stages have been run; raises now what that would raise then."""
        if piece.stage in stages or self.has(piece.stage):
            return
        newer = [name for name in piece.fits if name in stages or self.has(name)]
        if newer and self.init_from is not None:
            fault = f"what {self.init_from} has of it does not fit the {newer[0]} of this run"
            raise DataError(f"{piece.stage} would be missing when the model is packed: {fault}; add --stage {piece.stage}")
        self.fill(piece)
