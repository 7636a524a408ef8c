"""Reads safetensors files with numpy alone: eight bytes of length, a JSON header, then the numbers.

The library for it would do; but where there is no torch, this page is all that is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DTYPES: Mapping[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I8": np.dtype("i1")}
LONGEST_HEADER_BYTES = 2**24

Array = npt.NDArray[np.generic]


def read_tensors(path: Path) -> dict[str, Array]:
    """Return the file's tensors by name, as views of its bytes. Raises OSError, or ValueError for what is not such a file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= min(LONGEST_HEADER_BYTES, len(data) - 8):
        raise ValueError(f"{path} is not a safetensors file")
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    tensors: dict[str, Array] = {}
    for name, told in header.items():
        if name == "__metadata__":
            continue
        if told["dtype"] not in DTYPES:
            raise ValueError(f"{path}: {name} is {told['dtype']}; only {', '.join(DTYPES)} are read here")
        start, end = told["data_offsets"]
        tensors[name] = np.frombuffer(body[start:end], DTYPES[told["dtype"]]).reshape(told["shape"])
    return tensors
