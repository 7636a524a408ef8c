"""Comparing the priors on a tiny cascade: every figure is of what its name says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evals import priors
from evals.priors import Cases, PriorsReport, cases_of, draw_z_i, line, own_nearest
from evals.quality.exam import Renders
from evals.statistics import bootstrap
from models.cascade import Cascade
from models.errors import PartMissing
from models.row import DrawRequest
from tests.models.tiny import DIM, add_prior_ar, write_tiny_model

CAPTIONS = ("a red apple", "a cat", "a boat")
REQUEST = DrawRequest(
    "", seed=0, steps=2, guidance_scale=1.0, prior_steps=2, prior_guidance_scale=2.0, upsample_steps=2, prior="autoregressive"
)


class Tower:
    """An image tower that sees the mean of a picture."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean(dim=(1, 2, 3))[:, None].expand(-1, DIM)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_prior_ar(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(scope="module")
def cascade(folder: Path) -> Cascade:
    return Cascade.load(folder, threads=1)


def renders(captions: tuple[str, ...] = CAPTIONS) -> Renders:
    return Renders(torch.arange(float(len(captions)))[:, None, None, None].expand(-1, 3, 8, 8), captions)


def some_cases(cascade: Cascade) -> Cases:
    return cases_of(cascade, Tower(), renders())  # type: ignore[arg-type]


@pytest.mark.parametrize(("prior", "steps"), [("diffusion", 2), ("autoregressive", 6)])
def test_a_line_tells_of_the_prior_that_was_asked_for(cascade: Cascade, prior: str, steps: int) -> None:
    measured = line(cascade, some_cases(cascade), replace(REQUEST, prior=prior))  # type: ignore[arg-type]
    assert (measured.prior, measured.steps, measured.to_true.n, measured.seconds.n) == (prior, steps, 3, 6)
    net = cascade.stages["prior" if prior == "diffusion" else "prior_ar"].net  # type: ignore[attr-defined]
    assert measured.parameters == sum(parameter.numel() for parameter in net.parameters())


def test_the_priors_own_z_i_is_at_no_distance_from_itself(cascade: Cascade) -> None:
    cases = some_cases(cascade)
    own = torch.cat([draw_z_i(cascade, REQUEST, text) for text in cases.texts])
    measured = line(cascade, replace(cases, z_i=own), REQUEST)
    assert measured.to_true.value == pytest.approx(1)
    assert measured.apart.value < 1


def test_of_equal_captions_one_is_asked(cascade: Cascade) -> None:
    cases = cases_of(cascade, Tower(), renders(("a cat", "a boat", "a cat")))  # type: ignore[arg-type]
    assert cases.z_i[:, 0].tolist() == [0, 1]


def test_a_z_i_is_found_again_by_its_own_caption() -> None:
    assert own_nearest(torch.eye(3), torch.eye(3)) == [True] * 3
    assert own_nearest(torch.eye(3), torch.eye(3)[[1, 0, 2]]) == [False, False, True]


def test_a_model_without_the_part_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(PartMissing, match="'prior_ar'"):
        priors.run(write_tiny_model(tmp_path / "model"), tmp_path / "no-data", tmp_path / "out")


def test_the_report_has_a_line_for_each_prior_and_guidance(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priors.SpriteBank, "load", lambda *_: None)
    monkeypatch.setattr(priors.ImageTower, "load", lambda *_: Tower())
    monkeypatch.setattr(priors, "renders_of", lambda _, count: renders(CAPTIONS[:count]))
    report = priors.run(folder, tmp_path, tmp_path / "out", captions=2, guidance=(1.0, 3.0), threads=1)
    assert [(one.prior, one.guidance) for one in report.lines] == [
        ("diffusion", 1.0), ("diffusion", 3.0), ("autoregressive", 1.0), ("autoregressive", 3.0)
    ]  # fmt: skip
    assert json.loads((tmp_path / "out" / "priors.json").read_text())["captions"] == 2
    assert (tmp_path / "out" / "priors.md").read_text().count("\n| autoregressive") == 2


def test_the_page_says_over_how_much_it_was_measured() -> None:
    report = PriorsReport("tiny", 3, "a processor", 1, bootstrap([True, True, False]), bootstrap([0.25]), ())
    assert "3 captions of fresh scenes" in report.to_markdown()
    assert "67 %" in report.to_markdown()
