"""Dynamic thresholding: room for strong guidance without saturated pixels."""

import torch
from torch import Tensor

from models.samplers.broadcast import rows


def dynamic_threshold(x_0: Tensor, percentile: float = 0.995, ceiling: float = 1.5) -> Tensor:
    """Each row divided by the magnitude that `percentile` of its values keep below, where that exceeds 1 (Imagen, section 2.3).

    x_0: (B, …), pictures in [-1, 1]; the result lies in [-1, 1]. ceiling: no row is divided by more.
    """
    magnitude = torch.quantile(x_0.flatten(1).abs(), percentile, dim=1).clamp(1.0, ceiling)
    bound = rows(magnitude, x_0)
    return torch.minimum(torch.maximum(x_0, -bound), bound) / bound
