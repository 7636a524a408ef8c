"""The process that reads callers' pictures, each in a child of its own within bounds. Nothing of ours is imported here.

It has Pillow loaded and forks a child for every connection that it is handed; starting Python and importing Pillow would cost
more than most pictures do. On its command line: the descriptor of a Unix socket, on which each byte brings a connection
(SCM_RIGHTS). A child first says `BEGUN`. It reads a line of JSON, how to read the file (`Wish`), and the file, up to its end.
It answers a line of JSON (why not, or sizes), and the pictures it speaks of, PNG: a square of 8-bit sRGB, and if the picture
is transparent somewhere, a mask, white there. An answer that is missing or cut: the child met one of its bounds.
"""

from __future__ import annotations

# ruff: noqa: E402
import os

BEHIND_OTHERS = 5
"""By so much this process and its children are nicer to everybody than the API is."""
if __name__ == "__main__":
    # Before the imports, which are most of what a start costs.
    os.nice(BEHIND_OTHERS)

import contextlib
import gc
import io
import json
import resource
import signal
import socket
import sys
import warnings
from dataclasses import dataclass

# The formats are imported here, or each child would look for them anew.
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin

FORMATS = (PngImagePlugin.PngImageFile.format, JpegImagePlugin.JpegImageFile.format, WebPImagePlugin.WebPImageFile.format)
BEGUN = b"+"
HALF = 128
PNG_COMPRESS_LEVEL = 1


@dataclass(frozen=True)
class Wish:
    """How a picture is to be read.

    `role`: `picture` lays what is transparent on white, and gives a mask of it beside; `mask` gives a mask alone, and
    `white_paints` says that it is the white that counts, not the transparent. Sides and pixels bound what is taken;
    `out_side_px` is the side above which the result is shrunk. `memory_bytes`, `cpu_seconds`, `wall_seconds`: of the whole
    child.
    """

    role: str
    white_paints: bool
    max_pixels: int
    min_side_px: int
    out_side_px: int
    memory_bytes: int
    cpu_seconds: int
    wall_seconds: float


class Refused(Exception):
    """The file is not a picture that can be taken; the words say why, to whoever sent it."""


def main() -> None:
    """Fork a child for each connection that comes, until nobody is left who could hand one over."""
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, signal.SIG_IGN)  # it is for the API, whose end is this process's too
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The system forgets children that have ended.
    Image.preinit()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        while True:
            byte, connections, *_ = socket.recv_fds(parent, 1, 1)
            if not byte:
                return
            for connection in connections:
                if os.fork() == 0:
                    parent.close()
                    try:
                        serve(connection)
                    finally:
                        os._exit(0)
                os.close(connection)


def serve(connection: int) -> None:
    """Read one picture, within bounds, for whoever is at the other end of a connection."""
    with socket.socket(fileno=connection) as caller, caller.makefile("rwb") as lines:
        caller.sendall(BEGUN)
        wish = Wish(**json.loads(lines.readline()))
        confine(wish)
        head, files = answer(lines.read(), wish)
        lines.write(json.dumps({**head, "bytes": [len(file) for file in files]}).encode() + b"\n" + b"".join(files))


def answer(data: bytes, wish: Wish) -> tuple[dict[str, object], list[bytes]]:
    """Return what `read` returns, or why the file is refused."""
    try:
        return read(data, wish)
    except Refused as refused:
        return {"refused": str(refused)}, []
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        return {"refused": f"it has more than {wish.max_pixels} pixels, or needs too much memory"}, []
    except Exception:  # Whatever a broken file brings a decoder to: it is broken.
        return {"refused": "it is damaged"}, []


def confine(wish: Wish) -> None:
    """Bound this process: memory, time, no files, no children."""
    signal.setitimer(signal.ITIMER_REAL, wish.wall_seconds)
    for what, limit in (
        (resource.RLIMIT_AS, wish.memory_bytes),
        (resource.RLIMIT_CPU, wish.cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 16),
    ):
        resource.setrlimit(what, (limit, limit))
    Image.MAX_IMAGE_PIXELS = wish.max_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def read(data: bytes, wish: Wish) -> tuple[dict[str, object], list[bytes]]:
    """Return what is to be told of the picture, and the files made of it. Raises Refused, or whatever Pillow does."""
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Refused("it is not a PNG, JPEG or WebP picture") from None
    width, height = image.size
    if width * height > wish.max_pixels:
        raise Refused(f"it has {width}x{height} pixels; at most {wish.max_pixels} are accepted")
    if min(width, height) < wish.min_side_px:
        raise Refused(f"it has {width}x{height} pixels; at least {wish.min_side_px} a side are needed")
    told: dict[str, object] = {"format": image.format, "width": width, "height": height}
    if _is_turned(image):
        told |= {"width": height, "height": width}
    # JPEG: decoded at an eighth, a quarter or a half of its size, where that is enough.
    image.draft(None, (wish.out_side_px, wish.out_side_px))
    image.load()
    square = _square(_plain(image), wish.out_side_px)
    square.info = image.info
    upright = _upright(_to_srgb(square), image)
    alpha = upright.getchannel("A") if upright.mode == "RGBA" else None
    mask = None if alpha is None else alpha.point(_clear)
    if wish.role == "mask":
        mask = upright.convert("L").point(_half) if wish.white_paints else mask
        if mask is None:
            raise Refused("it has no transparency, and the transparent part is what is painted anew")
        if mask.getextrema() == (0, 0):
            raise Refused("it marks nothing: no part of it would be painted anew")
        return told, [_png(mask)]
    if alpha is None or mask is None:
        return told, [_png(upright)]
    flat = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    is_masked = mask.getextrema() != (0, 0)
    return told, [_png(flat), *([_png(mask)] if is_masked else [])]


def _plain(image: Image.Image) -> Image.Image:
    """Return the picture in a mode that can be resampled: 8 bits a channel, no palette, transparency as a channel."""
    if image.mode.startswith("I"):
        # 16 bits of grey: Pillow's own conversion cuts them off instead of scaling them.
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in ("1", "F"):
        return image.convert("L")
    if image.has_transparency_data and image.mode != "RGBA":
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode == "P" else image


def _square(image: Image.Image, out_side_px: int) -> Image.Image:
    """Return the middle of the picture, shrunk to `out_side_px` if it is larger."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    out = min(side, out_side_px)
    return image.resize((out, out), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side), reducing_gap=3)


def _to_srgb(image: Image.Image) -> Image.Image:
    """Return the picture in sRGB by its colour profile; one that does not fit the picture is not followed."""
    wanted = "RGBA" if "A" in image.getbands() else "RGB"
    profile = image.info.get("icc_profile")
    # LA has no place in the colour engine; grey profiles differ from sRGB by their curve alone.
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode=wanted)
            if converted is not None:
                return converted
    return image.convert(wanted)


def _is_turned(image: Image.Image) -> bool:
    return _orientation(image) in (5, 6, 7, 8)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # EXIF is written by everything and everybody.
        return 1


def _upright(image: Image.Image, original: Image.Image) -> Image.Image:
    image.getexif()[0x0112] = _orientation(original)
    turned = ImageOps.exif_transpose(image)
    return image if turned is None else turned


def _half(value: int) -> int:
    return 255 if value >= HALF else 0


def _clear(value: int) -> int:
    return 255 if value < HALF else 0


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.info = {}
    image.save(file, format="PNG", compress_level=PNG_COMPRESS_LEVEL)
    return file.getvalue()


if __name__ == "__main__":
    main()
