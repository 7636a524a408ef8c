"""CLIP: the image tower and the text projection, by open_clip's contrastive loss over a frozen sentence tower."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.clip.image import vision_net
from models.clip.text import TextTower
from models.nets.bert import sentence_mean
from training.bank import Pictures, encode_all
from training.sampling import similarity_map

TEMPERATURE = 0.07


class ClipNet(nn.Module):
    """What learns: the image tower, the text projection and the temperature."""

    def __init__(self, embedding_dim: int, text_width: int, vision_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.visual = vision_net(embedding_dim, vision_cfg)
        self.proj = nn.Linear(text_width, embedding_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))
        nn.init.eye_(self.proj.weight)


class ClipTask:
    """Half of each batch are the recipe's objects, half are other sprites of the style, so that z_i tells them apart too.

    No two pictures of a batch show the same object: a repeated one would count as a wrong answer.
    """

    name = "clip"

    def __init__(self, net: ClipNet, tower: TextTower, pictures: Pictures, texts: Sequence[Sequence[str]], own: int) -> None:
        """texts: the captions of each object of `pictures`. own: how many of the first objects are the recipe's."""
        from open_clip.loss import ClipLoss

        self.net, self.pictures, self.own = net, pictures, own
        self.loss_of: nn.Module = ClipLoss()
        self.first = torch.tensor([0, *(len(t) for t in texts)]).cumsum(0)
        self.pooled = _pooled(tower, [text for group in texts for text in group])
        self.rows = [torch.nonzero(pictures.objects == number).flatten() for number in range(len(texts))]

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """Symmetric cross-entropy over the batch's cosine similarities (Radford et al. 2021, fig. 3)."""
        own = torch.randperm(self.own, generator=generator)[: batch // 2]
        others = self.own + torch.randperm(len(self.rows) - self.own, generator=generator)[: batch - len(own)]
        objects = torch.cat([own, others])
        chance = torch.rand(2, len(objects), generator=generator)
        pictures = torch.stack(
            [self.rows[o][int(c * len(self.rows[o]))] for o, c in zip(objects.tolist(), chance[0], strict=True)]
        )
        low, high = self.first[objects], self.first[objects + 1]
        captions = low + (chance[1] * (high - low)).long()
        device = self.net.logit_scale.device
        z_i = nn.functional.normalize(self.net.visual(self.pictures.take(pictures, device)), dim=-1)
        z_t = nn.functional.normalize(self.net.proj(self.pooled[captions].to(device)), dim=-1)
        loss: Tensor = self.loss_of(z_i.float(), z_t.float(), self.net.logit_scale.exp().clamp(max=100))
        return loss

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """Usual names against pictures, one of each of the recipe's objects, by cosine similarity."""
        pictures = torch.stack([rows[0] for rows in self.rows[: self.own]])
        device = self.net.logit_scale.device
        z_t = self.net.proj(self.pooled[self.first[: self.own]].to(device))
        return similarity_map(z_t, self.net.visual(self.pictures.take(pictures, device))).cpu()


def _pooled(tower: TextTower, texts: list[str]) -> Tensor:
    """The sentence tower's mean states before the projection, (M, W); fixed, so computed once."""
    features = encode_all(tower, texts)
    return sentence_mean(features.tokens, features.mask).clone()
