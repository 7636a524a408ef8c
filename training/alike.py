"""Batches in which a colour tells few pictures apart, so that CLIP must learn the names beneath it."""

from __future__ import annotations

import torch

from models.clip.text import TextFeatures
from training.bank import Bank
from training.data.errors import DataError
from training.data.scenes import COLOURS
from training.examples import Examples


class Alike:
    """A bank whose batches have a share of captions that name one colour, another by lot each time.

    Among chance captions a coloured thing's colour mostly is all that it takes to find its own, and a contrastive loss teaches
    no more than that (hard negatives: Robinson et al. 2021, "Contrastive Learning with Hard Negative Samples").
    """

    def __init__(self, bank: Bank, share: float) -> None:
        """share: of a batch. Raises DataError for a bank whose captions name no colour."""
        self.bank, self.share = bank, share
        self.empty: TextFeatures = bank.empty
        said = [frozenset(caption.lower().split()) for caption in bank.captions]
        named = [[row for row, words in enumerate(said) if colour in words] for colour in COLOURS]
        self.rows = [torch.tensor(rows) for rows in named if rows]
        if not self.rows:
            raise DataError("clip.alike: no caption names a colour; set it to 0")

    def take(self, batch: int, generator: torch.Generator) -> Examples:
        """The share's rows, each once, and chance rows of the whole bank; fewer of the former where there are not so many."""
        named = self.rows[int(torch.randint(len(self.rows), (), generator=generator))]
        alike = named[torch.randperm(len(named), generator=generator)[: round(self.share * batch)]]
        others = torch.randint(len(self.bank), (batch - len(alike),), generator=generator)
        return self.bank.rows(torch.cat([alike, others]))
