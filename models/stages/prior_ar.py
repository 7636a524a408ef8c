"""The autoregressive prior's stage: one code of z_i a step, by guided nucleus sampling (DALL·E 2, §2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.clip.text import TextFeatures
from models.errors import SamplingError
from models.nets.prior_ar import PriorAR
from models.noise import uniform
from models.row import DrawRequest, Row
from models.samplers import guide
from models.samplers.nucleus import invert_cdf, nucleus
from models.stages.prior import captions, keep_best
from models.stages.stage import Stage, present


class PriorARStage(Stage):
    """Caption to CLIP image embedding.

    A row has a lane for each candidate of each caption, and with guidance as many behind them, which read the empty caption.
    Its `given` is what the net's `read` gave for its lanes, and of each candidate one chance for each token.
    """

    name = "prior_ar"
    cost = 0.2

    def __init__(
        self, net: PriorAR, empty: TextFeatures, *, temperature: float, top_p: float, device: str, bucket: int
    ) -> None:
        """empty: features of the empty caption, which stand for a dropped one. temperature, top_p: as in `nucleus`.

        Raises SamplingError for a temperature or a top_p that nothing can be drawn by.
        """
        if temperature <= 0 or not 0 < top_p <= 1:
            raise SamplingError(f"temperature {temperature} must be above 0, and top_p {top_p} in (0, 1]")
        super().__init__(device, bucket)
        self.net, self.empty, self.temperature, self.top_p = net, empty, temperature, top_p

    def steps(self, request: DrawRequest) -> int:
        """One for each code."""
        return self.net.config.components

    def enter(self, row: Row) -> None:
        """Read the captions, and draw the dot products with z_t from the top half of those seen in training."""
        row.stage, row.step, row.steps, row.plan = self.name, 0, self.steps(row.request), None
        request = row.request
        streams = [self.name, *(f"{self.name}/{number}" for number in range(1, request.prior_candidates))]
        chances = torch.stack([uniform(row.noise_seed, stream, 0, 1 + row.steps) for stream in streams]).to(self.device)
        chances = chances.repeat(len(captions(row)), 1)
        texts = [text for text in captions(row) for _ in streams]
        texts += [] if request.prior_guidance_scale == 1 else [self.empty] * len(texts)
        row.given = (*self.net.read(joined(texts)), chances)
        row.tokens = self.net.high_dot(chances[:, 0])[:, None]

    def advance(self, rows: Sequence[Row]) -> None:
        """Read each row's last token and draw the code after it."""
        lanes = [len(row.given[0]) for row in rows]
        last = torch.cat([self._last(row) for row in rows])
        number = torch.tensor([row.step for row, count in zip(rows, lanes, strict=True) for _ in range(count)])
        # A row alone is read where it lies: its keys and values are megabytes.
        of_rows = zip(*(row.given[:-1] for row in rows), strict=True)
        kept, *others = (parts[0] if len(parts) == 1 else torch.cat(parts) for parts in of_rows)
        logits = self.net.step(last, number.to(self.device), kept, *others)
        for row, own, read in zip(rows, torch.split(logits, lanes), torch.split(kept, lanes), strict=True):
            row.given = (read, *row.given[1:])
            row.tokens = torch.cat([present(row.tokens), self._drawn(row, own)[:, None]], dim=1)
            self.settle(row, own)

    def leave(self, row: Row) -> None:
        """Keep of the z_i that the codes say each caption's best."""
        keep_best(row, self.net.codes.decode(present(row.tokens)[:, 1:]))

    def _last(self, row: Row) -> Tensor:
        """What the row's lanes read next, (lanes,): with guidance all twice, but no dot product beside the empty caption."""
        last = present(row.tokens)[:, -1]
        again = torch.full_like(last, self.net.no_dot) if row.step == 0 else last
        return torch.cat([last, again])[: len(row.given[0])]

    def _drawn(self, row: Row, logits: Tensor) -> Tensor:
        """The next code of each candidate, (candidates,). logits: (lanes, buckets)."""
        chances = row.given[-1]
        cond, uncond = logits[: len(chances)], logits[len(chances) :]
        scale = torch.full((len(cond),), row.request.prior_guidance_scale, device=self.device)
        mixed = guide(cond, uncond, scale) if len(uncond) else cond
        return invert_cdf(nucleus(mixed, self.temperature, self.top_p), chances[:, row.step + 1])


def joined(texts: Sequence[TextFeatures]) -> TextFeatures:
    """Captions of one length, one after another."""
    return TextFeatures(
        torch.cat([text.embeds for text in texts]),
        torch.cat([text.tokens for text in texts]),
        torch.cat([text.mask for text in texts]),
        tuple(count for text in texts for count in text.truncated),
    )
