"""Scenes drawn: what stands where, in which colour, and whose each pixel is."""

import pytest
import torch

from tests.training.data.sprites import bank_of, disc, square
from training.data.colours import BACKDROP_RGB
from training.data.compose import compose, coverage
from training.data.scenes import BACKDROPS, COLOURS, PLAIN_COLOURS, SCENERY, Backdrop, Placed, Scene

BANK = bank_of(disc((255, 0, 0)), square((0, 0, 255)), square((150, 150, 150)))
DISC, BLUE, GREY = 0, 1, 2
WHITE = Backdrop("plain", ("white",))


def scene(*objects: Placed, backdrop: Backdrop = WHITE, caption: str = "") -> Scene:
    return Scene(objects, backdrop, "flat", None, None, caption)


def placed(sprite: int, x: float = 0.5, y: float = 0.5, size: float = 0.5, colour: str | None = None) -> Placed:
    return Placed(sprite, "thing", colour, x, y, size)


def backdrop(kind: str) -> Backdrop:
    return Backdrop(kind, () if kind in SCENERY else ("blue", "yellow")[: 1 if kind == "plain" else 2])


@pytest.mark.parametrize(("x", "y", "size"), [(0.25, 0.75, 0.3), (0.613, 0.402, 0.437), (0.5, 0.5, 0.95)])
def test_an_object_stands_where_it_was_placed(x, y, size):
    alpha = (1 - compose([scene(placed(DISC, x, y, size))], BANK, 64).pixels[0, 1]) / 2
    axis = (torch.arange(64) + 0.5) / 64
    assert (alpha.sum(0) @ axis / alpha.sum()).item() == pytest.approx(x, abs=1e-3)
    assert (alpha.sum(1) @ axis / alpha.sum()).item() == pytest.approx(y, abs=1e-3)
    assert alpha.sum().item() == pytest.approx(torch.pi / 4 * (64 * size) ** 2, rel=0.02)


@pytest.mark.parametrize("side", [0.05, 0.31, 0.5, 1.7])
def test_every_texel_is_seen_once(side):
    weights = coverage(torch.tensor([0.5]), torch.tensor([side]), 32, 64)
    within = (weights.sum(2)[0] > 0.999).sum().item()
    assert weights.sum(2).max().item() == pytest.approx(1, abs=1e-5)
    assert within >= min(64, side * 64) - 2


def test_a_pixel_belongs_to_the_object_on_top():
    drawn = compose([scene(placed(BLUE, x=0.25), placed(DISC, x=0.5))], BANK, 64)
    assert drawn.owners[0, 32, 32] == 2
    assert drawn.owners[0, 32, 4] == 1
    assert drawn.owners[0, 2, 2] == 0
    assert torch.equal(drawn.pixels[0, :, 32, 32], torch.tensor([1.0, -1.0, -1.0]))


def test_an_object_may_stick_out():
    drawn = compose([scene(placed(BLUE, x=0.0, y=0.0))], BANK, 64)
    assert (drawn.owners == 1).sum() == 16 * 16


def test_a_scene_does_not_depend_on_its_neighbours():
    scenes = [scene(placed(DISC, 0.3, 0.4, 0.1 * n), placed(GREY, colour="red"), backdrop=backdrop("sea")) for n in range(1, 9)]
    alone, crowd = compose(scenes[3:4], BANK, 64), compose(scenes, BANK, 64)
    assert torch.allclose(alone.pixels[0], crowd.pixels[3], atol=1e-5)
    assert torch.equal(alone.owners[0], crowd.owners[3])


def test_the_same_scene_larger_shows_the_same():
    scenes = [scene(placed(DISC, 0.4, 0.6, 0.6), backdrop=backdrop(kind)) for kind in BACKDROPS]
    small, large = (compose(scenes, BANK, size_px).pixels for size_px in (32, 128))
    assert (torch.nn.functional.avg_pool2d(large, 4) - small).abs().mean() < 0.03


@pytest.mark.parametrize("colour", COLOURS)
def test_a_named_colour_is_the_colour_seen(colour):
    pixel = compose([scene(placed(GREY, colour=colour))], BANK, 64).pixels[0, :, 32, 32]
    plain = {name: torch.tensor(BACKDROP_RGB[name]) * 2 - 1 for name in COLOURS}
    assert min(plain, key=lambda name: torch.dist(pixel, plain[name]).item()) == colour


def test_white_and_black_parts_keep_their_colour():
    eye = square((200, 120, 40))
    eye[:3, :, :32], eye[:3, :16] = 255, 0
    pixels = compose([scene(placed(0, size=1.0, colour="green"))], bank_of(eye), 64).pixels[0]
    assert torch.allclose(pixels[:, 40, 10], torch.ones(3), atol=1e-3)
    assert torch.allclose(pixels[:, 8, 40], -torch.ones(3), atol=1e-3)
    assert pixels[1, 40, 50] > max(pixels[0, 40, 50], pixels[2, 40, 50])


@pytest.mark.parametrize("colour", PLAIN_COLOURS)
def test_a_plain_backdrop_is_of_one_colour(colour):
    pixels = compose([scene(backdrop=Backdrop("plain", (colour,)))], BANK, 16).pixels[0]
    assert torch.allclose(pixels, (torch.tensor(BACKDROP_RGB[colour]) * 2 - 1).reshape(3, 1, 1).expand_as(pixels), atol=1e-6)


def test_backdrops_of_different_kinds_look_different():
    pixels = compose([scene(backdrop=backdrop(kind)) for kind in BACKDROPS], BANK, 64).pixels
    assert pixels.isfinite().all()
    assert torch.pdist(pixels.flatten(1), p=1).min() / pixels[0].numel() > 0.1


def test_other_words_change_no_pixel():
    said = [scene(placed(DISC), backdrop=backdrop("dots"), caption=caption) for caption in ("a disc", "one red disc on dots")]
    one, other = compose(said, BANK, 64).pixels
    assert torch.equal(one, other)
