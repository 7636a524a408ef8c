from dataclasses import replace

import torch

from evals.judges.groups import Groups
from evals.judges.renders import EVEN, NO_COLOUR, UNCLEAR, Renders, colour_shares
from tests.evals.judges.tiny_bank import SHARES, SIDE, bank, info, pixels, renders
from training.data.scenes import COLOURS
from training.data.sprite_bank import SpriteBank


def test_a_red_disc_is_red_and_a_grey_bar_of_no_colour():
    shown = renders()
    named = [COLOURS[at] if at not in (NO_COLOUR, UNCLEAR) else None for at in shown.natural]
    assert named == ["red", "blue", "green", None]
    assert shown.natural[3] == NO_COLOUR


def test_shares_count_visible_pixels_only():
    assert colour_shares(bank().levels[16])[0, COLOURS.index("red")] > 0.95


def test_a_given_colour_is_what_one_sees():
    assert renders().colour(0, "purple") == COLOURS.index("purple")


def test_what_does_not_take_a_colour_is_given_none():
    white = torch.where(pixels("disc")[3:] > 0, torch.tensor(250, dtype=torch.uint8), 0).expand(4, -1, -1)
    both = SpriteBank.of([info("disc"), info("egg")], torch.stack([pixels("disc"), white]), SIDE)
    scenes = Renders(both, Groups({"disc": "disc", "egg": "egg"}), SHARES).scenes(200, torch.Generator().manual_seed(3))
    coloured = [placed.concept for scene in scenes for placed in scene.objects if placed.colour]
    assert len(coloured) > 10
    assert set(coloured) == {"disc"}


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


def test_a_large_thing_exactly_in_the_middle_is_seen_alone_at_times_and_with_one_inside_it_at_times():
    shares = replace(EVEN, styles=SHARES.styles, concepts=SHARES.concepts)
    scenes = Renders(bank(), renders().groups, shares).scenes(200, torch.Generator().manual_seed(3))
    in_the_middle = [scene for scene in scenes if (scene.objects[0].x, scene.objects[0].y) == (0.5, 0.5)]
    large = [len(scene.objects) for scene in in_the_middle if scene.objects[0].size > 0.8]
    assert large.count(1) > 10
    assert large.count(2) > 2
