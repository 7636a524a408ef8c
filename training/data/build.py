"""`unclip data build`: npm packages → one cache folder of drawn sprites, their names, and a manifest.

The folder holds, for each style, `sprites-<style>.safetensors` (`pixels`, uint8 (N, 4, S, S), straight alpha) and
`sprites-<style>.json` (N `SpriteInfo`s), and one `manifest.json` with the sha256 of every file read and written.
The same packages give the same bytes.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from training.data.errors import SpriteBroken
from training.data.labels import Emojibase, SpriteInfo
from training.data.packages import EMOJIBASE, STYLES, Package, Style, find_packages
from training.data.render import draw_svg, icon_svg

FORMAT_VERSION = 1
Progress = Callable[[str, int, int], None]
"""Called as progress(style, drawn, total)."""


@dataclass(frozen=True)
class StyleReport:
    """What became of one style: icons in the package, sprites kept, icons that draw the same pixels as another."""

    style: str
    icons: int
    sprites: int
    duplicates: int
    labelled: int


@dataclass(frozen=True)
class BuildReport:
    """What a build wrote, and where."""

    out: Path
    size_px: int
    styles: tuple[StyleReport, ...]


def build(
    packages: Path, out: Path, *, size_px: int = 256, styles: Sequence[Style] = STYLES, progress: Progress | None = None
) -> BuildReport:
    """Draw every icon of `styles` from the npm packages in `packages` into the folder `out`.

    size_px: side of the drawn squares. Raises PackageMissing (with the commands that fetch what is absent),
    PackageBroken, SpriteBroken.
    """
    words_name, words_version, words_licence = EMOJIBASE
    found = find_packages(packages, {words_name: words_version, **{style.package: style.version for style in styles}})
    words = found[words_name]
    emojibase = Emojibase(words.read("en/data.json"), words.read("en/messages.json"))
    out.mkdir(parents=True, exist_ok=True)
    reports = []
    for style in styles:
        pixels, infos = _draw_style(found[style.package], style, emojibase, size_px, progress)
        reports.append(_report(style, infos))
        _write_style(out, style.name, pixels, infos)
    licences = {words_name: words_licence, **{style.package: style.licence for style in styles}}
    _write_manifest(out, size_px, [(found[name], licence) for name, licence in licences.items()], reports)
    return BuildReport(out, size_px, tuple(reports))


def _draw_style(
    package: Package, style: Style, emojibase: Emojibase, size_px: int, progress: Progress | None
) -> tuple[NDArray[np.uint8], list[SpriteInfo]]:
    """(N, 4, size_px, size_px) pixels and N infos; icons that draw the same pixels are one sprite."""
    icons = package.read("icons.json")
    codepoints = {name: points for points, name in package.read("chars.json").items()}
    # Icons with code points first: of two equal drawings, the one that has a label stays.
    names = sorted(icons["icons"], key=lambda name: (name not in codepoints, name))
    pixels = np.empty((len(names), 4, size_px, size_px), dtype=np.uint8)
    infos: list[SpriteInfo] = []
    place: dict[bytes, int] = {}
    for index, name in enumerate(names):
        try:
            drawn = draw_svg(icon_svg(icons["icons"][name], icons), size_px)
        except SpriteBroken as error:
            raise SpriteBroken(f"{package.name}@{package.version}, icon {name!r}: {error}") from error
        kept = place.setdefault(hashlib.sha256(drawn.tobytes()).digest(), len(infos))
        if kept == len(infos):
            pixels[kept] = drawn
            infos.append(emojibase.describe(name, codepoints.get(name), style.name))
        else:
            infos[kept] = replace(infos[kept], also=(*infos[kept].also, name))
        if progress is not None:
            progress(style.name, index + 1, len(names))
    return pixels[: len(infos)], infos


def _report(style: Style, infos: Sequence[SpriteInfo]) -> StyleReport:
    duplicates = sum(len(info.also) for info in infos)
    labelled = sum(info.group is not None for info in infos)
    return StyleReport(style.name, len(infos) + duplicates, len(infos), duplicates, labelled)


def _write_style(out: Path, style: str, pixels: NDArray[np.uint8], infos: Sequence[SpriteInfo]) -> None:
    # Written beside and renamed: a build that was stopped never leaves half a file under the real name.
    part = out / f".sprites-{style}.safetensors.part"
    save_file({"pixels": torch.from_numpy(pixels)}, part)
    part.chmod(0o644)  # safetensors makes it readable by its owner alone; the cache is meant to be shared.
    os.replace(part, out / f"sprites-{style}.safetensors")
    _write_json(out / f"sprites-{style}.json", [info.to_json() for info in infos])


def _write_manifest(out: Path, size_px: int, packages: Sequence[tuple[Package, str]], reports: Sequence[StyleReport]) -> None:
    outputs = [f"sprites-{report.style}.{ending}" for report in reports for ending in ("safetensors", "json")]
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "size_px": size_px,
        "packages": [
            {"name": package.name, "version": package.version, "licence": licence, "sha256": package.read_sha256}
            for package, licence in packages
        ],
        "drawn_by": {"resvg-py": installed_version("resvg-py")},
        "styles": [
            {"style": report.style, "sprites": report.sprites, "duplicates": report.duplicates, "labelled": report.labelled}
            for report in reports
        ],
        "files": {name: _sha256(out / name) for name in outputs},
    }
    _write_json(out / "manifest.json", manifest)


def _write_json(path: Path, value: object) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
