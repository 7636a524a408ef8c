"""Files beside a job's pictures: the mask that was used, and its frames as one moving picture or strip."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from contract.spec import Animation, EditSpec, InterpolateSpec
from contract.store import CONTENT_TYPES
from workers.engine import Drawn, Picture
from workers.pictures import resized

FRAME_MILLISECONDS = 120
END_MILLISECONDS = 600
"""How long the first and the last frame stand."""


@dataclass(frozen=True, eq=False)
class Attachment:
    """One file to be made: a picture, or frames as an animation."""

    frames: Sequence[Picture]
    animation: Animation | None = None

    def encode(self, size_px: int) -> tuple[bytes, str, int, int]:
        """Return the file, its type, its width and its height. size_px: of each frame."""
        frames = [resized(frame, size_px) for frame in self.frames]
        width, height = size_px, size_px
        file = io.BytesIO()
        if self.animation is None:
            Image.fromarray(frames[0]).save(file, format="PNG")
        elif self.animation == "strip":
            width = size_px * len(frames)
            Image.fromarray(np.concatenate(frames, axis=1)).save(file, format="PNG")
        else:
            _save_moving([Image.fromarray(frame) for frame in frames], file, self.animation)
        kind = "png" if self.animation in (None, "strip") else self.animation
        return file.getvalue(), CONTENT_TYPES[kind], width, height


def attachments_of(drawn: Drawn) -> Mapping[str, Attachment]:
    """Return what is to be kept beside a job's pictures, by what it is."""
    found = {name: Attachment([pixels]) for product in drawn.products for name, pixels in product.attachments.items()}
    spec = drawn.order.spec
    if isinstance(spec, InterpolateSpec | EditSpec) and spec.animation is not None and len(drawn.products) > 1:
        found["animation"] = Attachment(drawn.pictures, spec.animation)
    return found


def _save_moving(frames: Sequence[Image.Image], file: io.BytesIO, animation: Animation) -> None:
    shown = [END_MILLISECONDS, *(FRAME_MILLISECONDS for _ in frames[2:]), END_MILLISECONDS]
    if animation == "gif":
        # One palette for all, or every frame would shimmer in its own.
        strip = Image.new("RGB", (frames[0].width * len(frames), frames[0].height))
        for number, frame in enumerate(frames):
            strip.paste(frame, (number * frame.width, 0))
        palette = strip.quantize(256, dither=Image.Dither.NONE)
        frames = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    first, *others = frames
    options = {"quality": 90, "method": 2} if animation == "webp" else {"optimize": False}
    first.save(file, format=animation.upper(), save_all=True, append_images=others, duration=shown, loop=0, **options)
