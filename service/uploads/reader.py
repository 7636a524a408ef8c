"""Reading a caller's picture in a child process: what comes in may be made to harm whoever decodes it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import anyio.to_thread

from contract.errors import InvalidImage, InvalidMask
from service.uploads import decode
from service.uploads.decode import Wish

Role = Literal["picture", "mask"]

OUT_SIDE_PX = 1024
"""The largest side that is drawn here; pictures are kept no larger."""
MIN_SIDE_PX = 16
# Measured: 25 megapixels need less than 384 MiB of address space as PNG or JPEG, and between 448 and 512 MiB as lossless WebP
# with transparency, which is the most.
MEMORY_BYTES = 640 * 2**20
CPU_SECONDS = 10
WALL_SECONDS = 60.0


@dataclass(frozen=True)
class Reading:
    """A caller's picture as it was read.

    `width`, `height`: of the file, upright. `picture`: PNG, a square of 8-bit sRGB; None where a mask alone was asked for.
    `mask`: PNG, white where it is to be painted anew; None for a picture that is opaque.
    """

    width: int
    height: int
    picture: bytes | None
    mask: bytes | None


class PictureReader:
    """Reads pictures, each in a process of its own; how many at a time is its caller's to say (`Lines`)."""

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels

    async def read(self, data: bytes, role: Role, param: str, *, white_paints: bool = False) -> Reading:
        """Return what `data` shows. Raises InvalidImage, which names `param`."""
        wish = Wish(role, white_paints, self.max_pixels, MIN_SIDE_PX, OUT_SIDE_PX, MEMORY_BYTES, CPU_SECONDS)
        return await anyio.to_thread.run_sync(read_in_child, data, wish, param)


def read_in_child(data: bytes, wish: Wish, param: str) -> Reading:
    """Return what `data` shows, read in a process of its own. Raises InvalidImage."""
    if not data:
        raise InvalidImage(param, "it is empty")
    # Isolated and without our environment: the child needs Pillow alone, and knows no secret.
    command = [sys.executable, "-I", str(Path(decode.__file__)), json.dumps(asdict(wish))]
    try:
        done = subprocess.run(command, input=data, capture_output=True, env={}, timeout=WALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise InvalidImage(param, "it takes too long to read") from None
    head, _, rest = done.stdout.partition(b"\n")
    if done.returncode != 0 or not head:
        # Killed by its limits, or by what the file did to it.
        raise InvalidImage(param, "it cannot be read within the limits on time and memory")
    told = json.loads(head)
    if "refused" in told:
        raise (InvalidMask if wish.role == "mask" else InvalidImage)(param, told["refused"])
    first, second = rest[: told["bytes"][0]], rest[told["bytes"][0] :]
    picture, mask = (None, first) if wish.role == "mask" else (first, second or None)
    return Reading(told["width"], told["height"], picture, mask)
