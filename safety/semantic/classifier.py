"""The semantic classifier: one logistic head per category on the sentence tower's vectors.

It knows what a sentence is about where no listed word stands in it. Fitted by `training/prompt_filter/fit.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

import numpy as np

from safety.policy import CATEGORIES
from safety.semantic.tower import Floats, SentenceTower, TowerMissing

HEADS = "heads.json"
WINDOW_WORDS, STRIDE_WORDS = 24, 16
"""A long prompt is read in windows that overlap: one sentence among many would be lost in their mean."""
MAX_WINDOWS = 64


@dataclass(frozen=True)
class Classifier:
    """weights: (categories, 384), biases: (categories,). thresholds: from which score a category is refused."""

    tower: SentenceTower
    weights: Floats
    biases: Floats
    thresholds: Mapping[str, float]

    @classmethod
    def load(cls, tower: SentenceTower) -> Self:
        """Read the fitted heads. Raises TowerMissing when they were fitted on another tower."""
        stored = json.loads((files("safety") / "semantic" / HEADS).read_text("utf-8"))
        if stored["tower_sha256"] != tower.digest:
            raise TowerMissing(
                "the classifier of prompts was fitted on another sentence tower than the one in the model folder"
            )
        heads = [stored["heads"][category] for category in CATEGORIES]
        return cls(
            tower=tower,
            weights=np.array([head["weights"] for head in heads], np.float32),
            biases=np.array([head["bias"] for head in heads], np.float32),
            thresholds={category: head["threshold"] for category, head in zip(CATEGORIES, heads, strict=True)},
        )

    def scores(self, words: Sequence[str]) -> dict[str, float]:
        """The score of each category, 0 to 1, over the windows of a prompt's plain words; no words, no score."""
        if not words:
            return dict.fromkeys(CATEGORIES, 0.0)
        logits = self.tower.embed(windows(words)) @ self.weights.T + self.biases
        highest = 1 / (1 + np.exp(-logits.max(0)))
        return {category: float(score) for category, score in zip(CATEGORIES, highest, strict=True)}


def windows(words: Sequence[str]) -> list[str]:
    """Cut plain words into texts that the tower reads whole; at most MAX_WINDOWS, the last as long as what is left."""
    starts = range(0, max(1, len(words) - WINDOW_WORDS + STRIDE_WORDS), STRIDE_WORDS)
    cuts = [" ".join(words[start : start + WINDOW_WORDS]) for start in starts]
    return cuts[:MAX_WINDOWS]
