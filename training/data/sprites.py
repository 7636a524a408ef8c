"""The sprites of one style as `build` left them: names and labels in memory, pixels mapped from disk."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import interpolate

from training.data.errors import DataMissing, ObjectUnknown
from training.data.labels import SpriteInfo

WHITE = (1.0, 1.0, 1.0)


class SpriteSet:
    """N sprites of one style.

    infos: N `SpriteInfo`s. pixels: uint8 (N, 4, S, S), straight alpha, paged in from disk as it is read.
    """

    def __init__(self, infos: Sequence[SpriteInfo], pixels: Tensor) -> None:
        self.infos = tuple(infos)
        self.pixels = pixels

    @classmethod
    def load(cls, folder: Path, style: str) -> "SpriteSet":
        """The sprites of `style` in a folder that `build` made. Raises DataMissing."""
        names, pixels = folder / f"sprites-{style}.json", folder / f"sprites-{style}.safetensors"
        if not (names.is_file() and pixels.is_file()):
            raise DataMissing(folder, f"style {style!r}")
        infos = [SpriteInfo.of_json(value) for value in json.loads(names.read_text(encoding="utf-8"))]
        with safe_open(pixels, framework="pt") as file:
            return cls(infos, file.get_tensor("pixels"))

    def __len__(self) -> int:
        return len(self.infos)

    @property
    def names(self) -> tuple[str, ...]:
        """The icons' names, unique within the style: "red-apple"."""
        return tuple(info.name for info in self.infos)

    @property
    def labels(self) -> tuple[str, ...]:
        """What one would say: "red apple". Not unique."""
        return tuple(info.label for info in self.infos)

    @property
    def tags(self) -> tuple[tuple[str, ...], ...]:
        """Words that lead to the sprite in an emoji picker. Not synonyms: red apple has "diet"."""
        return tuple(info.tags for info in self.infos)

    @cached_property
    def _places(self) -> dict[str, int]:
        places = {also: index for index, info in enumerate(self.infos) for also in info.also}
        return places | {info.name: index for index, info in enumerate(self.infos)}

    def index(self, name: str) -> int:
        """The place of the sprite called `name`, in words or with dashes. Raises ObjectUnknown."""
        try:
            return self._places[name.replace(" ", "-")]
        except KeyError:
            style = self.infos[0].style if self.infos else "?"
            raise ObjectUnknown(name, style) from None

    def premultiplied(self, indices: Sequence[int] | Tensor, size_px: int) -> Tensor:
        """(B, 4, size_px, size_px) float32 in [0, 1], colours multiplied by alpha: the form in which sprites may be resampled.

        Averaging straight colours would let the hidden colour of transparent pixels bleed into the edges.
        """
        rgba = self.pixels[torch.as_tensor(indices, dtype=torch.long)].float() / 255
        rgba[:, :3] *= rgba[:, 3:]
        if rgba.shape[-1] == size_px:
            return rgba
        if rgba.shape[-1] > size_px:
            return interpolate(rgba, size=(size_px, size_px), mode="area")
        return interpolate(rgba, size=(size_px, size_px), mode="bilinear", align_corners=False)

    def composited(self, indices: Sequence[int] | Tensor, size_px: int, background: Sequence[float] | Tensor = WHITE) -> Tensor:
        """(B, 3, size_px, size_px) float32 in [-1, 1]: the sprites over a plain background (Porter and Duff 1984, "over").

        background: (3,) for all or (B, 3) for each, in [0, 1]. Blended in sRGB values, as browsers draw emoji.
        """
        sprite = self.premultiplied(indices, size_px)
        colour = torch.as_tensor(background, dtype=torch.float32).reshape(-1, 3, 1, 1)
        return (sprite[:, :3] + (1 - sprite[:, 3:]) * colour) * 2 - 1
