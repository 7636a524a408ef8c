"""Finding things by words: pieces of a picture, and which of them CLIP is asked about."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from models.clip.captions import Captions
from models.clip.find import box_mask, connected, find, patches_of, pieces, squares, stands_out

RED, GREEN = (255, 0, 0), (0, 200, 0)


def two_things() -> np.ndarray:
    """A red and a green square on white, (64, 64, 3)."""
    picture = np.full((64, 64, 3), 255, dtype=np.uint8)
    picture[8:28, 6:22], picture[36:60, 34:58] = RED, GREEN
    return picture


class Eye:
    """A cascade whose CLIP knows red things from green ones."""

    name = "eye"

    def __init__(self) -> None:
        self.stages = {"decoder": SimpleNamespace(device="cpu")}
        self.image = SimpleNamespace(image_size=64, encode=self.colours)
        self.text = SimpleNamespace(encode=lambda words: SimpleNamespace(embeds=self.named(words[0])))

    @staticmethod
    def colours(pictures: torch.Tensor) -> torch.Tensor:
        """How red and how green the middle of each is."""
        middle = (pictures[..., 16:48, 16:48] + 1) / 2
        red, green = (middle[:, one] - middle[:, other] for one, other in ((0, 1), (1, 0)))
        return torch.stack([red.clamp_min(0).mean((1, 2)), green.clamp_min(0).mean((1, 2))], dim=1) * 2

    @staticmethod
    def named(words: str) -> torch.Tensor:
        return torch.tensor([[float("red" in words), float("green" in words)]])


def test_the_named_thing_is_found_and_not_the_other() -> None:
    for words, (rows, columns) in {"red": ((8, 28), (6, 22)), "green": ((36, 60), (34, 58))}.items():
        true = np.zeros((64, 64), dtype=bool)
        true[slice(*rows), slice(*columns)] = True
        found = find(Eye(), two_things(), words)
        assert found is not None
        assert (found & true).sum() / (found | true).sum() > 0.75


def test_what_nothing_looks_like_is_not_found() -> None:
    assert find(Eye(), two_things(), "blue") is None


def test_patches_stand_out_from_the_ground() -> None:
    small = two_things().astype(np.float32) / 127.5 - 1
    assert sorted(patches_of(stands_out(small))) == [(6.0, 8.0, 22.0, 28.0), (34.0, 36.0, 58.0, 60.0)]


def test_touching_pixels_are_one_group() -> None:
    marked = np.zeros((5, 5), dtype=bool)
    marked[0, 0] = marked[1, 1] = marked[4, 4] = True
    assert sorted(len(group) for group in connected(marked)) == [1, 2]


def test_squares_lie_inside_and_pieces_have_the_towers_size() -> None:
    assert all(0 <= left < right <= 64 and 0 <= top < bottom <= 64 for left, top, right, bottom in squares())
    assert pieces(torch.zeros(1, 3, 256, 256), squares()[:5]).shape == (5, 3, 64, 64)
    assert box_mask((0.0, 0.0, 64.0, 64.0)).all()


def test_the_nearest_caption_is_found() -> None:
    embeds = torch.eye(4)
    captions = Captions(SimpleNamespace())
    captions.__dict__["embeds"] = embeds
    assert captions.nearest(embeds[2:3]) == captions.words[2]
    assert len(captions.words) > 500
