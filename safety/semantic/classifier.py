"""The semantic classifier: a kernel machine with one head per category on the sentence tower's vectors.

It knows what a sentence is about where no listed word stands in it, by how near it is to sentences whose category is known.
Fitted by `training/prompt_filter/fit.py`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from safety.policy import CATEGORIES
from safety.semantic.tensor_file import read_tensors
from safety.semantic.tower import SCALE, Floats, SentenceTower, TowerMissing

PAGE, TENSORS = "heads.json", "heads.safetensors"
WINDOW_WORDS, STRIDE_WORDS = 24, 16
"""A long prompt is read in windows that overlap: one sentence among many would be lost in their mean."""
MAX_WINDOWS = 64
SMALLEST = 1e-9
"""Keeps the odds of a score of 1 finite."""

Number = TypeVar("Number", np.float32, np.float64)


@dataclass(frozen=True)
class Classifier:
    """references: (N, 384) vectors of the sentences it was fitted on; heads: (N, categories); biases: (categories,).

    thresholds: from which score a category is refused. listed_logit: what a listed word in the sentence adds to its
    category's logit.
    """

    tower: SentenceTower
    references: Floats
    heads: Floats
    biases: Floats
    gamma: float
    thresholds: Mapping[str, float]
    listed_logit: float

    @classmethod
    def load(cls, tower: SentenceTower) -> Self:
        """Read what was fitted, 2 MB. Raises TowerMissing when it is damaged, or was fitted on another tower."""
        folder = files("safety") / "semantic"
        try:
            with as_file(folder) as path:
                return cls._read(tower, path)
        except (KeyError, TypeError, ValueError) as error:
            raise TowerMissing(f"the classifier of prompts in {folder} cannot be read: {error!r}") from error

    @classmethod
    def _read(cls, tower: SentenceTower, folder: Path) -> Self:
        page = json.loads((folder / PAGE).read_text("utf-8"))
        if page["tower_sha256"] != tower.digest:
            raise TowerMissing(
                "the classifier of prompts was fitted on another sentence tower than the one in the model folder"
            )
        # A damaged number may be none, which is beyond no threshold: such a classifier would let everything pass.
        if page["tensors_sha256"] != hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest():
            raise ValueError(f"{TENSORS} is damaged")
        stored = read_tensors(folder / TENSORS)
        scale = stored["references" + SCALE].astype(np.float32)
        return cls(
            tower=tower,
            references=stored["references"].astype(np.float32) * scale[:, None],
            heads=stored["heads"].astype(np.float32),
            biases=stored["biases"].astype(np.float32),
            gamma=page["gamma"],
            thresholds={category: page["thresholds"][category] for category in CATEGORIES},
            listed_logit=page["listed_logit"],
        )

    def scores(self, words: Sequence[str]) -> dict[str, float]:
        """The score of each category, 0 to 1, over the windows of a prompt's plain words; no words, no score."""
        if not words:
            return dict.fromkeys(CATEGORIES, 0.0)
        read = self.tower.embed(self._texts(words)[:MAX_WINDOWS])
        logits = nearness(read, self.references, self.gamma) @ self.heads + self.biases
        highest = 1 / (1 + np.exp(-logits.max(0)))
        return {category: float(score) for category, score in zip(CATEGORIES, highest, strict=True)}

    def reads_whole(self, words: Sequence[str]) -> bool:
        """True where every word of a prompt counts in its scores."""
        return len(self._texts(words)) <= MAX_WINDOWS

    def _texts(self, words: Sequence[str]) -> list[str]:
        """The windows, those of long words cut again: the tower does not read a text to its end that has too many tokens.

        One more than MAX_WINDOWS tells that there are more: a text without end is not cut to its end.
        """
        texts: list[str] = []
        left = windows(words)[::-1]
        while left and len(texts) <= MAX_WINDOWS:
            text = left.pop()
            cut = text.split()
            if len(cut) == 1 or self.tower.reads_whole(text):
                texts.append(text)
            else:
                half = len(cut) // 2
                left += [" ".join(cut[half:]), " ".join(cut[:half])]
        return texts

    def beside_listed(self, score: float) -> float:
        """The score of a category, raised because a listed word of it stands in the sentence."""
        odds = score / max(1 - score, SMALLEST) * math.exp(self.listed_logit)
        return odds / (1 + odds)


def nearness(x: npt.NDArray[Number], references: npt.NDArray[Number], gamma: float) -> npt.NDArray[Number]:
    """The Gaussian kernel exp(-gamma |x - r|^2) of unit vectors (B, 384) and (N, 384); returns (B, N)."""
    near: npt.NDArray[Number] = np.exp((2 * gamma) * (x @ references.T - 1))
    return near


def windows(words: Sequence[str]) -> list[str]:
    """Cut plain words into texts that overlap, the last as long as what is left."""
    starts = range(0, max(1, len(words) - WINDOW_WORDS + STRIDE_WORDS), STRIDE_WORDS)
    return [" ".join(words[start : start + WINDOW_WORDS]) for start in starts]
