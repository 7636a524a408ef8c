"""Pixels on their way to disk: one sprite in memory at a time, and a file that is there whole or not at all."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Append = Callable[[NDArray[np.uint8]], None]


@contextmanager
def pixel_file(path: Path, size_px: int, most: int) -> Iterator[Append]:
    """Gives `append(sprite)`; on leaving, `path` is a safetensors file with `pixels`, uint8 (N, 4, size_px, size_px).

    sprite: uint8 (4, size_px, size_px). most: bound of N, which is known only at the end. safetensors' own `save_file`
    wants all N in memory, a gigabyte for one style.
    """
    header_bytes = len(_header(most, size_px))
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:

            def append(sprite: NDArray[np.uint8]) -> None:
                file.write(sprite.tobytes())

            start = file.seek(8 + header_bytes)
            yield append
            sprites = (file.tell() - start) // (4 * size_px * size_px)
            file.seek(0)
            file.write(header_bytes.to_bytes(8, "little") + _header(sprites, size_px).ljust(header_bytes))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _header(sprites: int, size_px: int) -> bytes:
    shape = [sprites, 4, size_px, size_px]
    tensor = {"dtype": "U8", "shape": shape, "data_offsets": [0, sprites * 4 * size_px * size_px]}
    header = json.dumps({"pixels": tensor}, separators=(",", ":")).encode()
    return header.ljust(-(-len(header) // 8) * 8)  # Data begin at a multiple of 8 bytes; blanks are the format's padding.
