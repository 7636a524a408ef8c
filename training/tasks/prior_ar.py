"""The autoregressive prior: each code of z_i from the caption and the codes before it, by cross-entropy (DALL·E 2, §2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.clip.text import TextFeatures
from models.nets.prior_ar import PriorAR
from models.samplers.nucleus import invert_cdf
from training.examples import Source, drop_text
from training.sampling import similarity_map

DROP_CONDITION = 0.1
GRID_ROWS = 64


class PriorARTask:
    """Trains on the codes of pictures' z_i and their captions. Its net's codes are fitted beforehand, by `fit_codes`."""

    name = "prior_ar"

    def __init__(self, net: PriorAR, source: Source) -> None:
        self.net, self.source = net, source

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """Cross-entropy per code, in nats; guidance learns from the rows whose caption, z_t and dot product are dropped."""
        of = self.source.take(batch, generator)
        dropped = (torch.rand(batch, generator=generator) < DROP_CONDITION).to(of.z_i.device, non_blocking=True)
        with torch.autocast(of.z_i.device.type, enabled=False):  # bfloat16 would take a code for its neighbour
            codes = self.net.codes.encode(of.z_i)
            dots = self.net.dot_tokens(of.z_i, of.text.embeds).masked_fill(dropped, self.net.no_dot)
        text = drop_text(of.text, self.source.empty, dropped)
        logits = self.net(text, torch.cat([dots[:, None], codes[:, :-1]], dim=1))
        return nn.functional.cross_entropy(logits.float().flatten(0, 1), codes.flatten())

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """z_i drawn from captions against the z_i of their pictures, by cosine similarity."""
        assert isinstance(net, PriorAR)
        of = self.source.take(GRID_ROWS, torch.Generator().manual_seed(0))
        dots = net.dot_tokens(of.z_i, of.text.embeds)
        drawn = draw_codes(net, of.text, dots, torch.Generator().manual_seed(0))
        return similarity_map(net.codes.decode(drawn), of.z_i).cpu()


def draw_codes(net: PriorAR, text: TextFeatures, dots: Tensor, generator: torch.Generator) -> Tensor:
    """Codes of one z_i for each caption, without guidance. dots: (B,) tokens. Returns (B, K) int64."""
    read = net.read(text)
    tokens, drawn = dots, []
    for number in range(net.config.components):
        logits = net.step(tokens, torch.full_like(tokens, number), *read)
        chance = torch.rand(len(tokens), generator=generator).to(logits.device)
        tokens = invert_cdf(logits.float().softmax(-1), chance)
        drawn.append(tokens)
    return torch.stack(drawn, dim=1)
