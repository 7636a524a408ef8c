"""`unclip eval priors`: the diffusion prior and the autoregressive one over the same captions (DALL·E 2, §2.2).

The captions come from fresh scenes, so that the true z_i of each is known. Whether a drawn z_i fits its caption is asked of the
cascade's own CLIP, for no other knows that space; pictures are judged by `unclip eval quality`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from evals.draw import default_settings
from evals.quality.exam import Renders, renders_of
from evals.quality.pictures import SMALL_PX
from evals.speed import processor
from evals.statistics import Interval, Spread, bootstrap, markdown_table
from models.cascade import Cascade
from models.clip.image import ImageTower
from models.clip.text import TextFeatures
from models.errors import ModelError
from models.row import DrawRequest, Row
from models.stages.prior import PriorStage
from models.stages.prior_ar import PriorARStage
from training.data.sprite_bank import SpriteBank

PRIORS = ("diffusion", "autoregressive")
GUIDANCE = (1.0, 2.0, 4.0)
SEEDS = (0, 1)
"""Two of each caption: how far they are apart is how much a prior varies."""
Progress = Callable[[str, int, int], None]
"""Called as progress(doing, done, total)."""


@dataclass(frozen=True)
class Cases:
    """N captions, z_t (N, D), and the z_i (N, D) of the pictures that they were written for."""

    texts: tuple[TextFeatures, ...]
    z_t: Tensor
    z_i: Tensor


@dataclass(frozen=True)
class Line:
    """One prior at one guidance.

    to_true: cosine of the drawn z_i to its picture's. precision: share of drawn z_i that lie nearer to their own caption's z_t
    than to any other caption's. apart: cosine of two seeds' z_i of one caption, 1 where the prior does not vary. seconds: for
    one z_i, alone. parameters: of the net.
    """

    prior: str
    guidance: float
    steps: int
    to_true: Interval
    precision: Interval
    apart: Interval
    seconds: Spread
    parameters: int

    def cells(self) -> list[str]:
        """As a row of the table."""
        return [
            f"{self.prior}, guidance {self.guidance:g}", str(self.steps), self.to_true.numbers(), str(self.precision),
            self.apart.numbers(), f"{1 / self.seconds.median:.1f}", f"{self.parameters / 1e6:.1f} M",
        ]  # fmt: skip


@dataclass(frozen=True)
class PriorsReport:
    """All lines, and for comparison what the pictures' own z_i and the captions' z_t reach."""

    model: str
    captions: int
    processor: str
    threads: int
    true_precision: Interval
    text_to_true: Interval
    lines: tuple[Line, ...]

    def to_markdown(self) -> str:
        """A paragraph and a table."""
        head = ("prior", "steps", "cosine to the true z_i", "R-precision", "cosine of two seeds", "samples/s", "parameters")
        return (
            f"Model `{self.model}`, {self.captions} captions of fresh scenes; one z_i at a time, {self.threads} threads of "
            f"{self.processor}. R-precision: share of z_i nearer to their own caption's z_t than to any of the others, by the "
            f"cascade's own CLIP; the true z_i reach {self.true_precision}. The z_t themselves have the cosine "
            f"{self.text_to_true.numbers()} to the true z_i. In brackets, 95 % bootstrap intervals over captions.\n\n"
            + markdown_table(head, [line.cells() for line in self.lines])
        )


def run(
    model_dir: Path,
    data: Path,
    out_dir: Path,
    *,
    captions: int = 300,
    guidance: Sequence[float] = GUIDANCE,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PriorsReport:
    """Compare the model's priors; write `priors.json` and `priors.md` into `out_dir`.

    data: a folder that `unclip data pack` wrote. Raises ModelError, PartMissing for a model without the autoregressive prior,
    and DataError.
    """
    cascade = Cascade.load(model_dir, threads=threads)
    settings = default_settings(model_dir)
    asked = [
        DrawRequest("", 0, **{**settings, "prior": prior, "prior_guidance_scale": scale})  # type: ignore[arg-type]
        for prior in PRIORS for scale in guidance
    ]  # fmt: skip
    for request in asked:
        cascade.route(request)  # a part that is missing is told before anything is drawn
    cases = cases_of(cascade, ImageTower.load(model_dir), renders_of(SpriteBank.load(data, SMALL_PX), captions))
    report = PriorsReport(
        model=cascade.name,
        captions=len(cases.texts),
        processor=processor(),
        threads=torch.get_num_threads(),
        true_precision=bootstrap(own_nearest(cases.z_i, cases.z_t)),
        text_to_true=bootstrap(cosine_similarity(cases.z_t, cases.z_i).tolist()),
        lines=tuple(line(cascade, cases, request, progress) for request in asked),
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "priors.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    (out_dir / "priors.md").write_text(report.to_markdown(), encoding="utf-8")
    return report


def cases_of(cascade: Cascade, tower: ImageTower, renders: Renders) -> Cases:
    """The towers' view of true pictures; of equal captions the first alone, for only one of them could be found again."""
    chosen = [renders.captions.index(caption) for caption in dict.fromkeys(renders.captions)]
    texts = tuple(cascade.text.encode([renders.captions[at]]) for at in chosen)
    return Cases(texts, torch.cat([text.embeds for text in texts]), tower.encode(renders.pixels[chosen]))


def line(cascade: Cascade, cases: Cases, request: DrawRequest, progress: Progress | None = None) -> Line:
    """Draw two z_i for each caption as `request` says, one at a time, and measure them."""
    stage = cascade.stages[cascade.route(request)[0]]
    assert isinstance(stage, PriorStage | PriorARStage)
    total, drawn, seconds = len(SEEDS) * len(cases.texts), [], []
    for seed in SEEDS:
        for text in cases.texts:
            began = time.perf_counter()
            drawn.append(draw_z_i(cascade, replace(request, seed=seed), text))
            seconds.append(time.perf_counter() - began)
            if progress is not None:
                progress(f"{request.prior}, guidance {request.prior_guidance_scale:g}", len(drawn), total)
    first, second = torch.cat(drawn).chunk(2)
    return Line(
        prior=request.prior,
        guidance=request.prior_guidance_scale,
        steps=stage.steps(request),
        to_true=bootstrap(cosine_similarity(first, cases.z_i).tolist()),
        precision=bootstrap(own_nearest(first, cases.z_t)),
        apart=bootstrap(cosine_similarity(first, second).tolist()),
        seconds=Spread.of(seconds),
        parameters=sum(parameter.numel() for parameter in stage.net.parameters()),
    )


def draw_z_i(cascade: Cascade, request: DrawRequest, text: TextFeatures) -> Tensor:
    """The prior's part of a row's way alone: z_i (1, D) for a caption's features. Raises ModelError when the row fails."""
    row = Row(request, text, cascade.route(request))
    prior = cascade.stages[row.route[0]]
    with torch.inference_mode():
        prior.enter(row)
    while row.stage == prior.name:
        prior.run([row])
        if row.failure is not None:
            raise ModelError(f"seed {request.seed} failed in {prior.name}: {row.failure}")
    assert row.z_i is not None
    return row.z_i


def own_nearest(z_i: Tensor, z_t: Tensor) -> list[bool]:
    """Whether each z_i has its highest dot product with its own caption's z_t. z_i, z_t: (N, D), in the same order."""
    own = torch.arange(len(z_i), device=z_i.device)
    return ((z_i @ z_t.T).argmax(dim=1) == own).tolist()
