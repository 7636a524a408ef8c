"""Packing drawn sprites into archives, and reading them back."""

import json

import pytest
import torch

from tests.training.data.sprites import SIDE_PX, disc, square, write_cache
from training.data.archive import open_archive, pack
from training.data.errors import ArchiveBroken, DataError, DataMissing

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def cache(tmp_path):
    return write_cache(tmp_path / "data", {"flat": {"apple": disc(RED), "box": square(BLUE)}, "noto": {"apple": disc(BLUE)}})


def test_an_archive_gives_back_the_pixels_that_went_in(cache, tmp_path):
    pack(cache, tmp_path / "out", sizes_px=(SIDE_PX,))
    archive = open_archive(tmp_path / "out", SIDE_PX)
    assert [(one.style, one.name) for one in archive.infos] == [("flat", "apple"), ("flat", "box"), ("noto", "apple")]
    assert torch.equal(torch.cat(list(archive.chunks(2))), torch.stack([disc(RED), square(BLUE), disc(BLUE)]))


def test_the_same_data_give_the_same_bytes(cache, tmp_path):
    for out in ("one", "two"):
        pack(cache, tmp_path / out, sizes_px=(32,))
    for name in ("sprites-32.tar", "archives.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_drawing_that_two_styles_share_is_packed_once(tmp_path):
    same = write_cache(tmp_path / "data", {"flat": {"apple": disc(RED)}, "fluent": {"apple": disc(RED)}})
    report = pack(same, tmp_path / "out", sizes_px=(SIDE_PX,))
    assert (report.sprites, report.duplicates) == (1, 1)
    assert open_archive(tmp_path / "out", SIDE_PX).infos[0].style == "flat"


def test_the_smallest_archive_that_is_large_enough_is_opened(cache, tmp_path):
    pack(cache, tmp_path / "out", sizes_px=(SIDE_PX, 32))
    assert open_archive(tmp_path / "out", 16).size_px == 32
    assert open_archive(tmp_path / "out", 33).size_px == SIDE_PX


def test_packing_another_size_later_keeps_what_was_packed(cache, tmp_path):
    pack(cache, tmp_path / "out", sizes_px=(32,))
    pack(cache, tmp_path / "out", sizes_px=(SIDE_PX,))
    listed = json.loads((tmp_path / "out" / "archives.json").read_text())
    assert [entry["size_px"] for entry in listed["archives"]] == [32, SIDE_PX]
    assert listed["packages"] == [{"name": "a-package", "licence": "MIT"}]


def test_an_altered_archive_is_refused(cache, tmp_path):
    pack(cache, tmp_path / "out", sizes_px=(32,))
    path = tmp_path / "out" / "sprites-32.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArchiveBroken, match=r"sprites-32\.tar"):
        open_archive(tmp_path / "out", 32)


def test_sprites_are_not_packed_larger_than_they_were_drawn(cache, tmp_path):
    with pytest.raises(DataError, match="128 px or more"):
        pack(cache, tmp_path / "out", sizes_px=(32, 128))


def test_a_folder_without_the_size_says_what_makes_it(cache, tmp_path):
    with pytest.raises(DataMissing, match="unclip data pack"):
        open_archive(tmp_path, 32)
    pack(cache, tmp_path / "out", sizes_px=(32,))
    with pytest.raises(DataError, match="--size-px 64"):
        open_archive(tmp_path / "out", 64)
