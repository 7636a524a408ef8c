"""Numbers over many pictures: R-precision, diversity, kernel distance. Tensors from the judges in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from evals.statistics import Interval

CANDIDATES = 100
RESAMPLES = 1_000


def r_precision(matches: Tensor, captions: Sequence[str], *, candidates: int = CANDIDATES, seed: int = 0) -> list[bool]:
    """Is each picture's own caption the best match among it and chance captions of other pictures (Xu et al. 2018, §4.1)?

    matches: (B, B), how well picture i fits caption j; its own lies on the diagonal. A tie is a miss. The other captions are
    drawn without those that read the same; all are taken where there are fewer than `candidates` - 1.
    """
    rng, hits = np.random.default_rng(seed), []
    for row, own in enumerate(captions):
        others = [column for column, caption in enumerate(captions) if caption != own]
        if len(others) >= candidates:
            others = rng.choice(others, candidates - 1, replace=False).tolist()
        hits.append(bool((matches[row, others] < matches[row, row]).all()))
    return hits


def pairwise_distances(features: Tensor) -> list[float]:
    """How different the pictures of one prompt are: for each prompt the mean cosine distance over pairs of seeds.

    features: (prompts, seeds, F). In [0, 2]; 0 where all are alike.
    """
    unit = normalize(features.double(), dim=-1)
    seeds = unit.shape[1]
    off_diagonal = ~torch.eye(seeds, dtype=torch.bool)
    return [float((1 - one @ one.T)[off_diagonal].mean()) for one in unit]


def stretched(unit: Tensor) -> Tensor:
    """Unit vectors (n, F) as `kid` wants them, of norm √F: its kernel divides by F, and would hardly tell them apart."""
    return unit * math.sqrt(unit.shape[1])


def kid(drawn: Tensor, real: Tensor, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Kernel distance of two sets of pictures (Bińkowski et al. 2018, KID), with a 95 % bootstrap interval over the drawn ones.

    drawn: (n, F), real: (m, F), their numbers about 1 in size. The unbiased squared maximum mean discrepancy under the kernel
    (x·y / F + 1)³; about 0, even below it, where both come from one distribution. A picture that is drawn twice into a resample
    is never compared with itself, for that would add a bias.
    """
    within, across = _kernel(drawn, drawn), _kernel(drawn, real).mean(axis=1)
    real_within = _mean_off_diagonal(_kernel(real, real))
    np.fill_diagonal(within, 0)
    rng = np.random.default_rng(seed)
    size = len(within)

    def distance(weight: NDArray[np.float64]) -> float:
        pairs = weight.sum() ** 2 - (weight**2).sum()
        return float(weight @ within @ weight / pairs + real_within - 2 * weight @ across / weight.sum())

    weights = rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float64)
    values = [distance(weight) for weight in weights if weight.max() < size]  # one picture alone makes no pair
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(distance(np.ones(size)), float(low), float(high), size)


def _kernel(left: Tensor, right: Tensor) -> NDArray[np.float64]:
    product = left.double() @ right.double().T / left.shape[1] + 1
    kernel: NDArray[np.float64] = (product**3).numpy()
    return kernel


def _mean_off_diagonal(kernel: NDArray[np.float64]) -> float:
    size = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (size * (size - 1)))
