"""The pictures of a style: which there are, what each is called, how it is drawn. One form, whatever the package holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from training.data.errors import PackageBroken
from training.data.labels import Emojibase, plain_points
from training.data.packages import Package, Style
from training.data.render import draw_svg, draw_webp, icon_svg


@dataclass(frozen=True)
class Drawing:
    """A picture not yet drawn. `draw(size_px)` gives uint8 (4, size_px, size_px), straight alpha; raises SpriteBroken."""

    name: str
    codepoints: str | None
    draw: Callable[[int], NDArray[np.uint8]]


def list_drawings(style: Style, packages: Mapping[str, Package], emojibase: Emojibase) -> list[Drawing]:
    """All pictures of `style`, those with code points first, by name. Raises PackageBroken."""
    package, names = packages[style.package], packages[(style.named_by or style).package]
    codepoints = {name: points for points, name in names.read("chars.json").items()}
    if style.webp_folder is None:
        drawings = _icons(package, codepoints)
    else:
        pictures = package.read_folder(style.webp_folder, ".webp")
        drawings = _pictures(style, pictures, codepoints, emojibase)
    return sorted(drawings, key=lambda drawing: (drawing.codepoints is None, drawing.name))


def _icons(package: Package, codepoints: Mapping[str, str]) -> list[Drawing]:
    icons = package.read("icons.json")

    def draw(name: str, size_px: int) -> NDArray[np.uint8]:
        return draw_svg(icon_svg(icons["icons"][name], icons), size_px)

    return [Drawing(name, codepoints.get(name), partial(draw, name)) for name in icons["icons"]]


def _pictures(style: Style, files: Mapping[str, bytes], codepoints: Mapping[str, str], emojibase: Emojibase) -> list[Drawing]:
    """Named as the icon set names the same code points; what it lacks, as emojibase does."""
    known = {plain_points(points): (name, points) for name, points in codepoints.items()}
    # Some emoji are there twice, under two spellings of their code points, in all but equal pictures: the last one stays.
    pictures = {style.shows(file): (file, content) for file, content in files.items()}
    drawings = []
    for points, (file, content) in pictures.items():
        if (icon := known.get(points) or emojibase.icon(points)) is None:
            raise PackageBroken(f"{style.package}@{style.version}: nothing tells what {style.webp_folder}/{file}.webp shows")
        drawings.append(Drawing(*icon, partial(draw_webp, content)))
    return drawings
