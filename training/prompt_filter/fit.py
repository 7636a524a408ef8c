"""Fits the prompt filter's classifier: `python -m training.prompt_filter.fit` writes safety/semantic/heads.json.

One logistic regression a category on the frozen sentence vectors of the training half, of sentences made up from predicates,
and of the phrases that the bundled model draws. The threshold comes from cross-validation: what lets CV_FALSE_POSITIVES of
the harmless prompts be refused, none of which is everyday.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from safety.policy import CATEGORIES
from safety.prompt_filter import PromptFilter
from safety.semantic.lexicon import Lexicon
from safety.semantic.tower import SentenceTower
from training.prompt_filter.labelled import BENIGN, Labelled, made_up, read

ROOT = Path(__file__).resolve().parents[2]
TOWER, OUT = ROOT / "models" / "weights", ROOT / "safety" / "semantic" / "heads.json"
PENALTY = 0.1
"""Of the squared weights, against the sum of the prompts' losses."""
POSITIVE_WEIGHT, PHRASE_WEIGHT = 3.0, 0.3
FOLDS = 8
CV_FALSE_POSITIVES = 0.015
NEWTON_STEPS, CLOSE_ENOUGH = 30, 1e-6
SEED = 0

Floats = npt.NDArray[np.float64]


def main() -> None:
    """Fit and write."""
    tower = SentenceTower.load(TOWER)
    lexicon = Lexicon.of(tower.tokenizer)
    prompts = [one for one in read("train") if one.language == "en"]
    made, drawn = made_up(), [Labelled(BENIGN, "en", phrase) for phrase in phrases()]
    others = [*made, *drawn]
    reader = replace(PromptFilter.load(), lexicon=lexicon)
    x = embed(tower, reader, prompts)
    others_x = embed(tower, reader, others)
    kinds, others_kinds = (np.array([one.category for one in group]) for group in (prompts, others))
    weights = np.array([1.0] * len(made) + [PHRASE_WEIGHT] * len(drawn))
    threshold = threshold_of(x, kinds, others_x, others_kinds, weights)
    heads = fit(np.concatenate([x, others_x]), np.concatenate([kinds, others_kinds]), np.append(np.ones(len(x)), weights))
    OUT.write_text(written(tower.digest, heads, threshold), "utf-8")


def phrases() -> list[str]:
    """What the bundled model draws, in words."""
    lines = (ROOT / "training" / "data" / "words.txt").read_text("utf-8").splitlines()
    told = [line.partition(":")[2] for line in lines if ":" in line and not line.startswith("#")]
    return [phrase.strip() for line in told for phrase in line.split(",")]


def embed(tower: SentenceTower, reader: PromptFilter, prompts: Sequence[Labelled]) -> Floats:
    """The vectors of prompts as the filter reads them, (N, 384)."""
    texts = [" ".join(reader.meaning(prompt.text)) for prompt in prompts]
    return np.concatenate([tower.embed(texts[start : start + 32]) for start in range(0, len(texts), 32)]).astype(np.float64)


def fit(x: Floats, kinds: npt.NDArray[np.str_], weights: Floats) -> Floats:
    """One row of 384 weights and a bias per category. What is sexual of minors is left out of `sexual`: it is both."""
    rows = []
    for category in CATEGORIES:
        used = kinds != "sexual/minors" if category == "sexual" else np.ones(len(kinds), bool)
        y = (kinds[used] == category).astype(np.float64)
        rows.append(logistic(x[used], y, weights[used] * np.where(y > 0, POSITIVE_WEIGHT, 1.0)))
    return np.stack(rows)


def logistic(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Penalised logistic regression by Newton's method; the bias, last, goes free."""
    inputs = np.column_stack([x, np.ones(len(x))])
    penalty = np.diag([*[PENALTY] * x.shape[1], 1e-6])
    head = np.zeros(inputs.shape[1])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-inputs @ head))
        gradient = inputs.T @ (weights * (p - y)) + penalty @ head
        curvature = (inputs * (weights * p * (1 - p))[:, None]).T @ inputs + penalty
        step = np.linalg.solve(curvature, gradient)
        head -= step
        if np.abs(step).max() < CLOSE_ENOUGH:
            break
    return head


def threshold_of(
    x: Floats, kinds: npt.NDArray[np.str_], others_x: Floats, others_kinds: npt.NDArray[np.str_], weights: Floats
) -> float:
    """The score that so many harmless prompts reach which the heads did not see, by the highest of their categories."""
    order = np.random.default_rng(SEED).permutation(len(x))
    highest = np.zeros(len(x))
    for fold in np.array_split(order, FOLDS):
        seen = np.setdiff1d(order, fold)
        data = np.concatenate([x[seen], others_x]), np.concatenate([kinds[seen], others_kinds])
        heads = fit(*data, np.append(np.ones(len(seen)), weights))
        highest[fold] = (np.column_stack([x[fold], np.ones(len(fold))]) @ heads.T).max(1)
    logit = float(np.quantile(highest[kinds == BENIGN], 1 - CV_FALSE_POSITIVES))
    return 1 / (1 + float(np.exp(-logit)))


def written(digest: str, heads: Floats, threshold: float) -> str:
    """The page that the filter reads."""
    told = {
        category: {"threshold": round(threshold, 4), "bias": round(row[-1], 4), "weights": [round(w, 4) for w in row[:-1]]}
        for category, row in zip(CATEGORIES, heads.tolist(), strict=True)
    }
    return json.dumps({"tower_sha256": digest, "heads": told}) + "\n"


if __name__ == "__main__":
    main()
