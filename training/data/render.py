"""One picture of a package → straight-alpha RGBA pixels: SVG by resvg, WebP by Pillow."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from training.data.errors import SpriteBroken


def icon_svg(icon: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """A whole SVG for an iconify icon. The view box is padded to a square, the drawing centred: never stretched.

    `icon` and `defaults` (the icon set) may hold left, top, width and height, in user units; 16 is iconify's own default.
    """
    left, top = (float(icon.get(key, defaults.get(key, 0))) for key in ("left", "top"))
    width, height = (float(icon.get(key, defaults.get(key, 16))) for key in ("width", "height"))
    side = max(width, height)
    box = f"{left - (side - width) / 2:g} {top - (side - height) / 2:g} {side:g} {side:g}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="{side:g}" height="{side:g}">{icon["body"]}</svg>'
    )


def draw_svg(svg: str, size_px: int) -> NDArray[np.uint8]:
    """(4, size_px, size_px) uint8 RGBA with straight (not premultiplied) alpha. Raises SpriteBroken."""
    try:
        # No sprite holds text: system fonts would only cost time and make pixels depend on the machine.
        png = resvg_py.svg_to_bytes(svg_string=svg, width=size_px, height=size_px, skip_system_fonts=True)
    except ValueError as error:
        raise SpriteBroken(f"resvg refuses the drawing: {error}") from error
    with Image.open(io.BytesIO(bytes(png))) as picture:
        return _pixels(picture.convert("RGBA"), size_px)


def draw_webp(content: bytes, size_px: int) -> NDArray[np.uint8]:
    """(4, size_px, size_px) uint8 RGBA with straight alpha, of a WebP file. Raises SpriteBroken.

    Padded to a square, the picture centred, then resampled: never stretched.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as file:
            picture = file.convert("RGBA")
    except (OSError, EOFError) as error:
        raise SpriteBroken(f"no WebP picture: {error}") from error
    side = max(picture.size)
    square = Image.new("RGBA", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    # Pillow multiplies RGBA by its alpha before it resamples, and divides after: no hidden colour bleeds into the edges.
    return _pixels(square.resize((size_px, size_px), Image.Resampling.LANCZOS), size_px)


def _pixels(picture: Image.Image, size_px: int) -> NDArray[np.uint8]:
    pixels = np.asarray(picture, dtype=np.uint8)
    if pixels.shape != (size_px, size_px, 4):
        raise SpriteBroken(f"drawn as {pixels.shape}, wanted {(size_px, size_px, 4)}")
    # Colour under alpha 0 is never seen; zero it so that equal looks are equal bytes.
    return np.ascontiguousarray(np.where(pixels[..., 3:] == 0, 0, pixels).astype(np.uint8).transpose(2, 0, 1))
