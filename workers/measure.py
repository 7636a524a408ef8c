"""Measuring what a call costs, stage by stage: the work behind `unclip calibrate`."""

from __future__ import annotations

import copy
import io
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

from contract.catalog import ModelDefaults
from contract.spec import EncodeSpec, GenerateSpec, ImageSource
from workers.calibration import Point
from workers.calls import is_out_of_memory
from workers.engine import DONE, AnyRow, CannotDraw, Order, Stages

CUDA_SIZES, CPU_SIZES = (1, 2, 4, 8, 16, 32), (1, 2, 4)
REPEATS = 5
MOST_SECONDS = 2.0
"""No larger calls are tried than one that takes this long: nobody wants to wait for them."""
WAYS = tuple(itertools.product(("diffusion", "autoregressive"), ("base", "turbo"), ("256x256", "1024x1024")))
"""Prior, decoder and size of jobs that generate."""


class Memory(Protocol):
    """Watches the memory of one device."""

    def free_bytes(self) -> int:
        """Return what is free now; 0 where that cannot be told."""
        ...

    def restart(self) -> None:
        """Begin to look for a peak."""
        ...

    def peak_bytes(self) -> int:
        """Return how far above the last restart the peak was; 0 where that cannot be told."""
        ...


class CpuMemory:
    """The memory of this process, as Linux tells it; elsewhere nothing is known."""

    def __init__(self) -> None:
        self._before = 0

    def free_bytes(self) -> int:
        """Return the machine's free pages."""
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):
            return 0

    def restart(self) -> None:
        """Set the kernel's high-water mark back to what is in use."""
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return
        self._before = self._status("VmRSS")

    def peak_bytes(self) -> int:
        """Return the high-water mark above what was in use."""
        return max(0, self._status("VmHWM") - self._before) if self._before else 0

    @staticmethod
    def _status(field: str) -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        return 0


class CudaMemory:
    """The memory of one GPU, as torch's allocator tells it."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._before = 0

    def free_bytes(self) -> int:
        """Return what nobody has taken, and what torch keeps for later."""
        import torch

        free, _ = torch.cuda.mem_get_info(self._device)
        return int(free + torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device))

    def restart(self) -> None:
        """Begin to look for a peak."""
        import torch

        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)

    def peak_bytes(self) -> int:
        """Return the peak above what was allocated."""
        import torch

        return int(torch.cuda.max_memory_allocated(self._device) - self._before)


def measure(
    cascade: Stages[AnyRow],
    defaults: ModelDefaults,
    sizes: Sequence[int],
    memory: Memory,
    tell: Callable[[str, Point], None] = lambda stage, point: None,
) -> Mapping[str, Sequence[Point]]:
    """Measure calls of `sizes` rows in every stage of a cascade; of a stage that runs out of memory, those that fit."""
    points: dict[str, list[Point]] = {}
    for name, stage in cascade.stages.items():
        row = stand_in(cascade, name, defaults)
        if row is None:
            continue
        points[name] = []
        for rows in sizes:
            try:
                point = measure_call(stage.run, row, rows, memory)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                break
            points[name].append(point)
            tell(name, point)
            if point.seconds > MOST_SECONDS:
                break
        cascade.relieve()
    return points


def measure_call(run: Callable[[Sequence[AnyRow]], None], row: AnyRow, rows: int, memory: Memory) -> Point:
    """Measure calls of so many rows, each like `row`: a first that does not count, then the median of some."""
    run([copy.copy(row) for _ in range(rows)])  # stages put new tensors in a row's place and change none
    seconds = []
    memory.restart()
    for _ in range(REPEATS):
        copies = [copy.copy(row) for _ in range(rows)]
        began = time.perf_counter()
        run(copies)
        seconds.append(time.perf_counter() - began)
    return Point(rows=rows, seconds=statistics.median(seconds), peak_bytes=memory.peak_bytes())


def stand_in(cascade: Stages[AnyRow], stage: str, defaults: ModelDefaults) -> AnyRow | None:
    """Return a row that waits for its first step in a stage; None where no job that this model can draw passes it."""
    for order in orders(defaults):
        try:
            row = cascade.admit(order, 0)
        except CannotDraw:
            continue
        while row.stage not in (stage, DONE):
            cascade.stages[row.stage].run([row])
        if row.stage == stage:
            return row
    return None


def orders(defaults: ModelDefaults) -> Iterator[Order]:
    """Yield jobs of a few steps which between them pass every stage that there is."""
    common = {
        "model": "calibration", "seed": 0, "steps": 2, "guidance_scale": defaults.guidance_scale, "upsample_steps": 2,
    }  # fmt: skip
    of_prior = {"prior_steps": 2, "prior_guidance_scale": defaults.prior_guidance_scale, "prompt": "a red apple on a table"}
    for prior, decoder, size in WAYS:
        fields = common | of_prior | {"prior": prior, "decoder": decoder, "size": size}
        yield Order("calibration", GenerateSpec.model_validate(fields), float("inf"))
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "gray").save(file, "PNG")
    picture = ImageSource(id="up_calibration")
    spec = EncodeSpec.model_validate(common | {"source": picture, "inversion_steps": 2, "size": "256x256"})
    yield Order("calibration", spec, float("inf"), inputs={picture.id: file.getvalue()})
