"""Reading a caller's picture in a child process: what comes in may be made to harm whoever decodes it."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import anyio.to_thread
import structlog

from contract.errors import InvalidImage, InvalidMask, UploadsBusy
from service.uploads import decode
from service.uploads.decode import BEGUN, Wish
from service.uploads.fork_server import ForkServer

log = structlog.get_logger("service")

Role = Literal["picture", "mask"]

OUT_SIDE_PX = 1024
"""The largest side that is drawn here; pictures are kept no larger."""
MIN_SIDE_PX = 16
# Measured: 25 megapixels need less than 384 MiB of address space as PNG or JPEG, and between 448 and 512 MiB as lossless WebP
# with transparency, which is the most.
MEMORY_BYTES = 640 * 2**20
CPU_SECONDS = 10
WALL_SECONDS = 60.0
BEGIN_SECONDS, PATIENCE_SECONDS = 15.0, 90.0
"""How long a child may take to begin, and then to answer; its own bounds end it before."""
ATTEMPTS = 2
RECEIVED_BYTES = 2**18


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
        self.server = ForkServer(Path(decode.__file__))

    async def read(self, data: bytes, role: Role, param: str, *, white_paints: bool = False) -> Reading:
        """Return what `data` shows. Raises InvalidImage or InvalidMask, which name `param`, and UploadsBusy."""
        wish = Wish(role, white_paints, self.max_pixels, MIN_SIDE_PX, OUT_SIDE_PX, MEMORY_BYTES, CPU_SECONDS, WALL_SECONDS)
        return await anyio.to_thread.run_sync(self.read_in_child, data, wish, param)

    def read_in_child(self, data: bytes, wish: Wish, param: str) -> Reading:
        """Return what `data` shows, read in a process of its own. Raises InvalidImage, InvalidMask, UploadsBusy."""
        if not data:
            raise InvalidImage(param, "it is empty")
        head, ended, rest = self._ask(data, wish).partition(b"\n")
        told = json.loads(head) if ended else None
        if told is None or len(rest) != sum(told["bytes"]):
            # Ended by its limits, or by what the file did to it. All children of a server share one layout of memory, of which
            # whoever sent it has learned something: the next ones get another.
            self.server.close()
            raise InvalidImage(param, "it cannot be read within the limits on time and memory")
        if "refused" in told:
            raise (InvalidMask if wish.role == "mask" else InvalidImage)(param, told["refused"])
        first, second = rest[: told["bytes"][0]], rest[told["bytes"][0] :]
        picture, mask = (None, first) if wish.role == "mask" else (first, second or None)
        return Reading(told["width"], told["height"], picture, mask)

    def close(self) -> None:
        """End the process that reads."""
        self.server.close()

    def _ask(self, data: bytes, wish: Wish) -> bytes:
        """A child's answer, or as much of it as there is. Raises UploadsBusy where no child can be had."""
        said = json.dumps(asdict(wish)).encode() + b"\n" + data
        for _ in range(ATTEMPTS):
            try:
                if (answer := _converse(self.server.connect(), said)) is not None:
                    return answer
            except OSError as error:
                log.warning("no process to read a picture in", reason=f"{type(error).__name__}: {error}")
            # It ended or is stuck before it had forked: the picture is not to blame.
            self.server.close()
        raise UploadsBusy


def _converse(child: socket.socket, said: bytes) -> bytes | None:
    """What a child answered, if only in part; None for one that never began."""
    answer = bytearray()
    with child:
        child.settimeout(BEGIN_SECONDS)
        try:
            if child.recv(len(BEGUN)) != BEGUN:
                return None
        except OSError:
            return None
        child.settimeout(PATIENCE_SECONDS)
        with contextlib.suppress(OSError):  # it may answer, or end, without having read all
            child.sendall(said)
            child.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while part := child.recv(RECEIVED_BYTES):
                answer += part
    return bytes(answer)
