"""Pixels on their way to disk: one picture in memory at a time, and a file that is there whole or not at all."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Append = Callable[[NDArray[np.uint8]], None]


@contextmanager
def pixel_file(path: Path, size_px: int, most: int = 10**9, channels: int = 4) -> Iterator[Append]:
    """Gives `append(picture)`; on leaving, `path` is a safetensors file with `pixels`, uint8 (N, channels, size_px, size_px).

    picture: uint8 (channels, size_px, size_px). most: bound of N, which is known only at the end. safetensors' own `save_file`
    wants all N in memory, a gigabyte for one style.
    """
    header_bytes = len(_header(most, channels, size_px))
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:

            def append(picture: NDArray[np.uint8]) -> None:
                file.write(picture.tobytes())

            start = file.seek(8 + header_bytes)
            yield append
            pictures = (file.tell() - start) // (channels * size_px * size_px)
            file.seek(0)
            file.write(header_bytes.to_bytes(8, "little") + _header(pictures, channels, size_px).ljust(header_bytes))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _header(pictures: int, channels: int, size_px: int) -> bytes:
    shape = [pictures, channels, size_px, size_px]
    tensor = {"dtype": "U8", "shape": shape, "data_offsets": [0, prod(shape)]}
    header = json.dumps({"pixels": tensor}, separators=(",", ":")).encode()
    return header.ljust(-(-len(header) // 8) * 8)  # Data begin at a multiple of 8 bytes; blanks are the format's padding.
