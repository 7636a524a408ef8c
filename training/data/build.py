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

from training.data.drawings import Drawing, list_drawings
from training.data.errors import SpriteBroken
from training.data.labels import Emojibase, SpriteInfo
from training.data.packages import EMOJIBASE, STYLES, Package, Style, find_packages
from training.data.pixel_file import pixel_file

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
    sources = {source.package: source for style in styles for source in style.sources}
    found = find_packages(packages, {words_name: words_version, **{name: style.version for name, style in sources.items()}})
    words = found[words_name]
    emojibase = Emojibase(words.read("en/data.json"), words.read("en/messages.json"))
    out.mkdir(parents=True, exist_ok=True)
    reports = [
        _write_style(style, list_drawings(style, found, emojibase), emojibase, out, size_px, progress) for style in styles
    ]
    licences = {words_name: words_licence, **{name: style.licence for name, style in sources.items()}}
    _write_manifest(out, size_px, [(found[name], licence) for name, licence in licences.items()], reports)
    return BuildReport(out, size_px, tuple(reports))


def _write_style(
    style: Style, drawings: Sequence[Drawing], emojibase: Emojibase, out: Path, size_px: int, progress: Progress | None
) -> StyleReport:
    """Drawings of the same pixels are one sprite."""
    infos: list[SpriteInfo] = []
    place: dict[bytes, int] = {}
    with pixel_file(out / f"sprites-{style.name}.safetensors", size_px, most=len(drawings)) as append:
        for done, drawing in enumerate(drawings, start=1):
            try:
                drawn = drawing.draw(size_px)
            except SpriteBroken as error:
                raise SpriteBroken(f"{style.package}@{style.version}, icon {drawing.name!r}: {error}") from error
            kept = place.setdefault(hashlib.sha256(drawn.tobytes()).digest(), len(infos))
            # Those with code points come first: of two equal drawings, the one that has a label stays.
            if kept == len(infos):
                append(drawn)
                infos.append(emojibase.describe(drawing.name, drawing.codepoints, style.name))
            else:
                infos[kept] = replace(infos[kept], also=(*infos[kept].also, drawing.name))
            if progress is not None:
                progress(style.name, done, len(drawings))
    _write_json(out / f"sprites-{style.name}.json", [info.to_json() for info in infos])
    labelled = sum(info.group is not None for info in infos)
    return StyleReport(style.name, len(drawings), len(infos), len(drawings) - len(infos), labelled)


def _write_manifest(out: Path, size_px: int, packages: Sequence[tuple[Package, str]], reports: Sequence[StyleReport]) -> None:
    outputs = [f"sprites-{report.style}.{ending}" for report in reports for ending in ("safetensors", "json")]
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "size_px": size_px,
        "packages": [
            {"name": package.name, "version": package.version, "licence": licence, "sha256": package.read_sha256}
            for package, licence in packages
        ],
        "drawn_by": {tool: installed_version(tool) for tool in ("resvg-py", "pillow")},
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
