"""npm packages → cache folder."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.tiny import TINY, write_package
from training.data.build import build
from training.data.errors import PackageBroken, PackageMissing, SpriteBroken
from training.data.packages import STYLES
from training.data.render import draw_svg, icon_svg
from training.data.sprites import SpriteSet


def test_icons_are_joined_to_their_words(tiny_packages, tmp_path):
    build(tiny_packages, tmp_path / "out", size_px=16, styles=[TINY])
    info = {info.name: info for info in SpriteSet.load(tmp_path / "out", "tiny").infos}
    assert (info["red-square"].label, info["red-square"].tags, info["red-square"].group) == ("red square", ("red",), "symbols")
    bar = info["green-bar-dark"]
    assert (bar.base, bar.label, bar.gender, bar.skin_tone) == ("green-bar", "green bar: dark skin tone", "female", ("dark",))
    assert (info["blue-disc"].label, info["blue-disc"].codepoints) == ("blue disc", None)


def test_icons_that_draw_the_same_are_one_sprite_found_by_either_name(tiny_packages, tmp_path):
    report = build(tiny_packages, tmp_path / "out", size_px=16, styles=[TINY]).styles[0]
    sprites = SpriteSet.load(tmp_path / "out", "tiny")
    assert (report.icons, report.sprites, report.duplicates, len(sprites)) == (4, 3, 1, 3)
    assert sprites.index("same square") == sprites.index("red-square")
    # The one with code points stays: it is the one with a label.
    assert sprites.infos[sprites.index("same-square")].name == "red-square"


def test_two_builds_give_the_same_bytes(tiny_packages, tmp_path):
    manifests = []
    for name in ("one", "two"):
        build(tiny_packages, tmp_path / name, size_px=16, styles=[TINY])
        manifests.append(json.loads((tmp_path / name / "manifest.json").read_text()))
    assert manifests[0] == manifests[1]
    assert set(manifests[0]["files"]) == {"sprites-tiny.safetensors", "sprites-tiny.json"}


def test_packed_and_unpacked_packages_give_the_same_manifest(tiny_packages, tmp_path):
    build(tiny_packages, tmp_path / "packed", size_px=16, styles=[TINY])
    archive = next(tiny_packages.glob("*.tgz"))
    files = {name: json.loads(_read(archive, name)) for name in ("package.json", "icons.json", "chars.json")}
    archive.unlink()
    write_package(tiny_packages, TINY.package, TINY.version, files, packed=False)
    build(tiny_packages, tmp_path / "unpacked", size_px=16, styles=[TINY])
    assert (tmp_path / "packed/manifest.json").read_text() == (tmp_path / "unpacked/manifest.json").read_text()


def _read(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        member = tar.extractfile(f"package/{name}")
        assert member is not None
        return member.read()


def test_absent_packages_are_named_with_the_commands_that_fetch_them(tmp_path):
    with pytest.raises(PackageMissing) as caught:
        build(tmp_path, tmp_path / "out")
    assert caught.value.commands[0] == "npm pack emojibase-data@17.0.0"
    assert caught.value.commands[1:] == tuple(f"npm pack {style.package}@{style.version}" for style in STYLES)


def test_another_version_does_not_count(tiny_packages, tmp_path):
    with pytest.raises(PackageMissing, match=r"@iconify-json/tiny@2\.0\.0"):
        build(tiny_packages, tmp_path / "out", styles=[replace(TINY, version="2.0.0")])


def test_a_package_without_its_icons_is_refused_by_name(tiny_packages, tmp_path):
    next(tiny_packages.glob("*.tgz")).unlink()
    write_package(tiny_packages, TINY.package, TINY.version, {"chars.json": {}}, packed=True)
    with pytest.raises(PackageBroken, match=r"icons\.json"):
        build(tiny_packages, tmp_path / "out", size_px=16, styles=[TINY])


def test_an_icon_that_cannot_be_drawn_is_named(tiny_packages, tmp_path):
    next(tiny_packages.glob("*.tgz")).unlink()
    icons = {"icons": {"torn": {"body": "<path d="}}}
    write_package(tiny_packages, TINY.package, TINY.version, {"icons.json": icons, "chars.json": {}}, packed=True)
    with pytest.raises(SpriteBroken, match="torn"):
        build(tiny_packages, tmp_path / "out", size_px=16, styles=[TINY])


def test_a_wide_icon_is_centred_and_not_stretched():
    drawn = draw_svg(icon_svg({"body": '<path fill="#080" d="M0 0h16v8H0z"/>', "height": 8}, {"width": 16, "height": 16}), 16)
    rows_with_ink = np.flatnonzero(drawn[3].any(axis=1))
    assert (rows_with_ink[0], rows_with_ink[-1]) == (4, 11)
