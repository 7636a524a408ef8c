"""`unclip eval objects`: the list, the verdicts and what is written."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evals.objects import HIT, MISS, OBJECTS, Wanted, grid, judge, read_wanted
from training.data.captions import read_objects
from training.data.labels import SpriteInfo
from training.data.sprites import SpriteSet

BOOTSTRAP = Path(__file__).parents[2] / "training/configs/bootstrap-objects.txt"


def blocks(count: int) -> SpriteSet:
    """`count` sprites, each with its own opaque columns in its own colour."""
    random = np.random.default_rng(0)
    pixels = np.zeros((count, 4, 64, 64), dtype=np.uint8)
    for sprite in pixels:
        ink = np.kron(random.random((4, 4)) < 0.5, np.ones((10, 10))).astype(bool)
        sprite[:3, 12:52, 12:52] = ink * random.integers(256, size=(3, 1, 1))
        sprite[3, 12:52, 12:52] = ink * 255
    infos = [SpriteInfo(f"thing-{i}", f"thing-{i}", f"thing {i}", (), None, None, None, None, "tiny") for i in range(count)]
    return SpriteSet(infos, torch.from_numpy(pixels))


def picture(sprites: SpriteSet, index: int, size_px: int) -> np.ndarray:
    drawn = (sprites.composited([index], size_px)[0] + 1) * 127.5
    return drawn.round().to(torch.uint8).permute(1, 2, 0).numpy()


def test_the_list_holds_100_of_the_bootstrap_objects_each_asked_for_by_its_usual_name():
    titles = {words.name: words.title for words in read_objects(BOOTSTRAP)}
    wanted = read_wanted(OBJECTS)
    assert len({one.name for one in wanted}) == 100
    assert [one.prompt for one in wanted] == [titles[one.name] for one in wanted]


def test_a_line_that_cannot_be_read_is_named_by_its_number(tmp_path):
    (tmp_path / "list.txt").write_text("# seed, name, prompt\n1\tred-apple\tred apple\nseven\tpizza\tpizza\n")
    with pytest.raises(ValueError, match=r"line 3: .*seven"):
        read_wanted(tmp_path / "list.txt")


def test_a_picture_at_another_size_is_judged_by_what_it_shows():
    sprites = blocks(12)
    pictures = [picture(sprites, 3, 256), picture(sprites, 8, 256)]
    right, wrong = judge(pictures, [Wanted(1, "thing-3", "thing 3"), Wanted(2, "thing-5", "thing 5")], sprites)
    assert (right.rank, right.nearest[0].name) == (1, "thing-3")
    assert (wrong.rank > 1, wrong.nearest[0].name) == (True, "thing-8")


def test_the_grid_frames_hits_green_and_misses_red():
    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    sheet = grid([(grey, "hit", True), (grey, "miss", False)])
    colours = [colour for _, colour in sheet.getcolors(maxcolors=100_000)]
    assert {HIT, MISS} <= set(colours)
    assert sheet.getpixel((4, 3)) == HIT
