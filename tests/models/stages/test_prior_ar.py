"""The autoregressive prior in a cascade: same seed, same z_i, in any company; and a folder that has no such part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.cascade import Cascade
from models.checkpoint import write_manifest
from models.errors import CheckpointError, PartMissing, SamplingError
from models.row import DONE, DrawRequest, Row
from models.stages.prior_ar import PriorARStage
from tests.models.tiny import add_prior_ar, write_tiny_model

APPLE = DrawRequest(
    "a red apple", seed=7, steps=1, guidance_scale=1.0, prior_steps=2, prior_guidance_scale=3.0, upsample_steps=1,
    prior="autoregressive", prior_candidates=1,
)  # fmt: skip
OTHERS = [
    replace(APPLE, prompt="a cat", seed=1, prior_guidance_scale=1.0),
    replace(APPLE, seed=9),
    replace(APPLE, prompt="fog"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_prior_ar(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny"), temperature=1.0, top_p=0.9)


@pytest.fixture(scope="module")
def cascade(folder: Path) -> Cascade:
    return Cascade.load(folder, threads=1)


def stage_of(cascade: Cascade) -> PriorARStage:
    stage = cascade.stages["prior_ar"]
    assert isinstance(stage, PriorARStage)
    return stage


def drawn(cascade: Cascade, request: DrawRequest, company: list[Row] | None = None) -> torch.Tensor:
    """z_i of a request, its neighbours joining one step apart."""
    row, waiting, rows = cascade.admit(request), list(company or ()), []
    while row.stage == "prior_ar":
        rows += [waiting.pop()] if waiting else []
        cascade.stages["prior_ar"].run([*(other for other in rows if other.stage == "prior_ar"), row])
    assert row.z_i is not None
    return row.z_i


def test_a_picture_is_drawn_by_way_of_it(cascade: Cascade) -> None:
    row = cascade.admit(APPLE)
    been = [row.stage]
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
        been += [row.stage] if row.stage != been[-1] else []
    assert been == ["prior_ar", "decoder", "upsample_256", DONE]
    assert cascade.picture(row).shape == (256, 256, 3)


def test_it_takes_a_step_for_each_code(cascade: Cascade) -> None:
    assert cascade.steps(APPLE) == {"prior_ar": 6, "decoder": 1, "upsample_256": 1}
    row = cascade.admit(APPLE)
    assert (row.step, row.steps) == (0, 6)


def test_the_same_seed_gives_the_same_z_i_and_another_one_another(cascade: Cascade, folder: Path) -> None:
    assert torch.equal(drawn(cascade, APPLE), drawn(Cascade.load(folder), APPLE))
    assert not torch.equal(drawn(cascade, APPLE), drawn(cascade, replace(APPLE, seed=8)))


def test_the_prompt_and_the_guidance_reach_it(cascade: Cascade) -> None:
    assert not torch.equal(drawn(cascade, APPLE), drawn(cascade, replace(APPLE, prompt="a cat")))
    assert not torch.equal(drawn(cascade, APPLE), drawn(cascade, replace(APPLE, prior_guidance_scale=1.0)))


@pytest.mark.parametrize("bucket", [1, 4])
def test_z_i_does_not_depend_on_who_shares_its_batch(cascade: Cascade, monkeypatch: pytest.MonkeyPatch, bucket: int) -> None:
    monkeypatch.setattr(stage_of(cascade), "bucket", bucket)
    company = [cascade.admit(other) for other in OTHERS]
    assert torch.equal(drawn(cascade, APPLE, company), drawn(cascade, APPLE))


def test_rows_without_guidance_meet_the_net_once(cascade: Cascade) -> None:
    lanes = [len(cascade.admit(replace(APPLE, prior_guidance_scale=scale)).given[0]) for scale in (1.0, 3.0)]
    assert lanes == [1, 2]


def test_it_asks_for_a_dot_product_of_the_top_half(cascade: Cascade) -> None:
    rows = [cascade.admit(replace(APPLE, seed=seed)) for seed in range(16)]
    dots = {int(row.tokens[0, 0]) - 8 for row in rows if row.tokens is not None}
    assert dots == {2, 3}


def test_its_dot_product_with_the_caption_is_told(cascade: Cascade) -> None:
    row = cascade.admit(APPLE)
    while row.stage == "prior_ar":
        cascade.stages["prior_ar"].run([row])
    assert row.z_i is not None
    assert row.candidate_scores == (pytest.approx(float((row.z_i * row.text.embeds).mean())),)


def test_a_row_with_broken_numbers_fails_alone(cascade: Cascade) -> None:
    bad, good = cascade.admit(OTHERS[0]), cascade.admit(APPLE)
    bad.given = (bad.given[0] * float("nan"), *bad.given[1:])
    cascade.stages["prior_ar"].run([bad, good])
    assert "prior_ar gave numbers that are not finite at step 1 of 6" in (bad.failure or "")
    assert (good.failure, good.step) == (None, 1)


def test_a_folder_without_it_draws_by_the_other_and_says_what_is_missing(tmp_path: Path) -> None:
    cascade = Cascade.load(write_tiny_model(tmp_path / "model"))
    assert cascade.admit(replace(APPLE, prior="diffusion")).stage == "prior"
    with pytest.raises(PartMissing, match="'prior_ar'"):
        cascade.admit(APPLE)


def test_a_config_that_lacks_a_field_is_refused_by_name(tmp_path: Path) -> None:
    folder = add_prior_ar(write_tiny_model(tmp_path / "model"))
    path = folder / "prior_ar" / "config.json"
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "buckets"}))
    write_manifest(folder)
    with pytest.raises(CheckpointError, match="has no 'buckets'"):
        Cascade.load(folder)


@pytest.mark.parametrize("drawing", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_what_nothing_can_be_drawn_by_is_refused_at_load(tmp_path: Path, drawing: dict[str, float]) -> None:
    folder = add_prior_ar(write_tiny_model(tmp_path / "model"), **drawing)
    with pytest.raises(SamplingError, match=r"must be above 0, and top_p"):
        Cascade.load(folder)
