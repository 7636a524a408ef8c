"""The bank's levels, and where it is read from."""

import pytest
import torch

from tests.training.data.sprites import SIDE_PX, bank_of, disc, info, square, write_cache
from training.data.archive import pack
from training.data.errors import DataMissing
from training.data.sprite_bank import SpriteBank

RED = (255, 0, 0)


def test_levels_halve_down_to_sixteen():
    bank = bank_of(disc(RED))
    assert {side: tuple(level.shape) for side, level in bank.levels.items()} == {
        64: (1, 4, 64, 64),
        32: (1, 4, 32, 32),
        16: (1, 4, 16, 16),
    }


def test_a_sprite_is_read_from_the_level_just_above_its_size():
    bank = bank_of(disc(RED))
    assert [bank.level_for(side_px) for side_px in (3.0, 16.0, 16.5, 64.0, 500.0)] == [16, 16, 32, 64, 64]


def test_hidden_colours_of_transparent_pixels_stay_hidden():
    half = square(RED)
    half[:, :, 32:] = torch.tensor([0, 255, 0, 0], dtype=torch.uint8).reshape(4, 1, 1)
    bank = SpriteBank.of([info("half")], half[None], 16)
    assert bank.levels[16][0, 1].max() == 0


def test_the_archive_and_the_cache_make_the_same_bank(tmp_path):
    cache = write_cache(tmp_path / "data", {"flat": {"a": disc(RED)}, "noto": {"b": square((1, 2, 3))}})
    pack(cache, tmp_path / "packed", sizes_px=(SIDE_PX,))
    cached, packed = SpriteBank.load(cache, 32), SpriteBank.load(tmp_path / "packed", 32)
    assert cached.infos == packed.infos
    assert all(torch.equal(cached.levels[side], packed.levels[side]) for side in (32, 16))


def test_a_folder_without_sprites_is_refused(tmp_path):
    with pytest.raises(DataMissing, match="unclip data build"):
        SpriteBank.load(tmp_path, 64)
