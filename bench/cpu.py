"""Pictures a second of the engine on the CPU over the straightforward loop: same weights, steps, guidance and noise."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.plain_loop import draw
from bench.ratios import Ratio, compare
from bench.service import ASKED
from models.cascade import Cascade
from models.row import DONE, DrawRequest

PICTURES = 2


def engine_over_plain_loop(model: Path, threads: int, blocks: int, tell: Callable[[str], None]) -> tuple[Ratio, float]:
    """The ratio of the rates, and the PSNR between the two arms' pictures in dB (infinite where they are equal)."""
    cascade = Cascade.load(model, threads=threads)
    requests = [DrawRequest(prompt="a red apple", seed=seed, **ASKED) for seed in range(PICTURES)]

    def engine() -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        pictures = []
        for request in requests:
            row = cascade.admit(request)
            while row.stage != DONE:
                cascade.stages[row.stage].run([row])
            pictures.append(cascade.picture(row))
        return pictures

    def loop() -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        return [draw(cascade, request) for request in requests]

    error = np.mean((np.stack(engine()).astype(float) - np.stack(loop()).astype(float)) ** 2)
    psnr = float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
    return compare(lambda: _rate(engine), lambda: _rate(loop), blocks, tell), psnr


def _rate(arm: Callable[[], object]) -> float:
    began = time.perf_counter()
    arm()
    return PICTURES / (time.perf_counter() - began)
