"""The machine that a table was measured on."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import torch

MATRIX_SIDE, PRODUCTS = 1024, 8


def describe() -> str:
    """One line: processor, cores, torch, the rate of a matrix product, and what else the machine was doing."""
    return (
        f"{processor()}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}, Python {platform.python_version()}; "
        f"fp32 matrix product {matrix_gflops():.0f} GFLOP/s on {torch.get_num_threads()} threads; load {os.getloadavg()[0]:.1f}"
    )


def processor() -> str:
    """The processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def matrix_gflops() -> float:
    """The best rate of some products of square matrices, in GFLOP/s; a multiply-add is two."""
    a = torch.randn(MATRIX_SIDE, MATRIX_SIDE)
    best = float("inf")
    for _ in range(PRODUCTS):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * MATRIX_SIDE**3 / best / 1e9
