"""`unclip calibrate`: measure this machine once, so that its worker knows how many rows fit in a call and what they cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from contract.settings import Settings


def calibrate(settings: Settings, console: Console) -> Path:
    """Measure every stage of the model that the settings name, on their device; returns the file written. Raises ModelError."""
    from rich.table import Table

    from contract.catalog import read_model_info
    from workers.calibration import Calibration, write_calibration
    from workers.cascade import device_of, load_cascade, setup_of
    from workers.measure import CPU_SIZES, CUDA_SIZES, CpuMemory, CudaMemory, measure

    info = read_model_info(settings.model_folder)
    cascade = load_cascade(settings)
    device = device_of(settings)
    is_cuda = device.startswith("cuda")
    memory = CudaMemory(device) if is_cuda else CpuMemory()
    setup, free_bytes = setup_of(settings), memory.free_bytes()
    console.print(f"{info.name} on {setup.device}, {setup.threads} threads; a minute or two", highlight=False)
    points = measure(
        cascade, info.defaults, CUDA_SIZES if is_cuda else CPU_SIZES, memory,
        tell=lambda stage, point: console.print(f"[dim]{stage}, {point.rows} rows: {1000 * point.seconds:.1f} ms[/dim]"),
    )  # fmt: skip
    found = Calibration(setup=setup, measured_at=datetime.now(UTC), free_bytes=free_bytes, points=points)
    table = Table("stage", "rows in a call", "ms a row", "MiB a call", "most rows")
    for stage, ceiling in found.ceilings.items():
        for point in points[stage]:
            is_best = point.rows == ceiling
            per_row = f"{1000 * point.seconds / point.rows:.1f}"
            mebibytes = f"{point.peak_bytes / 2**20:.0f}"
            table.add_row(stage, str(point.rows), per_row, mebibytes, str(ceiling) if is_best else "")
    console.print(table)
    return write_calibration(settings.data_dir, found)
