"""Pictures between files and pixels, as operations need them: read, bring to a size, put on a canvas, mask."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from workers.engine import CannotDraw, Picture

Mask = npt.NDArray[np.bool_]
WHITE = 128
"""From this brightness on a mask says: paint here."""


def read_picture(data: bytes) -> Picture:
    """Return a stored file's pixels, (H, W, 3), upright, over white where it is transparent. Raises CannotDraw."""
    image = _opened(data, "picture")
    if image.mode in ("RGBA", "LA", "PA", "P", "La", "RGBa"):
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def read_mask(data: bytes, shape: tuple[int, ...]) -> Mask:
    """Return a stored mask, (H, W), True where it is white. shape: of the picture that it must fit. Raises CannotDraw."""
    mask = np.asarray(_opened(data, "mask").convert("L")) >= WHITE
    if mask.shape != tuple(shape[:2]):
        theirs, ours = (f"{size[1]}×{size[0]}" for size in (mask.shape, shape))
        raise CannotDraw(f"the mask is {theirs} and the picture {ours}; they must be of one size", "invalid_mask")
    return mask


def box_mask(boxes: tuple[tuple[float, float, float, float], ...], side: int) -> Mask:
    """Return (side, side), True inside the boxes: left, top, right and bottom as shares. An empty box paints nothing."""
    mask = np.zeros((side, side), dtype=np.bool_)
    for left, top, right, bottom in boxes:
        # Whatever pixel a box touches is painted.
        down, across = (slice(int(low * side), int(np.ceil(high * side))) for low, high in ((top, bottom), (left, right)))
        mask[down, across] = True
    return mask


def resized(picture: Picture, side: int) -> Picture:
    """Return a square picture at another side: smaller by area, which is exact for whole factors; larger by Lanczos."""
    image = Image.fromarray(picture)
    if image.size == (side, side):
        return picture
    way = Image.Resampling.BOX if image.width > side else Image.Resampling.LANCZOS
    return np.asarray(image.resize((side, side), way))


def resized_mask(mask: Mask, side: int) -> Mask:
    """Return a mask at another side; a pixel of which any part is to be painted is painted whole."""
    if mask.shape == (side, side):
        return mask
    edges = np.arange(side + 1) * mask.shape[0] / side
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    rows = np.stack([mask[top:bottom].any(axis=0) for top, bottom in zip(first, last, strict=True)])
    return np.stack([rows[:, left:right].any(axis=1) for left, right in zip(first, last, strict=True)], axis=1)


def on_canvas(picture: Picture, mask: Mask, side: int, canvas: float) -> tuple[Picture, Mask]:
    """Return picture and mask at `side`, in the middle of a canvas so much larger, whose rest is to be painted."""
    inner = max(1, round(side / canvas))
    start = (side - inner) // 2
    inside = slice(start, start + inner)
    whole, painted = np.full((side, side, 3), 255, dtype=np.uint8), np.ones((side, side), dtype=np.bool_)
    whole[inside, inside], painted[inside, inside] = resized(picture, inner), resized_mask(mask, inner)
    return whole, painted


def mask_picture(mask: Mask) -> Picture:
    """Return a mask as a picture: white where it is painted."""
    return np.repeat(np.where(mask, np.uint8(255), np.uint8(0))[..., None], 3, axis=2)


def _opened(data: bytes, what: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CannotDraw(f"the {what} cannot be read: {error}", "invalid_image") from error
