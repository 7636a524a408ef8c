import math

import pytest
import torch

from evals.judges.judges import decode
from evals.judges.nets import MatchNet, SceneNet, SpriteNet
from evals.judges.tasks import ClassifierTask, DetectorTask, MatchTask, box_targets, focal_loss
from tests.evals.judges.tiny_bank import renders
from training.data.scenes import Backdrop, Placed, Scene


def scene(*places: tuple[float, float, float]) -> Scene:
    objects = tuple(Placed(0, "disc", None, *place) for place in places)
    return Scene(objects, Backdrop("plain", ("white",)), "flat", None, None, "discs")


def logits(value: torch.Tensor) -> torch.Tensor:
    return value.clamp(1e-4, 1 - 1e-4).logit()


@pytest.mark.parametrize(
    "places", [[(0.5, 0.5, 0.9)], [(0.5, 0.5, 0.3), (0.52, 0.5, 0.95)], [(0.2, 0.2, 0.3), (0.8, 0.2, 0.3), (0.5, 0.8, 0.3)]]
)
def test_targets_decode_to_the_boxes_that_they_were_made_of(places):
    heat, boxes = box_targets([scene(*places)])
    maps = torch.cat([logits(heat[0])[:, None], logits(boxes[0][:, :2]), boxes[0][:, 2:]], 1)
    found = sorted((round(box.x, 2), round(box.y, 2), round(box.size, 2)) for box in decode(maps))
    assert found == sorted(places)


def test_one_thing_found_in_both_slots_is_one():
    heat, boxes = box_targets([scene((0.5, 0.5, 0.55))])
    maps = torch.cat([logits(heat[0])[:, None], logits(boxes[0][:, :2]), boxes[0][:, 2:]], 1)
    maps[1] = maps[0]
    maps[1, 3] = maps[1, 3] + math.log(1.2)
    assert len(decode(maps)) == 1


def test_a_centre_costs_nothing_where_it_is_and_much_where_it_is_not():
    heat, _ = box_targets([scene((0.3, 0.3, 0.3))])
    right, moved = logits(heat), logits(heat.roll(5, -1))
    assert focal_loss(right, heat) < 0.05 < 1 < focal_loss(moved, heat)


@pytest.mark.parametrize(
    ("task", "net"),
    [(ClassifierTask, SpriteNet(4)), (DetectorTask, SceneNet()), (MatchTask, MatchNet(64))],
    ids=lambda x: str(x)[:20],
)
def test_each_judge_learns_from_a_batch(task, net):
    torch.manual_seed(0)
    lesson = task(net, renders())
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = lesson.loss(8, torch.Generator().manual_seed(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]
