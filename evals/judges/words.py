"""The text side of R-precision: a caption as a bag of hashed words, pairs of words and letters. No tokenizer, no tower."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

import torch
from torch import Tensor

WORD = re.compile(r"[a-z0-9]+")
LETTERS = 4


def hashed(captions: Sequence[str], buckets: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """All captions' buckets in one row (int64), and where each caption begins: what `nn.EmbeddingBag` reads.

    The hashing trick (Weinberger et al. 2009); crc32, for Python's own hash differs between processes.
    """
    rows: list[int] = []
    starts: list[int] = []
    for caption in captions:
        starts.append(len(rows))
        rows += [crc32(part.encode()) % buckets for part in parts(caption)]
    return torch.tensor(rows, device=device), torch.tensor(starts, device=device)


def parts(caption: str) -> list[str]:
    """Words, each with the half of the caption that it stands in; neighbouring words; runs of four letters.

    "a cat left of a dog" and "a dog left of a cat" have the same words, but not in the same halves.
    """
    words = WORD.findall(caption.lower()) or [""]
    halves = [f"{word}/{2 * place // len(words)}" for place, word in enumerate(words)]
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    ends = [f"<{word}>" for word in words]
    letters = [word[at : at + LETTERS] for word in ends for at in range(max(1, len(word) - LETTERS + 1))]
    return words + halves + pairs + letters
