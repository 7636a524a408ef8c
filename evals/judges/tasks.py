"""What the judges learn, as tasks of the training loop; each is one loss over fresh renders."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, nll_loss, smooth_l1_loss

from evals.judges.nets import SLOTS, MatchNet, SceneNet, SpriteNet
from evals.judges.renders import UNCLEAR, Renders
from evals.judges.words import hashed
from training.data.scenes import BACKDROPS, PLAIN_COLOURS, Scene

CELLS = 16
LARGE = 0.6
"""From this side on (share of the picture's), an object belongs to the slot of large ones."""
SPREAD = 0.8
"""Standard deviation, in cells, of the heat around a centre."""
COLOUR_WEIGHT = 0.3


class ClassifierTask:
    """Names one object: cross entropy of its group and, where its colour is clear, of that.

    The prototypes begin as what the sprites look like: known beforehand, it need not be learned by heart from a few examples
    of each group. The net learns to see those looks through backdrop, place, size, colour and noise.
    """

    name = "classifier"

    def __init__(self, net: SpriteNet, renders: Renders) -> None:
        self.net, self.renders = net, renders
        with torch.no_grad():
            net.prototypes.copy_(renders.looks(net.prototypes.shape[-1]))

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """Of one fresh batch."""
        crops = self.renders.crops(batch, generator)
        _, groups, colours = self.net(crops.pixels)
        return nll_loss(groups, crops.groups) + COLOUR_WEIGHT * cross_entropy(
            colours.float(), crops.colours, ignore_index=UNCLEAR
        )

    def grid(self, net: nn.Module) -> None:
        """There is nothing to see."""
        return None


class DetectorTask:
    """Finds centres and their boxes, as CenterNet does (Zhou et al. 2019, equation 1), and names the backdrop."""

    name = "detector"

    def __init__(self, net: SceneNet, renders: Renders) -> None:
        self.net, self.renders = net, renders

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """Of one fresh batch."""
        scenes = self.renders.scenes(batch, generator)
        pixels = self.renders.pictures(scenes, generator)
        boxes, kinds, colours = self.net(pixels)
        heat, wanted = (target.to(pixels.device) for target in box_targets(scenes))
        is_centre = heat == 1
        got, true = boxes[:, :, 1:].permute(0, 1, 3, 4, 2)[is_centre].float(), wanted.permute(0, 1, 3, 4, 2)[is_centre]
        placed = smooth_l1_loss(got[:, :2].sigmoid(), true[:, :2], beta=0.1) + smooth_l1_loss(got[:, 2], true[:, 2], beta=0.1)
        kind = torch.tensor([BACKDROPS.index(scene.backdrop.kind) for scene in scenes], device=pixels.device)
        plain = torch.tensor([_plain_colour(scene) for scene in scenes], device=pixels.device)
        behind = cross_entropy(kinds.float(), kind) + cross_entropy(colours.float(), plain, ignore_index=UNCLEAR)
        return focal_loss(boxes[:, :, 0].float(), heat) + 2 * placed + 0.3 * behind

    def grid(self, net: nn.Module) -> None:
        """There is nothing to see."""
        return None


class MatchTask:
    """CLIP's symmetric contrast of pictures and their captions (Radford et al. 2021, figure 3)."""

    name = "matcher"

    def __init__(self, net: MatchNet, renders: Renders) -> None:
        self.net, self.renders = net, renders

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """Of one fresh batch."""
        scenes = self.renders.scenes(batch, generator)
        pixels = self.renders.pictures(scenes, generator)
        pictures = self.net.picture(pixels)
        captions = self.net.caption(*hashed([scene.caption for scene in scenes], self.net.words.num_embeddings, pixels.device))
        logits = self.net.log_scale.exp().clamp_max(100) * pictures @ captions.mT
        own = torch.arange(batch, device=pixels.device)
        return (cross_entropy(logits, own) + cross_entropy(logits.mT, own)) / 2

    def grid(self, net: nn.Module) -> None:
        """There is nothing to see."""
        return None


def box_targets(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    """Heat (B, SLOTS, CELLS, CELLS): 1 where a centre lies, falling off around it. Boxes (B, SLOTS, 3, CELLS, CELLS), set where
    heat is 1: the centre's place in its cell and the logarithm of the side."""
    heat = torch.zeros(len(scenes), SLOTS, CELLS, CELLS)
    boxes = torch.zeros(len(scenes), SLOTS, 3, CELLS, CELLS)
    middles = torch.arange(CELLS) + 0.5
    for row, scene in enumerate(scenes):
        for placed in scene.objects:
            x, y = (min(max(value, 0.0), 1 - 1e-6) * CELLS for value in (placed.x, placed.y))
            slot, cell = int(placed.size >= LARGE), (int(y), int(x))
            squared = (middles - y)[:, None] ** 2 + (middles - x)[None] ** 2
            near = torch.exp((squared[cell] - squared).clamp_max(0) / (2 * SPREAD**2))
            heat[row, slot] = torch.maximum(heat[row, slot], near * (1 - 1e-3))
            heat[row, slot, *cell] = 1
            boxes[row, slot, :, *cell] = torch.tensor([x % 1, y % 1, math.log(placed.size)])
    return heat, boxes


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Penalty-reduced focal loss per centre (Zhou et al. 2019, equation 1; alpha 2, beta 4)."""
    is_centre, p = heat == 1, logits.sigmoid()
    centres = (1 - p) ** 2 * logsigmoid(logits) * is_centre
    others = (1 - heat) ** 4 * p**2 * logsigmoid(-logits) * ~is_centre
    return -(centres + others).sum() / is_centre.sum().clamp_min(1)


def _plain_colour(scene: Scene) -> int:
    return PLAIN_COLOURS.index(scene.backdrop.colours[0]) if scene.backdrop.kind == "plain" else UNCLEAR
