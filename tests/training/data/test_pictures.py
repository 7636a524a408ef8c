"""Styles that are not an icon set of their own: WebP pictures called by code points, and icons named by another set."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.tiny import ICONS, TINY, write_package
from training.data.build import build
from training.data.errors import PackageBroken, PackageMissing, SpriteBroken
from training.data.packages import Package, Style
from training.data.render import draw_webp
from training.data.sprites import SpriteSet

SOLID = Style("solid", "@tiny/solid", "1.0.0", "MIT", webp_folder="assets", named_by=TINY)
SHADED = Style("shaded", "@iconify-json/tiny-shaded", "1.0.0", "MIT", named_by=TINY)


def webp(pixels: np.ndarray) -> bytes:
    """A WebP file of (H, W, 4) uint8 that keeps every pixel, hidden colours too."""
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "WEBP", lossless=True, exact=True)
    return file.getvalue()


def plain(*rgba: int, width: int = 8, height: int = 8) -> bytes:
    return webp(np.full((height, width, 4), rgba))


def write_pictures(folder: Path, pictures: Mapping[str, bytes], *, packed: bool = True) -> None:
    files = {f"assets/{name}.webp": content for name, content in pictures.items()}
    write_package(folder, SOLID.package, SOLID.version, {"README.md": "no picture", **files}, packed=packed)


def build_pictures(packages: Path, out: Path, pictures: Mapping[str, bytes]) -> SpriteSet:
    write_pictures(packages, pictures)
    build(packages, out, size_px=8, styles=[SOLID])
    return SpriteSet.load(out, "solid")


def test_a_picture_is_called_what_the_icon_set_calls_its_code_points(tiny_packages, tmp_path):
    sprites = build_pictures(tiny_packages, tmp_path / "out", {"1f7e5-fe0f": plain(250, 0, 0, 255)})
    info = sprites.infos[0]
    assert (info.name, info.codepoints, info.label, info.style) == ("red-square", "1f7e5", "red square", "solid")
    assert sprites.pixels[0, :, 4, 4].tolist() == [250, 0, 0, 255]


def test_a_picture_that_the_icon_set_lacks_is_called_by_its_label(tiny_packages, tmp_path):
    info = build_pictures(tiny_packages, tmp_path / "out", {"1f7e2": plain(0, 250, 0, 255)}).infos[0]
    assert (info.name, info.codepoints, info.label) == ("green-bar", "1f7e2", "green bar")


def test_of_two_spellings_of_the_same_code_points_the_last_stays(tiny_packages, tmp_path):
    twice = {"001f7e5": plain(1, 2, 3, 255), "1f7e5-fe0f": plain(4, 5, 6, 255)}
    sprites = build_pictures(tiny_packages, tmp_path / "out", twice)
    assert sprites.names == ("red-square",)
    assert sprites.pixels[0, :, 4, 4].tolist() == [4, 5, 6, 255]


def test_a_picture_that_nothing_names_is_refused_by_its_file(tiny_packages, tmp_path):
    with pytest.raises(PackageBroken, match=r"@tiny/solid@1\.0\.0: nothing tells what assets/1f999\.webp shows"):
        build_pictures(tiny_packages, tmp_path / "out", {"1f999": plain(0, 0, 0, 255)})


def test_a_torn_picture_is_named_and_leaves_no_half_file(tiny_packages, tmp_path):
    torn = plain(250, 0, 0, 255)[:-8]
    with pytest.raises(SpriteBroken, match="icon 'red-square': no WebP picture"):
        build_pictures(tiny_packages, tmp_path / "out", {"1f7e5": torn})
    assert list((tmp_path / "out").iterdir()) == []


def test_a_package_without_pictures_is_refused(tiny_packages, tmp_path):
    with pytest.raises(PackageBroken, match=r"holds no assets/\*\.webp"):
        build_pictures(tiny_packages, tmp_path / "out", {})


def test_packed_and_unpacked_pictures_give_the_same_manifest(tiny_packages, tmp_path):
    pictures = {"1f7e5": plain(250, 0, 0, 255), "1f7e2": plain(0, 250, 0, 255)}
    build_pictures(tiny_packages, tmp_path / "packed", pictures)
    (tiny_packages / "tiny-solid-1.0.0.tgz").unlink()
    write_pictures(tiny_packages, pictures, packed=False)
    build(tiny_packages, tmp_path / "unpacked", size_px=8, styles=[SOLID])
    assert (tmp_path / "packed/manifest.json").read_text() == (tmp_path / "unpacked/manifest.json").read_text()


def test_pictures_read_are_remembered_by_one_hash_that_sha256sum_can_check(tmp_path):
    write_pictures(tmp_path, {"1f44b": b"two", "1f44b-1f3fb": b"one"}, packed=False)
    package = Package(SOLID.package, SOLID.version, tmp_path / "tiny-solid")
    package.read_folder("assets", ".webp")
    lines = "".join(
        f"{hashlib.sha256(content).hexdigest()}  assets/{name}.webp\n"
        for name, content in (("1f44b-1f3fb", b"one"), ("1f44b", b"two"))
    )
    assert package.read_sha256 == {"assets/*.webp": hashlib.sha256(lines.encode()).hexdigest()}


def test_an_icon_set_without_code_points_takes_them_from_the_set_that_names_it(tiny_packages, tmp_path):
    write_package(tiny_packages, SHADED.package, SHADED.version, {"icons.json": ICONS, "chars.json": {}}, packed=True)
    build(tiny_packages, tmp_path / "out", size_px=16, styles=[TINY, SHADED])
    own, named = (SpriteSet.load(tmp_path / "out", style.name) for style in (TINY, SHADED))
    assert named.names == own.names
    assert [info.codepoints for info in named.infos] == [info.codepoints for info in own.infos]


def test_a_style_lacks_the_package_that_names_it(tiny_packages, tmp_path):
    next(tiny_packages.glob("*.tgz")).unlink()
    write_pictures(tiny_packages, {"1f7e5": plain(250, 0, 0, 255)})
    with pytest.raises(PackageMissing) as caught:
        build(tiny_packages, tmp_path / "out", styles=[SOLID])
    assert caught.value.commands == (f"npm pack {TINY.package}@{TINY.version}",)


def test_a_tall_picture_is_centred_and_not_stretched():
    drawn = draw_webp(plain(0, 0, 0, 255, width=8, height=16), 16)
    columns_with_ink = np.flatnonzero(drawn[3].any(axis=0))
    assert (columns_with_ink[0], columns_with_ink[-1], drawn.shape) == (4, 11, (4, 16, 16))


def test_hidden_colours_do_not_bleed_when_a_picture_shrinks():
    pixels = np.zeros((16, 16, 4))
    pixels[:, :7], pixels[:, 7:] = (200, 0, 0, 255), (0, 255, 0, 0)
    drawn = draw_webp(webp(pixels), 4)
    assert drawn[1].max() == 0
    assert (drawn[0][drawn[3] > 16] >= 195).all()
