"""Noise by address: the numbers depend on seed, stage and step alone, never on what was drawn before or beside them."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def noise(seed: int, stage: str, step: int, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers at one address, float32 of `shape`, on the CPU.

    Philox-4x64-10 (Salmon et al. 2011) keyed by (seed, stage) and counting from `step`, through Box-Muller in float64. Made on
    the CPU whatever the device of the net, so that CUDA sees the same numbers. numpy promises the raw Philox bits for ever (not
    its `normal`); logarithm and cosine may differ by a float64 rounding between machines, which reaches a float32 about once in
    10^8 numbers. A longer shape begins with the numbers of a shorter one. seed: 0 to 2**64 - 1. step: 0 to 2**64 - 1.
    """
    count = math.prod(shape)
    bits = _bits(seed, stage, step, count + count % 2) >> np.uint64(11)
    radius = np.sqrt(-2.0 * np.log((bits[0::2] + 1.0) * 2.0**-53))  # (0, 1]: never the logarithm of zero
    angle = bits[1::2] * (2.0**-53 * 2.0 * math.pi)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return torch.from_numpy(pairs.reshape(-1)[:count].astype(np.float32).reshape(tuple(shape)))


def uniform(seed: int, stage: str, step: int, count: int) -> Tensor:
    """Even chances in [0, 1) at one address, float32 (count,), on the CPU: multiples of 2**-24, the same on every machine.

    Arguments as in `noise`, whose address this must not share.
    """
    return torch.from_numpy((_bits(seed, stage, step, count) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24))


def _bits(seed: int, stage: str, step: int, count: int) -> NDArray[np.uint64]:
    key = np.array([seed, int.from_bytes(hashlib.blake2b(stage.encode(), digest_size=8).digest(), "little")], dtype=np.uint64)
    # The step is the highest of the counter's four words: no two steps' streams can run into each other.
    counter = np.array([0, 0, 0, step], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)
