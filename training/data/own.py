"""Your own captioned pictures: read, passed through the safety filters, cropped, and kept in one file to train from.

Two layouts, both img2dataset's: a folder (searched through) with pictures and beside each its caption, `cat.jpg` with
`cat.txt` or `cat.json`; or WebDataset shards, .tar files (or a folder of them) that hold such files. A .txt is the caption, a
.json has it under "caption"; where both are, the .txt counts. Pictures are JPEG, PNG or WebP.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import interpolate

from safety.picture_filter import PictureFilter
from safety.prompt_filter import PromptFilter
from training.data.errors import DataError, DataMissing
from training.data.pixel_file import pixel_file

OWN = "own.safetensors"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
FORMATS = ("JPEG", "PNG", "WEBP")
BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for pictures that are none; SyntaxError is for PNG."""
CAPTIONS = (".txt", ".json")
SMALLEST_PX = 64
"""A picture with a shorter side shows less than the decoder draws."""
BATCH = 16
"""Pictures that are judged at once."""
REPORTED = 1000
"""Refused pictures that the report names, of each reason; all are counted."""
Readable = tuple[str, str, Image.Image]
Progress = Callable[[int], None]
"""Called with how many pictures were seen; shards do not say how many they hold."""


@dataclass(frozen=True)
class Found:
    """One picture as it lies there. key: where, to name it by. caption: None where there is none."""

    key: str
    picture: bytes
    caption: str | None


@dataclass
class Report:
    """How many pictures were kept, how many refused for which reason, and the first of those by name."""

    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=dict)

    def refuse(self, key: str, reason: str) -> None:
        """Count one refusal."""
        self.refused[reason] += 1
        if len(names := self.named.setdefault(reason, [])) < REPORTED:
            names.append(key)

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.refused.most_common())
        return f"{self.kept} pictures kept, {self.refused.total()} refused" + (f" ({reasons})" if reasons else "")


@dataclass(frozen=True)
class Filters:
    """What every caption and every picture must pass."""

    prompts: PromptFilter
    pictures: PictureFilter


class Pairs:
    """N captioned pictures that `prepare` kept. pixels: uint8 (N, 3, S, S), paged in from disk. captions: N strings."""

    def __init__(self, pixels: Tensor, captions: list[str], size_px: int = 64) -> None:
        self.pixels, self.captions, self.size_px = pixels, captions, size_px

    @classmethod
    def load(cls, folder: Path, size_px: int = 64) -> Pairs:
        """size_px: side of the pictures that `draw` gives. Raises DataMissing."""
        pixels, about = folder / OWN, folder / "own.json"
        if not (pixels.is_file() and about.is_file()):
            raise DataMissing(folder, "your own", command="unclip train --data FOLDER")
        with safe_open(pixels, framework="pt") as file:
            return cls(file.get_tensor("pixels"), json.loads(about.read_text(encoding="utf-8"))["captions"], size_px)

    def __len__(self) -> int:
        return len(self.captions)

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        """Chance pictures: pixels (B, 3, size_px, size_px) in [-1, 1], captions, and owners (B, size_px, size_px) uint8, all 0:
        nobody has said what stands where."""
        rows = torch.randint(len(self), (batch,), generator=generator)
        pixels = self.pixels[rows].float() / 127.5 - 1
        if pixels.shape[-1] != self.size_px:
            pixels = interpolate(pixels, size=(self.size_px, self.size_px), mode="area")
        owners = torch.zeros(batch, self.size_px, self.size_px, dtype=torch.uint8)
        return pixels, [self.captions[row] for row in rows.tolist()], owners


def is_own(data: Path) -> bool:
    """Whether a folder or file is somebody's own pictures as they lie there: not what `unclip data` or `prepare` wrote."""
    return not any((data / name).is_file() for name in (OWN, "manifest.json", "archives.json"))


def prepare(source: Path, out: Path, filters: Filters, size_px: int = 256, progress: Progress | None = None) -> Report:
    """Read all of `source`; keep what passes in `out/own.safetensors`, its captions and what was refused in `out/own.json`.

    Pictures are cropped to their middle square and resized to size_px. DALL·E 2's training data went through such filters
    too (Mishkin et al. 2022, "DALL·E 2 Preview: Risks and Limitations"). Raises DataError where nothing is left.
    """
    out.mkdir(parents=True, exist_ok=True)
    report, captions = Report(), []
    with pixel_file(out / OWN, size_px, channels=3) as append:
        for chunk in _chunks(_readable(find_pictures(source), filters.prompts, report, progress)):
            for (key, caption, picture), verdict in zip(chunk, filters.pictures.check([one[2] for one in chunk]), strict=True):
                if verdict.allowed:
                    append(_square(picture, size_px))
                    captions.append(caption)
                else:
                    report.refuse(key, "picture refused by the picture filter")
        report.kept = len(captions)
        if not captions:
            raise DataError(f"{source}: {report}; nothing to train on")
    about = {"captions": captions, "refused": dict(report.refused), "first_refused": report.named}
    (out / "own.json").write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return report


def find_pictures(source: Path) -> Iterator[Found]:
    """All pictures below a folder, in its shards, or in one shard, in the order of their names. Raises DataError."""
    if not source.exists():
        raise DataError(f"{source} does not exist")
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    for shard in (path for path in files if path.suffix == ".tar"):
        yield from _in_shard(shard)
    beside = {path for path in files if path.suffix.lower() in CAPTIONS}
    for path in (path for path in files if path.suffix.lower() in PICTURES):
        texts = {suffix: path.with_suffix(suffix).read_bytes() for suffix in CAPTIONS if path.with_suffix(suffix) in beside}
        yield Found(str(path), path.read_bytes(), _caption(texts))


def _in_shard(shard: Path) -> Iterator[Found]:
    """WebDataset's rule: files of one sample follow each other and share the name up to the first dot."""
    key, parts = "", dict[str, bytes]()
    try:
        with tarfile.open(shard) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                stem, _, ending = path.name.partition(".")
                if not member.isfile() or (file := tar.extractfile(member)) is None:
                    continue
                if (found := str(path.parent / stem)) != key:
                    yield from _sample(f"{shard}:{key}", parts)
                    key, parts = found, {}
                parts[f".{ending.lower()}"] = file.read()
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{shard} is no whole tar file: {error}") from error
    yield from _sample(f"{shard}:{key}", parts)


def _sample(key: str, parts: dict[str, bytes]) -> Iterator[Found]:
    picture = next((parts[ending] for ending in PICTURES if ending in parts), None)
    if picture is not None:
        yield Found(key, picture, _caption(parts))


def _caption(parts: dict[str, bytes]) -> str | None:
    if ".txt" in parts:
        return " ".join(parts[".txt"].decode(errors="replace").split()) or None
    try:
        caption = json.loads(parts[".json"])["caption"]
    except (KeyError, TypeError, ValueError):
        return None
    return " ".join(caption.split()) or None if isinstance(caption, str) else None


def _readable(found: Iterable[Found], prompts: PromptFilter, report: Report, progress: Progress | None) -> Iterator[Readable]:
    """Key, caption and picture of all that have an allowed caption and can be read; the others are reported."""
    for seen, one in enumerate(found, start=1):
        if progress is not None:
            progress(seen)
        if one.caption is None:
            report.refuse(one.key, "without a caption")
            continue
        if not (verdict := prompts.check(one.caption)).allowed:
            report.refuse(one.key, f"caption refused: {', '.join(verdict.categories)}")
            continue
        try:
            picture = _read(one.picture)
        except BROKEN:
            report.refuse(one.key, "not readable as JPEG, PNG or WebP")
            continue
        if min(picture.size) < SMALLEST_PX:
            report.refuse(one.key, f"smaller than {SMALLEST_PX} px")
            continue
        yield one.key, one.caption, picture


def _read(content: bytes) -> Image.Image:
    """RGB, turned the way its camera was held, on white where it is transparent."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as file:
        picture = ImageOps.exif_transpose(file)
        if picture.has_transparency_data:
            rgba = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return picture.convert("RGB")


def _square(picture: Image.Image, size_px: int) -> NDArray[np.uint8]:
    """(3, size_px, size_px): the middle of the picture."""
    fitted = ImageOps.fit(picture, (size_px, size_px), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(fitted, dtype=np.uint8).transpose(2, 0, 1))


def _chunks(readable: Iterator[Readable]) -> Iterator[list[Readable]]:
    while chunk := list(islice(readable, BATCH)):
        yield chunk
