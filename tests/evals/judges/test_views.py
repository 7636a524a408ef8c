import math

import torch

from evals.judges.views import windows, worsen


def picture() -> torch.Tensor:
    """(1, 3, 64, 64): a smooth ramp to the right in red, downwards in green."""
    ramp = (torch.arange(64) + 0.5) / 32 - 1
    return torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64)])[None]


def test_the_whole_picture_is_its_own_window():
    torch.testing.assert_close(windows(picture(), torch.tensor([[0.5, 0.5, 1.0]])), picture())


def test_a_window_shows_its_box():
    cut = windows(picture(), torch.tensor([[0.75, 0.25, 0.25]]))[0]
    assert abs(cut[0].mean() - 0.5) < 1e-4  # the middle of the box: x = 0.75 is 0.5 on the ramp from -1 to 1
    assert abs(cut[1].mean() + 0.5) < 1e-4
    assert abs((cut[0, 0, -1] - cut[0, 0, 0]) - 0.5 * 63 / 64) < 1e-4  # a quarter of the ramp


def test_a_quarter_turn_makes_right_of_down():
    turned = windows(picture(), torch.tensor([[0.5, 0.5, 0.5]]), torch.tensor([math.pi / 2]))[0]
    assert turned[1, 32, 63] - turned[1, 32, 0] > 0.9
    assert abs(turned[0, 32, 63] - turned[0, 32, 0]) < 1e-4


def test_beyond_the_picture_its_edge_goes_on():
    cut = windows(picture(), torch.tensor([[1.0, 0.5, 1.0]]))[0]
    assert torch.all(cut[0, :, 40:] == picture()[0, 0, 0, -1])


def test_worse_pictures_differ_stay_in_range_and_depend_on_the_seed_alone():
    pixels = picture().expand(6, -1, -1, -1)
    worse = worsen(pixels, torch.Generator().manual_seed(1))
    assert worse.abs().max() <= 1
    assert all((one - picture()[0]).abs().mean() > 1e-3 for one in worse)
    assert torch.equal(worse, worsen(pixels, torch.Generator().manual_seed(1)))
    assert torch.equal(pixels[0], picture()[0])
