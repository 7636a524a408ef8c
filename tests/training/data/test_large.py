"""Large sprites: drawn into an archive, and cut from it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from tests.training.data.tiny import MESSAGES, write_package
from training.data import large
from training.data.archive import open_archive
from training.data.errors import ArchiveBroken
from training.data.large import LargeSprites, crop, pack_large
from training.data.packages import EMOJIBASE, Style
from training.data.vocabulary import HeldOut

THINGS = Style("things", "@iconify-json/things", "1.0.0", "MIT")
GROUPS = {"key": "objects", "order": 7}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vector style of three objects and one symbol."""
    folder = tmp_path / "packages"
    folder.mkdir()
    bodies = {"key": '<path fill="#f00" d="M4 4h8v8H4z"/>', "cup": '<circle cx="8" cy="8" r="6" fill="#00f"/>'}
    bodies |= {"pen": '<path fill="#080" d="M0 0h16v8H0z"/>', "plus": '<path d="M7 0h2v16H7z"/>'}
    icons = {"width": 16, "height": 16, "icons": {name: {"body": body} for name, body in bodies.items()}}
    points = {"1f511": "key", "1f375": "cup", "1f58a": "pen", "2795": "plus"}
    write_package(folder, THINGS.package, THINGS.version, {"icons.json": icons, "chars.json": points}, packed=False)
    groups = {"key": 7, "cup": 7, "pen": 7, "plus": 8}
    emojis = [{"label": name, "hexcode": code.upper(), "tags": [], "group": groups[name]} for code, name in points.items()]
    messages = {"groups": [*MESSAGES["groups"], GROUPS]}
    write_package(folder, EMOJIBASE[0], EMOJIBASE[1], {"en/data.json": emojis, "en/messages.json": messages}, packed=False)
    monkeypatch.setattr(large, "STYLES", (THINGS,))
    return folder


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_objects_are_packed_and_symbols_left_out(packages: Path, tmp_path: Path) -> None:
    pack_large(packages, tmp_path / "out", each=9)
    archive = open_archive(tmp_path / "out", 1024)
    assert (archive.size_px, sorted(info.name for info in archive.infos)) == (1024, ["cup", "key", "pen"])


def test_packing_twice_gives_the_same_bytes_and_one_entry(packages: Path, tmp_path: Path) -> None:
    path = pack_large(packages, tmp_path / "out", each=2)
    contents, once = (tmp_path / "out" / "archives.json").read_bytes(), path.read_bytes()
    assert pack_large(packages, tmp_path / "out", each=2).read_bytes() == once
    assert (tmp_path / "out" / "archives.json").read_bytes() == contents


def test_a_changed_archive_is_refused(packages: Path, tmp_path: Path) -> None:
    path = pack_large(packages, tmp_path / "out", each=1)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ArchiveBroken):
        LargeSprites.load(tmp_path / "out")


def test_the_same_chance_cuts_the_same_crops(packages: Path, tmp_path: Path) -> None:
    pack_large(packages, tmp_path / "out", each=3)
    sprites = LargeSprites.load(tmp_path / "out")
    (pixels, labels, owners), (again, _, _) = sprites.draw(6, chance(3)), sprites.draw(6, chance(3))
    assert torch.equal(pixels, again)
    assert (pixels.shape, owners.shape, len(labels)) == ((6, 3, 256, 256), (6, 256, 256), 6)
    assert pixels.abs().max() <= 1
    assert set(owners.unique().tolist()) <= {0, 1}


def test_what_is_held_out_is_never_shown(packages: Path, tmp_path: Path) -> None:
    pack_large(packages, tmp_path / "out", each=3)
    held_out = HeldOut(frozenset({("key", "things"), ("pen", "things"), ("cup", "flat")}), frozenset(), frozenset())
    shown = LargeSprites.load(tmp_path / "out")
    _, labels, _ = LargeSprites(shown.infos, shown.pixels, held_out).draw(16, chance())
    assert set(labels) == {"cup"}


def test_a_crop_is_a_part_of_the_sprite_at_a_whole_factor() -> None:
    y, x = torch.meshgrid(torch.arange(1024), torch.arange(1024), indexing="ij")
    sprite = torch.stack([y // 4, x // 4, torch.zeros_like(x), torch.full_like(x, 255)]).byte()
    rng, factors = random.Random(1), set()
    for _ in range(12):
        part = crop(sprite, rng) * 255
        step = (part[0, 4:].mean(1) - part[0, :-4].mean(1)).mean()  # four rows are 1 at full size
        factors.add(round(float(step)))
    assert factors == {1, 2, 4}
