"""`unclip data pack`: the drawn sprites of all styles → one checksummed archive a size, to carry to where training runs.

`sprites-<size>.tar` holds `index.json` (format_version, size_px, and a `SpriteInfo` a sprite) and then, in the index's order,
one lossless WebP a sprite, `<style>/<name>.webp`. `archives.json` beside them has each archive's sha256 and counts, and the
packages and licences that it was drawn from. The same data and libwebp give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.data.errors import ArchiveBroken, DataError, DataMissing
from training.data.labels import SpriteInfo
from training.data.packages import STYLES
from training.data.sprites import SpriteSet

FORMAT_VERSION = 1
SIZES_PX = (128, 256)
"""For the 64 px decoder and what it shows at up to twice its size; for the upsamplers."""
CONTENTS = "archives.json"
WEBP: dict[str, Any] = {"lossless": True, "exact": True, "method": 2, "quality": 50}
"""Costlier settings save less than 5 %."""
Pixels = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]
"""Called as progress(file, written, total)."""


@dataclass(frozen=True)
class PackReport:
    """What was written: files with their bytes, sprites in each, and how many a style lost because another has the same."""

    files: dict[str, int]
    sprites: int
    duplicates: int


@dataclass(frozen=True)
class Archive:
    """An archive whose checksum is right. infos: N `SpriteInfo`s."""

    path: Path
    size_px: int
    infos: tuple[SpriteInfo, ...]

    def chunks(self, sprites: int) -> Iterator[Tensor]:
        """All pixels in the order of `infos`, uint8 (n, 4, size_px, size_px), straight alpha, n at most `sprites`."""
        with ThreadPoolExecutor() as pool:  # libwebp decodes beside Python
            files = self._files()
            while held := list(islice(files, sprites)):
                yield torch.from_numpy(np.stack(list(pool.map(decode, held))))

    def _files(self) -> Iterator[IO[bytes]]:
        with tarfile.open(self.path) as tar:
            for member in tar:
                if member.name.endswith(".webp") and (file := tar.extractfile(member)) is not None:
                    yield io.BytesIO(file.read())


def pack(data: Path, out: Path, *, sizes_px: Sequence[int] = SIZES_PX, progress: Progress | None = None) -> PackReport:
    """Write archives of all styles that `unclip data build` left in `data` to the folder `out`. Of equal drawings in two styles
    the first stays. Raises DataMissing, and DataError where a size is larger than what was drawn.
    """
    manifest = _read_json(data / "manifest.json", DataMissing(data, "any style"))
    if (largest := max(sizes_px)) > manifest["size_px"]:
        raise DataError(
            f"{data} holds sprites of {manifest['size_px']} px; draw them at {largest} px or more to pack at that size"
        )
    built = {entry["style"] for entry in manifest["styles"]}
    sets = [SpriteSet.load(data, style.name) for style in STYLES if style.name in built]
    kept = _distinct(sets)
    infos = [sets[at].infos[row] for at, row in kept]
    out.mkdir(parents=True, exist_ok=True)
    source = {key: manifest[key] for key in ("packages", "drawn_by")}
    files = {}
    for size_px in sizes_px:
        path = out / f"sprites-{size_px}.tar"
        write_archive(path, size_px, infos, (straight(sets[at], row, size_px) for at, row in kept), progress)
        add_to_contents(path, size_px, len(infos), source)
        files[path.name] = path.stat().st_size
    return PackReport(files, len(infos), sum(map(len, sets)) - len(infos))


def write_archive(
    path: Path, size_px: int, infos: Sequence[SpriteInfo], pixels: Iterable[Pixels], progress: Progress | None = None
) -> None:
    """One archive. pixels: for each info uint8 (4, size_px, size_px), straight alpha. It is there whole or not at all."""
    names = [f"{info.style}/{info.name}.webp" for info in infos]
    if len(set(names)) != len(names):
        raise DataError(f"{path.name}: two sprites of one style have the same name")
    index = {"format_version": FORMAT_VERSION, "size_px": size_px, "sprites": [info.to_json() for info in infos]}
    part = path.with_name(f".{path.name}.part")
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "index.json", json.dumps(index, ensure_ascii=False).encode())
        for done, (name, sprite) in enumerate(zip(names, pixels, strict=True), start=1):
            _add(tar, name, _encode(sprite))
            if progress is not None:
                progress(path.name, done, len(names))
    os.replace(part, path)


def open_archive(folder: Path, size_px: int) -> Archive:
    """The smallest archive in `folder` of at least that size. Raises DataMissing, ArchiveBroken."""
    contents = _read_json(folder / CONTENTS, DataMissing(folder, f"{size_px} px", command="unclip data pack"))
    entry = min(
        (entry for entry in contents["archives"] if entry["size_px"] >= size_px),
        key=lambda entry: int(entry["size_px"]),
        default=None,
    )
    if entry is None:
        command = f"unclip data pack --size-px {size_px}"
        raise DataError(f"{folder} holds no archive of {size_px} px or more; make it with `{command}`")
    path = folder / entry["file"]
    if not path.is_file() or _sha256(path) != entry["sha256"]:
        raise ArchiveBroken(path)
    with tarfile.open(path) as tar:
        first = tar.next()
        file = tar.extractfile(first) if first is not None else None
        index = json.load(file) if file is not None else {}
    if index.get("format_version") != FORMAT_VERSION:
        raise ArchiveBroken(path)
    return Archive(path, index["size_px"], tuple(SpriteInfo.of_json(value) for value in index["sprites"]))


def add_to_contents(path: Path, size_px: int, sprites: int, source: Mapping[str, Any] | None = None) -> None:
    """List an archive in the `archives.json` beside it, in place of an older one of the same name.

    source: what to say there of the packages that the archives were drawn from.
    """
    listed = path.parent / CONTENTS
    contents: dict[str, Any] = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else {"archives": []}
    others = [entry for entry in contents["archives"] if entry["file"] != path.name]
    about = {"file": path.name, "size_px": size_px, "sprites": sprites, "bytes": path.stat().st_size, "sha256": _sha256(path)}
    archives = sorted([*others, about], key=lambda entry: int(entry["size_px"]))
    _write_json(listed, contents | dict(source or {}) | {"format_version": FORMAT_VERSION, "archives": archives})


def decode(file: IO[bytes]) -> Pixels:
    """uint8 (4, S, S), straight alpha: one sprite of an archive."""
    with Image.open(file, formats=["WEBP"]) as picture:
        # An opaque sprite is stored without alpha.
        return np.asarray(picture.convert("RGBA"), dtype=np.uint8).transpose(2, 0, 1)


def straight(sprites: SpriteSet, row: int, size_px: int) -> Pixels:
    """uint8 (4, size_px, size_px), straight alpha, area-averaged with colours multiplied by alpha."""
    if sprites.pixels.shape[-1] == size_px:
        return sprites.pixels[row].numpy()
    rgba = sprites.premultiplied([row], size_px)[0]
    rgba[:3] = torch.where(rgba[3:] > 0, rgba[:3] / rgba[3:].clamp_min(1e-6), 0)
    return (rgba * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def _distinct(sets: Sequence[SpriteSet]) -> list[tuple[int, int]]:
    """(set, row) of each drawing, the first of those whose pixels are equal."""
    seen: dict[bytes, tuple[int, int]] = {}
    for at, sprites in enumerate(sets):
        for row in range(len(sprites)):
            seen.setdefault(hashlib.sha256(sprites.pixels[row].numpy().tobytes()).digest(), (at, row))
    return list(seen.values())


def _encode(sprite: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(sprite.transpose(1, 2, 0))).save(file, "WEBP", **WEBP)
    return file.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    # TarInfo's own defaults for time, owner and mode are constants, so the bytes depend on nothing else.
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _read_json(path: Path, absent: DataError) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise absent from None
    return value


def _write_json(path: Path, value: object) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
