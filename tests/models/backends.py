"""Which CPU backends can run here."""

from __future__ import annotations

import pytest


def skip_without(backend: str) -> None:
    """Skip the test where the package is missing, or the processor does not compute in what the backend wants."""
    if backend == "torch":
        return
    openvino = pytest.importorskip("openvino")
    if backend == "openvino_bf16" and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor does not compute in bfloat16")
