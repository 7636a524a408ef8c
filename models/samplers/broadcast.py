"""One number per row, shaped to meet a batch."""

from torch import Tensor


def rows(values: Tensor, like: Tensor) -> Tensor:
    """(B,) values as (B, 1, …, 1), with as many axes as `like` (B, …), on its device and in its dtype."""
    return values.to(like).reshape(-1, *[1] * (like.dim() - 1))
