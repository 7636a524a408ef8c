"""Pictures side by side with their prompts under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

FRAME_PX, GAP_PX, FONT_PX = 3, 4, 11
RIGHT, WRONG = (0, 150, 70), (215, 40, 40)


@dataclass(frozen=True)
class Cell:
    """A picture (S, S, 3), what stands under it, and whether it was found right; None: not judged."""

    pixels: NDArray[np.uint8]
    label: str
    is_right: bool | None = None


def grid(cells: Sequence[Cell], *, columns: int = 10, cell_px: int = 96, label_lines: int = 2) -> Image.Image:
    """All cells in reading order; judged ones are framed green where right and red where wrong."""
    font = ImageFont.load_default(size=FONT_PX)
    inner = cell_px + 2 * FRAME_PX
    width, height = inner + GAP_PX, inner + GAP_PX + label_lines * (FONT_PX + 2)
    sheet = Image.new("RGB", (columns * width, -(-len(cells) // columns) * height), "white")
    pen = ImageDraw.Draw(sheet)
    letters = int(cell_px / font.getlength("n"))
    for index, cell in enumerate(cells):
        x, y = index % columns * width + GAP_PX // 2, index // columns * height + GAP_PX // 2
        if cell.is_right is not None:
            pen.rectangle((x, y, x + inner - 1, y + inner - 1), outline=RIGHT if cell.is_right else WRONG, width=FRAME_PX)
        resample = Image.Resampling.LANCZOS if cell.pixels.shape[0] > cell_px else Image.Resampling.NEAREST
        picture = Image.fromarray(cell.pixels).resize((cell_px, cell_px), resample)
        sheet.paste(picture, (x + FRAME_PX, y + FRAME_PX))
        lines = wrap(cell.label, letters + letters // 6, max_lines=label_lines, placeholder=" …")
        pen.multiline_text((x + FRAME_PX, y + inner), "\n".join(lines), fill="black", font=font, spacing=2)
    return sheet
