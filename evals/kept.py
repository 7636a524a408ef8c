"""What was drawn once is kept: a file each, named by all that decides it, so that a stopped measurement goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.checkpoint import MANIFEST
from models.errors import ModelError

Picture = NDArray[np.uint8]
TOGETHER = 4
"""Pictures drawn in one call: two thirds of the time on a CPU, and a pixel differs from a single one's by one at most."""


class Kept:
    """Pictures, (S, S, 3), and other files of one model, in a folder. manifest: sha256 of the model's manifest."""

    def __init__(self, model_dir: Path, folder: Path) -> None:
        """Raises ModelError where the model's folder has no manifest."""
        self.folder = folder
        try:
            self.manifest = hashlib.sha256((model_dir / MANIFEST).read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"{model_dir / MANIFEST} cannot be read: {error.strerror}") from error

    def picture(self, told: Any, make: Callable[[], Picture]) -> Picture:
        """The picture that `told`, plain JSON values, decides; made only where it is not there yet."""
        place = self._place(told, "png")
        if not place.is_file():
            image = Image.fromarray(make())
            _put(place, lambda file: image.save(file, format="PNG"))
        with Image.open(place) as image:
            return np.array(image.convert("RGB"))

    def has(self, told: Any, ending: str = "png") -> bool:
        """Whether that picture is there, or those bytes, which end in `bin`."""
        return self._place(told, ending).is_file()

    def data(self, told: Any, make: Callable[[], bytes]) -> bytes:
        """The bytes that `told` decides."""
        place = self._place(told, "bin")
        if not place.is_file():
            made = make()
            _put(place, lambda file: file.write_bytes(made))
        return place.read_bytes()

    def pictures(
        self, tolds: Sequence[Any], make: Callable[[Sequence[int]], Sequence[Picture]], show: Callable[[int], None]
    ) -> list[Picture]:
        """The pictures that each of `tolds` decides. make: from some numbers of those that are not there to their pictures,
        `TOGETHER` at a time. show: told how many are there."""
        missing = [number for number, told in enumerate(tolds) if not self.has(told)]
        for start in range(0, len(missing), TOGETHER):
            part = missing[start : start + TOGETHER]
            for number, pixels in zip(part, make(part), strict=True):
                self.picture(tolds[number], lambda pixels=pixels: pixels)  # type: ignore[misc]
            show(len(tolds) - len(missing) + start + len(part))
        return [self.picture(told, _nothing) for told in tolds]

    def _place(self, told: Any, ending: str) -> Path:
        said = json.dumps([self.manifest, told], sort_keys=True)
        return self.folder / f"{hashlib.sha256(said.encode()).hexdigest()[:32]}.{ending}"


def _nothing() -> Picture:
    raise AssertionError("a picture that was kept is gone")


def digest(*pictures: NDArray[Any]) -> str:
    """What stands for pictures and masks among what decides a file."""
    told = hashlib.sha256()
    for one in pictures:
        told.update(f"{one.dtype} {one.shape}".encode() + np.ascontiguousarray(one).tobytes())
    return told.hexdigest()[:32]


def _put(place: Path, write: Callable[[Path], object]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_suffix(f".{os.getpid()}.tmp")
    write(temporary)
    temporary.replace(place)
