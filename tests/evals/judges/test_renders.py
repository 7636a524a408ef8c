import torch

from evals.judges.renders import NO_COLOUR, UNCLEAR, colour_shares
from tests.evals.judges.tiny_bank import bank, renders
from training.data.scenes import COLOURS


def test_a_red_disc_is_red_and_a_grey_bar_of_no_colour():
    shown = renders()
    named = [COLOURS[at] if at not in (NO_COLOUR, UNCLEAR) else None for at in shown.natural]
    assert named == ["red", "blue", "green", None]
    assert shown.natural[3] == NO_COLOUR


def test_shares_count_visible_pixels_only():
    assert colour_shares(bank().levels[16])[0, COLOURS.index("red")] > 0.95


def test_a_given_colour_is_what_one_sees():
    assert renders().colour(0, "purple") == COLOURS.index("purple")


def test_crops_bear_the_groups_of_what_they_show():
    shown = renders()
    crops = shown.crops(24, torch.Generator().manual_seed(3))
    assert crops.pixels.shape == (24, 3, 64, 64)
    assert set(crops.groups.tolist()) == {0, 1, 2, 3}
    assert ((crops.colours >= UNCLEAR) & (crops.colours <= NO_COLOUR)).all()


def test_crops_depend_on_the_generator_alone():
    shown = renders()
    one, other = (shown.crops(6, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.pixels, other.pixels)
