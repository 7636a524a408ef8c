"""Drawing one of a few values from a net's logits."""

from __future__ import annotations

import torch
from torch import Tensor


def nucleus(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    """Probabilities of the most probable values that together have at least `top_p` (Holtzman et al. 2020, eq. 2 and 3).

    logits: (B, V). temperature: 1 leaves them as they are, less sharpens. top_p: above 0, at most 1. Returns (B, V), sums 1.
    """
    probabilities = (logits / temperature).softmax(dim=-1)
    ordered, places = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = torch.where(before < top_p, ordered, 0.0)
    return torch.zeros_like(probabilities).scatter(-1, places, kept / kept.sum(dim=-1, keepdim=True))


def invert_cdf(probabilities: Tensor, chance: Tensor) -> Tensor:
    """The value at which the running sum of probabilities passes `chance`.

    Of ordered values: where two machines differ by a rounding, they draw neighbours. probabilities: (B, V). chance: (B,) in
    [0, 1). Returns (B,) int64.
    """
    reached = probabilities.cumsum(dim=-1)
    # Scaled, and never past the last value: a float32 sum may end a little below 1, or have zeros behind its end.
    drawn = torch.searchsorted(reached, (chance * reached[:, -1:].squeeze(-1))[:, None], right=True)[:, 0]
    last = (probabilities > 0).long().cumsum(dim=-1).argmax(dim=-1)
    return torch.minimum(drawn, last)
