"""Pictures as callers send them, good and bad, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageCms

RED, GREEN, BLUE = (220, 20, 30), (20, 180, 40), (30, 40, 210)


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(mode: str = "RGB", side: int = 64) -> Image.Image:
    """Left half red, right half green."""
    image = Image.new("RGB", (side, side), GREEN)
    image.paste(RED, (0, 0, side // 2, side))
    return image.convert(mode)


def hole(side: int = 64, alpha: int = 0) -> Image.Image:
    """Blue, its left half transparent."""
    image = Image.new("RGBA", (side, side), (*BLUE, 255))
    image.paste((*BLUE, alpha), (0, 0, side // 2, side))
    return image


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, whatever they say."""
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


def pixels_bomb(side: int = 50_000) -> bytes:
    """A few kilobytes that say they are a picture of gigabytes."""
    return png(header(side, side), (b"IDAT", zlib.compress(b"\0" * 10**6, 9)), (b"IEND", b""))


def text_bomb() -> bytes:
    """A small picture with a note that unpacks to 200 MB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b"\0" * 2**20) for _ in range(200)) + packer.flush()
    rows = zlib.compress(b"".join(b"\0" + bytes(64 * 3) for _ in range(64)))
    return png(header(64, 64), (b"zTXt", b"Comment\0\0" + packed), (b"IDAT", rows), (b"IEND", b""))


def profile_bomb() -> bytes:
    """The same with a colour profile."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b"\0" * 2**20) for _ in range(200)) + packer.flush()
    rows = zlib.compress(b"".join(b"\0" + bytes(RED) * 64 for _ in range(64)))
    return png(header(64, 64), (b"iCCP", b"icc\0\0" + packed), (b"IDAT", rows), (b"IEND", b""))


def many_frames(count: int = 10_000) -> bytes:
    """An animated PNG of as many frames, each a single pixel on a red picture."""
    rows = zlib.compress(b"".join(b"\0" + bytes(RED) * 64 for _ in range(64)))
    dot = zlib.compress(b"\0" + bytes(BLUE))

    def control(number: int, width: int, height: int) -> tuple[bytes, bytes]:
        return b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, 1, 10, 0, 0)

    frames: list[tuple[bytes, bytes]] = [control(0, 64, 64), (b"IDAT", rows)]
    for index in range(1, count):
        frames += [control(2 * index - 1, 1, 1), (b"fdAT", struct.pack(">I", 2 * index) + dot)]
    return png(header(64, 64), (b"acTL", struct.pack(">II", count, 0)), *frames, (b"IEND", b""))


def grey_16_bits() -> bytes:
    """Half of full white, which is 128 of 255; cut off at 8 bits it would be white."""
    return file_of(Image.fromarray(np.full((64, 64), 0x8000, dtype=np.uint16)))


def wide_colour() -> bytes:
    """A picture whose numbers mean linear light, as its profile says: 55 there is 128 in sRGB, roughly."""
    return file_of(Image.new("RGB", (64, 64), (55, 55, 55)), icc_profile=_linear_profile())


def _linear_profile() -> bytes:
    """The profile of sRGB with its curves made straight."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for index in range(count):
        kind, offset, size = struct.unpack(">4sII", profile[132 + 12 * index : 144 + 12 * index])
        if kind in (b"rTRC", b"gTRC", b"bTRC"):
            # A parametric curve of type 0, y = x ** 1.0.
            curve = struct.pack(">4sIHHi", b"para", 0, 0, 0, 65536)
            profile[offset : offset + size] = curve + bytes(size - len(curve))
    return bytes(profile)
