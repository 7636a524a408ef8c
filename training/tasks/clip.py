"""CLIP: the image tower and the text projection, by open_clip's contrastive loss over a frozen sentence tower."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from models.clip.image import vision_net
from models.nets.bert import sentence_mean
from training.distributed import ALONE, Ranks
from training.examples import Examples, Source
from training.sampling import similarity_map

TEMPERATURE = 0.07
SCALES = torch.logspace(1, 2, 21)
"""Logit scales that a CLIP is tried with before it learns on: its own is not in a model folder."""
GRID_ROWS = 64


class ClipNet(nn.Module):
    """What learns: the image tower, the text projection and the temperature."""

    def __init__(self, embedding_dim: int, text_width: int, vision_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.visual = vision_net(embedding_dim, vision_cfg)
        self.proj = nn.Linear(text_width, embedding_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))
        nn.init.eye_(self.proj.weight)

    def forward(self, pixels: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """pixels: (B, 3, S, S) in [-1, 1]. means: (B, W), the sentence tower's mean states. Unit z_i and z_t, (B, D) each."""
        z_i, z_t = self.visual(pixels), self.proj(means)
        return nn.functional.normalize(z_i, dim=-1), nn.functional.normalize(z_t, dim=-1)


class ClipTask:
    """Pictures against their own captions among the batch's; equal scenes in one batch are too rare to matter.

    keep: weight of `moved`, for which the source's z_i are those of the CLIP that is started from; the text projection stands
    still then (Zhai et al. 2022, "LiT": a locked text side, here so that z_t, too, is what decoders know).
    """

    name = "clip"

    def __init__(self, net: ClipNet, source: Source, ranks: Ranks = ALONE, keep: float = 0) -> None:
        """ranks: the processes that share a batch; each contrasts its part with all of it."""
        from open_clip.loss import ClipLoss

        self.net, self.source, self.keep = net, source, keep
        net.proj.requires_grad_(not keep)
        shared = ranks.count > 1
        self.loss_of: nn.Module = ClipLoss(local_loss=shared, gather_with_grad=shared, rank=ranks.rank, world_size=ranks.count)

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """Symmetric cross-entropy over the batch's cosine similarities (Radford et al. 2021, fig. 3)."""
        of = self.source.take(batch, generator)
        z_i, z_t = self.net(of.pixels, sentence_mean(of.text.tokens, of.text.mask))
        with torch.autocast(z_i.device.type, enabled=False):  # logits reach 100, where bfloat16 steps by a half
            z_i, z_t, scale = z_i.float(), z_t.float(), self.net.logit_scale.exp().clamp(max=100)
            loss: Tensor = self.loss_of(z_i, z_t, scale)
            if self.keep:
                loss = loss + self.keep * moved(z_i, nn.functional.normalize(of.z_i, dim=-1), z_t, scale.detach())
        return loss

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """Captions against pictures of one batch, by cosine similarity."""
        of = self.source.take(GRID_ROWS, torch.Generator().manual_seed(0))
        z_i, z_t = net(of.pixels, sentence_mean(of.text.tokens, of.text.mask))
        return similarity_map(z_t, z_i).cpu()


def moved(z_i: Tensor, before: Tensor, z_t: Tensor, scale: Tensor) -> Tensor:
    """How far z_i went from where it was, 1 - cosine: the mean over pictures, each by how surely its caption was found before.

    What it knew stays, what it took for another is free to go.

    z_i, before, z_t: (B, D), unit; now, before, and of the pictures' captions. scale: of the logits.
    """
    sure = (scale * before @ z_t.T).softmax(dim=1).diagonal()
    return (sure * (1 - (z_i * before).sum(-1))).mean()


@torch.no_grad()
def fit_scale(net: ClipNet, examples: Examples) -> None:
    """Set the logit scale to that of `SCALES` under which a net that has learned finds its captions best."""
    z_i, z_t = net(examples.pixels, sentence_mean(examples.text.tokens, examples.text.mask))
    own = torch.arange(len(z_i), device=z_i.device)
    losses = [float(nn.functional.cross_entropy(scale * z_i @ z_t.T, own)) for scale in SCALES.tolist()]
    net.logit_scale.fill_(SCALES[losses.index(min(losses))].log())
