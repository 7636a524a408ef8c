"""Masks for training: object masks cover one whole object, random ones fall anywhere, and chance is the generator's alone."""

from __future__ import annotations

import pytest
import torch

from training.masks import MaskPolicy, draw_masks, object_masks, random_masks


def two_objects(batch: int) -> torch.Tensor:
    """A small square at the upper left and a tall box at the right, 64 px."""
    owners = torch.zeros(batch, 64, 64, dtype=torch.uint8)
    owners[:, 8:20, 8:20] = 1
    owners[:, 10:60, 40:50] = 2
    return owners


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_object_mask_covers_one_whole_object_and_a_margin() -> None:
    owners = two_objects(32)
    masks = object_masks(owners, seeded())[:, 0]
    sizes = [(owners[0] == number).sum() for number in (1, 2)]
    hidden = torch.stack([(masks * (owners == number)).sum((1, 2)) / size for number, size in zip((1, 2), sizes, strict=True)])
    assert ((hidden == 1).sum(0) >= 1).all(), "a mask that covers no object whole"
    assert (masks.sum((1, 2)) > torch.where(hidden[0] == 1, sizes[0], sizes[1])).all(), "a mask without a margin"
    assert masks.mean() < 0.5


def test_each_object_has_its_turn() -> None:
    masks = object_masks(two_objects(64), seeded())[:, 0]
    first, second = masks[:, 14, 14].sum(), masks[:, 30, 45].sum()
    assert first > 16
    assert second > 16


def test_boxes_and_outlines_both_occur() -> None:
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    slanted = ((rows - columns).abs() < 3) & (rows > 9) & (rows < 54)
    masks = object_masks(slanted.to(torch.uint8).expand(32, -1, -1), seeded())[:, 0]
    assert (masks[:, 12, 12] == 1).all()
    assert 0.5 < masks[:, 12, 51].mean() < 0.9, "the corner that only a box covers"


def test_an_object_hidden_nearly_whole_is_not_chosen() -> None:
    owners = two_objects(32)
    owners[owners == 1] = 0
    owners[:, 0, :3] = 1
    assert (object_masks(owners, seeded())[:, 0, 30, 45] == 1).all()


def test_a_picture_without_objects_gets_a_random_mask() -> None:
    masks = object_masks(torch.zeros(8, 64, 64, dtype=torch.uint8), seeded())
    assert (masks.mean((1, 2, 3)) > 0).all()


def test_random_masks_leave_no_picture_untouched_and_no_picture_whole() -> None:
    share = random_masks(256, 64, seeded()).mean((1, 2, 3))
    assert share.min() > 0
    assert share.max() < 1


@pytest.mark.parametrize("policy", ["none", "object", "random", "mixed"])
def test_masks_are_zeros_and_ones_by_the_generator_alone(policy: MaskPolicy) -> None:
    masks = draw_masks(two_objects(16), policy, seeded(3))
    assert masks.shape == (16, 1, 64, 64)
    assert set(masks.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(masks, draw_masks(two_objects(16), policy, seeded(3)))


def test_without_a_policy_all_is_painted() -> None:
    assert (draw_masks(two_objects(2), "none", seeded()) == 1).all()
