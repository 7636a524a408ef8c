"""Sprites written one by one."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from training.data.pixel_file import pixel_file

SPRITES = np.random.default_rng(5).integers(0, 256, (3, 4, 8, 8), dtype=np.uint8)


def test_sprites_written_one_by_one_are_the_tensor_that_safetensors_writes_at_once(tmp_path):
    with pixel_file(tmp_path / "pixels", 8, most=len(SPRITES)) as append:
        for sprite in SPRITES:
            append(sprite)
    save_file({"pixels": torch.from_numpy(SPRITES)}, tmp_path / "at-once")
    assert (tmp_path / "pixels").read_bytes() == (tmp_path / "at-once").read_bytes()


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_there_may_be_fewer_than_foreseen(tmp_path, kept):
    with pixel_file(tmp_path / "pixels", 8, most=100_000) as append:
        for sprite in SPRITES[:kept]:
            append(sprite)
    torch.testing.assert_close(load_file(tmp_path / "pixels")["pixels"], torch.from_numpy(SPRITES[:kept]))


def test_a_build_that_stops_keeps_the_file_of_the_last_one(tmp_path):
    (tmp_path / "pixels").write_bytes(b"of the last build")

    def stopped():
        with pixel_file(tmp_path / "pixels", 8, most=3) as append:
            append(SPRITES[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"pixels": b"of the last build"}
