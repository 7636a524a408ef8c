"""Fits the prompt filter's classifier: `python -m training.prompt_filter.fit` writes heads.json and heads.safetensors.

Kernel ridge regression, one output a category, on the frozen sentence vectors of the training half, of whole prompts written
for it and their harmless neighbours, of sentences made up from predicates, and of what the bundled model draws. Slope and
threshold come from cross-validation: the threshold is what CV_FALSE_POSITIVES of the harmless prompts reach, most of them
look-alikes, none seen by the fit that scored it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from safety.policy import CATEGORIES
from safety.prompt_filter import PromptFilter
from safety.semantic.classifier import nearness
from safety.semantic.lexicon import Lexicon
from safety.semantic.tower import SentenceTower
from training.prompt_filter.labelled import BENIGN, PER_PREDICATE, Labelled, made_up, read, written

ROOT = Path(__file__).resolve().parents[2]
TOWER, OUT = ROOT / "models" / "weights", ROOT / "safety" / "semantic"
GAMMA, PENALTY = 1.0, 0.1
"""Of the Gaussian kernel, and of the squared norm against the sum of squared errors."""
MADE_WEIGHT, PHRASE_WEIGHT = 0.5, 0.3
LISTED_LOGIT = 2.0
"""What a listed word in plain English adds: chosen by cross-validation among 0 to 4."""
FOLDS = 6
CV_FALSE_POSITIVES = 0.025
NEWTON_STEPS = 30
SEED = 0

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sentences:
    """x: vectors (N, 384); y: categories (N, 5), 1 or 0; weights, groups: (N,); of a group all or none is held out.

    measured: whether cross-validation counts it. listed: whether the lists find a word, (N, 5).
    """

    x: Floats
    y: Floats
    weights: Floats
    groups: npt.NDArray[np.int_]
    measured: Bools
    listed: Bools


def main() -> None:
    """Fit and write."""
    tower = SentenceTower.load(TOWER)
    told = gather(tower)
    scores = held_out(told)
    slope, shift = calibrated(scores[told.measured], told.y[told.measured])
    logits = (slope * scores + shift + LISTED_LOGIT * told.listed).max(1)
    threshold = float(np.quantile(logits[told.measured & (told.y.max(1) == 0)], 1 - CV_FALSE_POSITIVES))
    heads, means = fit(told, np.ones(len(told.x), bool))
    scale = np.abs(told.x).max(1) / 127
    tensors = {
        "references": np.round(told.x / scale[:, None]).astype(np.int8),
        "references:scale": scale.astype(np.float32),
        "heads": (slope * heads).astype(np.float32),
        "biases": (slope * means + shift).astype(np.float32),
    }
    save_file(tensors, OUT / "heads.safetensors")
    page = {
        "tower_sha256": tower.digest,
        "tensors_sha256": hashlib.sha256((OUT / "heads.safetensors").read_bytes()).hexdigest(),
        "gamma": GAMMA,
        "listed_logit": LISTED_LOGIT,
        "thresholds": dict.fromkeys(CATEGORIES, round(1 / (1 + float(np.exp(-threshold))), 4)),
    }
    (OUT / "heads.json").write_text(json.dumps(page, indent=1) + "\n", "utf-8")


def gather(tower: SentenceTower) -> Sentences:
    """Everything that is fitted on, embedded."""
    prompts = [one for one in read("train") if one.language == "en"] + written()
    made, drawn = made_up(), [Labelled(BENIGN, "en", phrase) for phrase in phrases()]
    everything = [*prompts, *made, *drawn]
    lists = PromptFilter.load()
    categories = np.array([[one.category == category for category in CATEGORIES] for one in everything], np.float64)
    # What is sexual of minors is both.
    categories[:, 0] = np.maximum(categories[:, 0], categories[:, CATEGORIES.index("sexual/minors")])
    singles = np.arange(len(prompts))
    return Sentences(
        x=embed(tower, lists, everything),
        y=categories,
        weights=np.repeat([1.0, MADE_WEIGHT, PHRASE_WEIGHT], [len(prompts), len(made), len(drawn)]),
        groups=np.concatenate(
            [singles, len(prompts) + np.arange(len(made)) // PER_PREDICATE, -1 - np.arange(len(drawn))],
        ),
        measured=np.arange(len(everything)) < len(prompts),
        listed=np.array([[category in lists.check(one.text).categories for category in CATEGORIES] for one in everything]),
    )


def phrases() -> list[str]:
    """What the bundled model draws, in words."""
    lines = (ROOT / "training" / "data" / "words.txt").read_text("utf-8").splitlines()
    told = [line.partition(":")[2] for line in lines if ":" in line and not line.startswith("#")]
    return [phrase.strip() for line in told for phrase in line.split(",")]


def embed(tower: SentenceTower, lists: PromptFilter, prompts: Sequence[Labelled]) -> Floats:
    """The vectors of prompts as the filter reads them, (N, 384)."""
    words = set().union(*(each.words for each in (*lists.terms.values(), lists.minors, lists.suggestive)))
    lexicon = Lexicon.of(tower.tokenizer, words)
    texts = [" ".join(lists.meaning(prompt.text, lexicon)) for prompt in prompts]
    return np.concatenate([tower.embed(texts[start : start + 32]) for start in range(0, len(texts), 32)]).astype(np.float64)


def fit(told: Sentences, used: Bools) -> tuple[Floats, Floats]:
    """Coefficients of the used sentences, (n, 5), and the mean of what they should score, (5,)."""
    targets = 2 * told.y[used] - 1
    means = targets.mean(0)
    kernel = nearness(told.x[used], told.x[used], GAMMA) + PENALTY * np.diag(1 / told.weights[used])
    solution: Floats = np.linalg.solve(kernel, targets - means)
    return solution, means


def held_out(told: Sentences) -> Floats:
    """The scores of all sentences, each by a fit that saw nothing of its group; (N, 5)."""
    names, group = np.unique(told.groups, return_inverse=True)
    fold = (np.random.default_rng(SEED).permutation(len(names)) % FOLDS)[group]
    scores = np.zeros_like(told.y)
    for out in range(FOLDS):
        seen = fold != out
        heads, means = fit(told, seen)
        scores[~seen] = nearness(told.x[~seen], told.x[seen], GAMMA) @ heads + means
    return scores


def calibrated(scores: Floats, y: Floats) -> tuple[float, float]:
    """Slope and shift that make probabilities' logits of scores, the same for all categories (Platt 1999)."""
    inputs = np.column_stack([scores.ravel(), np.ones(scores.size)])
    line = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-inputs @ line))
        gradient = inputs.T @ (p - y.ravel())
        line -= np.linalg.solve((inputs * (p * (1 - p))[:, None]).T @ inputs, gradient)
    return float(line[0]), float(line[1])


if __name__ == "__main__":
    main()
