"""Pictures a second of the engine on the CPU over the straightforward loop: same weights, steps, guidance and noise.

The loop computes with torch; the engine with torch or with its nets compiled.
"""

from __future__ import annotations

import tempfile
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
Pictures = list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]


def engine_over_plain_loop(
    model: Path, threads: int, blocks: int, tell: Callable[[str], None], backend: str = "torch"
) -> tuple[Ratio, float]:
    """The ratio of the rates, and the PSNR between the two arms' pictures in dB (infinite where they are equal).

    backend: of the engine, as `UNCLIP_CPU_BACKEND`; graphs are made in a folder of the bench's own. Time is that of `clock_of`.
    """
    plain, cascade = Cascade.load(model, threads=threads), Cascade.load(model, threads=threads)
    if backend != "torch":
        from models.compiled import Compiler, compile_nets
        from workers.cascade import PRECISIONS

        with tempfile.TemporaryDirectory() as folder:
            compile_nets(cascade, Compiler(Path(folder), "bench"), PRECISIONS[backend])
    requests = [DrawRequest(prompt="a red apple", seed=seed, **ASKED) for seed in range(PICTURES)]
    clock = clock_of(threads)

    def engine() -> Pictures:
        pictures = []
        for request in requests:
            row = cascade.admit(request)
            while row.stage != DONE:
                cascade.stages[row.stage].run([row])
            pictures.append(cascade.picture(row))
        return pictures

    def loop() -> Pictures:
        return [draw(plain, request) for request in requests]

    error = np.mean((np.stack(engine()).astype(float) - np.stack(loop()).astype(float)) ** 2)
    psnr = float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
    return compare(lambda: _rate(engine, clock), lambda: _rate(loop, clock), blocks, tell), psnr


def clock_of(threads: int) -> Callable[[], float]:
    """With one thread this process's own CPU time, which other work on the machine hardly touches; with more the wall's."""
    return time.process_time if threads == 1 else time.perf_counter


def _rate(arm: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    arm()
    return PICTURES / (clock() - began)
