"""What the autoregressive prior's codes mean, found in pictures' embeddings before the net learns (DALL·E 2, §2.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from models.nets.prior_ar import PriorAR
from training.examples import Source

EXAMPLES, CHUNK = 16_384, 256
TAIL = 0.001
"""Share of the pictures that may lie outside the buckets of a component, on either side."""


def principal_components(z_i: Tensor, count: int) -> tuple[Tensor, Tensor, float]:
    """The directions in which embeddings differ most, largest variance first.

    z_i: (N, D). Returns the mean (D,), the basis (D, count) with orthonormal columns, and the share of the variance that they
    hold. Computed in float64; of a direction and its opposite, the one whose largest entry is positive.
    """
    centred = z_i.double() - z_i.double().mean(0)
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(z_i))  # ascending
    basis = directions.flip(1)[:, :count]
    basis = basis * basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()
    share = float(variances.flip(0)[:count].sum() / variances.sum())
    return z_i.double().mean(0).float(), basis.float(), share


@torch.no_grad()
def fit_codes(net: PriorAR, source: Source, generator: torch.Generator, examples: int = EXAMPLES) -> float:
    """Set the net's components, their buckets and those of the dot product from a source's pictures and captions.

    Buckets of the dot product are equally frequent, so that the upper half of them is the top half of the distribution. Returns
    the share of the variance of z_i that the components hold.
    """
    z_i, z_t = embeddings(source, generator, examples)
    codes, buckets = net.codes, net.config.dot_buckets
    mean, basis, share = principal_components(z_i, net.config.components)
    codes.mean.copy_(mean)
    codes.basis.copy_(basis)
    low, high = spread((z_i - mean) @ basis, TAIL)
    codes.low.copy_(low)
    codes.high.copy_(torch.maximum(high, low + 1e-3))  # a direction without any variance still needs a width
    dots = (z_i * z_t).mean(-1)
    net.dot_edges.copy_(dots.quantile(torch.linspace(0, 1, buckets + 1, device=dots.device)[1:-1]))
    return share


def embeddings(source: Source, generator: torch.Generator, examples: int) -> tuple[Tensor, Tensor]:
    """z_i and z_t of chance examples, each (N, D)."""
    taken = (source.take(min(CHUNK, examples - start), generator) for start in range(0, examples, CHUNK))
    pairs = [(of.z_i, of.text.embeds) for of in taken]
    return torch.cat([z_i for z_i, _ in pairs]), torch.cat([z_t for _, z_t in pairs])


def spread(coordinates: Tensor, tail: float) -> tuple[Tensor, Tensor]:
    """Between which values all but a `tail` on either side lie. coordinates: (N, K). Returns two (K,)."""
    ordered = coordinates.sort(dim=0).values  # torch's quantile refuses more than 16 million numbers
    cut = int(len(ordered) * tail)
    return ordered[cut], ordered[len(ordered) - 1 - cut]
