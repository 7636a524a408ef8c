"""The cascade's own CLIP as a classifier: which of all names is a sprite's picture nearest to (Radford et al. 2021, §3.1)?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evals.quality.embeddings import rows_of, seen_alone
from evals.quality.exam import Exam
from evals.quality.report import Figure, Report
from evals.quality.verdicts import AMONG
from evals.statistics import bootstrap
from models.clip.image import ImageTower
from training.data.vocabulary import HeldOut, Vocabulary


def zero_shot(exam: Exam) -> Report:
    """Sprites that no training showed: pairs of concept and style that were held out. Beside them the same concepts in others.

    A name is right that means the concept or one of its look-alikes, as the judges group them; each group counts once.
    """
    pictures, group = exam.pictures, exam.judges.group
    concepts = Vocabulary(exam.bank.infos).concepts
    z_t = torch.cat([pictures.cascade.text.encode([concept.nouns[0]]).embeds for concept in concepts.values()])
    groups, held_out = [group(name) for name in concepts], HeldOut.read().styles
    own = rows_of(exam.bank)
    chosen = [pair for pair in own if pair in held_out]
    concerned = {concept for concept, _ in chosen}
    seen = [pair for pair in own if pair[0] in concerned and pair not in held_out]
    tower, figures = ImageTower.load(pictures.model_dir, pictures.device), []
    for title, pairs in (("held-out sprites", chosen), ("the same concepts in other styles", seen)):
        z_i = seen_alone([own[pair] for pair in pairs], exam.bank, tower, pictures.device)
        named = named_first(z_i, z_t, groups, AMONG)
        for among, said in ((1, "named first"), (AMONG, f"named among the first {AMONG}")):
            right = [group(concept) in names[:among] for names, (concept, _) in zip(named, pairs, strict=True)]
            figures.append(Figure(f"CLIP, of {len(set(groups))} groups of names: {title}, {said}", bootstrap(right)))
    return exam.report("zero-shot", figures)


def named_first(z_i: Tensor, z_t: Tensor, groups: Sequence[str], count: int) -> list[list[str]]:
    """The `count` groups with the names most like each z_i, the likest first. z_i: (N, D). z_t: (names, D), of equal norms."""
    order = (z_i @ z_t.T).argsort(dim=1, descending=True).tolist()
    return [list(dict.fromkeys(groups[at] for at in row))[:count] for row in order]
