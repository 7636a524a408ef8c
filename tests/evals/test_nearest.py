"""The ranking that decides what a drawn picture looks like."""

import pytest
import torch
from torch import Tensor

from evals.nearest import Gallery, centred
from training.data.labels import SpriteInfo
from training.data.sprites import SpriteSet

RED, BLUE = (255, 0, 0), (0, 0, 255)


def shape(kind: str, colour: tuple[int, int, int]) -> Tensor:
    """(4, 64, 64) RGBA: a square or a ring of 32 px in the middle."""
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    far = (x**2 + y**2).sqrt()
    inside = (x.abs() < 16) & (y.abs() < 16) if kind == "square" else (far < 16) & (far > 9)
    return torch.cat([inside * torch.tensor(colour)[:, None, None], inside[None] * 255]).to(torch.uint8)


@pytest.fixture
def sprites() -> SpriteSet:
    drawings = {
        "red-square": shape("square", RED),
        "blue-square": shape("square", BLUE),
        "red-ring": shape("ring", RED),
        "blue-ring": shape("ring", BLUE),
    }
    infos = [SpriteInfo(name, name, name, (), None, None, None, None, "tiny") for name in drawings]
    return SpriteSet(infos, torch.stack(list(drawings.values())))


def nearest(sprites: SpriteSet, picture: Tensor, wanted: str) -> list[str]:
    return [near.name for near in Gallery(sprites).rank(picture, [wanted])[0].nearest]


def test_every_sprite_is_nearest_to_itself(sprites):
    rankings = Gallery(sprites).rank(sprites.composited(range(4), 64), list(sprites.names))
    assert [ranking.rank for ranking in rankings] == [1, 1, 1, 1]
    assert rankings[0].nearest[0].correlation == pytest.approx(1, abs=1e-4)


def test_a_shifted_picture_is_as_near_as_the_one_in_the_middle(sprites):
    shifted = torch.roll(sprites.composited([2], 64), (11, -9), dims=(2, 3))
    ranking = Gallery(sprites).rank(shifted, ["red-ring"])[0]
    assert (ranking.rank, ranking.nearest[0].correlation) == (1, pytest.approx(1, abs=1e-4))


def test_colour_counts(sprites):
    assert nearest(sprites, sprites.composited([1], 64), "blue-square")[0] == "blue-square"
    assert nearest(sprites, sprites.composited([0], 64), "blue-square")[0] == "red-square"


def test_a_wrong_picture_is_a_miss(sprites):
    ranking = Gallery(sprites).rank(sprites.composited([3], 64), ["red-square"])[0]
    assert ranking.rank > 1
    assert not ranking.hit(1)
    assert ranking.hit(4)


def test_a_blank_picture_is_near_to_nothing(sprites):
    ranking = Gallery(sprites).rank(torch.ones(1, 3, 64, 64), ["red-square"])[0]
    assert {near.correlation for near in ranking.nearest} == {0.0}


def test_a_name_that_no_sprite_bears_is_refused_rather_than_missed(sprites):
    with pytest.raises(ValueError, match="green-ring"):
        Gallery(sprites).rank(sprites.composited([0], 64), ["green-ring"])


def test_skin_tones_of_one_person_are_one_name(sprites):
    toned = [SpriteInfo(f"elf-{i}", "elf" if i < 2 else f"tree-{i}", "", (), None, None, None, None, "tiny") for i in range(4)]
    ranking = Gallery(SpriteSet(toned, sprites.pixels)).rank(sprites.composited([1], 64), ["elf"])[0]
    assert ranking.rank == 1


def test_centring_moves_by_whole_pixels_and_lets_white_in():
    ink = torch.zeros(1, 3, 64, 64)
    ink[:, :, 0:2, 0:2] = 0.7
    moved = centred(ink)
    assert moved.sum().item() == pytest.approx(ink.sum().item())
    assert moved[0, 0, 31:33, 31:33].tolist() == [[pytest.approx(0.7)] * 2] * 2
