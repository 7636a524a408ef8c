"""The turbo stage: the base decoder's noise, the steps it was distilled for, no guidance; and a model without it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.cascade import Cascade
from models.checkpoint import write_manifest
from models.errors import PartMissing
from models.row import DONE, DrawRequest
from tests.models.tiny import write_tiny_model

APPLE = DrawRequest(
    "a red apple", seed=7, steps=4, guidance_scale=1.0, prior_steps=2, prior_guidance_scale=2.0, upsample_steps=2
)
TURBO = replace(APPLE, decoder="turbo", steps=9, guidance_scale=5.0)


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    """A tiny model whose turbo decoder has the base's weights, and whose base samples by DDIM as turbo does."""
    folder = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    config = folder / "decoder_scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sampler": "ddim"}))
    for part in ("decoder", "decoder_scheduler"):
        shutil.copytree(folder / part, folder / part.replace("decoder", "decoder_turbo"))
    config = folder / "decoder_turbo_scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"steps": 4}))
    write_manifest(folder)
    return Cascade.load(folder, threads=1)


def draw(cascade: Cascade, request: DrawRequest) -> np.ndarray:
    row = cascade.admit(request)
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
    return cascade.picture(row)


def test_turbo_takes_its_own_steps_and_no_guidance_from_the_base_decoders_noise(cascade: Cascade) -> None:
    assert np.array_equal(draw(cascade, TURBO), draw(cascade, APPLE))


def test_its_steps_are_told_before_they_are_taken(cascade: Cascade) -> None:
    assert cascade.steps(TURBO) == {"prior": 2, "decoder_turbo": 4, "upsample_256": 2}
    assert cascade.steps(APPLE) == {"prior": 2, "decoder": 4, "upsample_256": 2}


def test_a_turbo_row_is_the_same_in_the_company_of_others(cascade: Cascade) -> None:
    alone = draw(cascade, TURBO)
    rows = [cascade.admit(request) for request in (TURBO, replace(TURBO, seed=8), APPLE)]
    while rows[0].stage != DONE:
        cascade.stages[rows[0].stage].run([row for row in rows if row.stage == rows[0].stage])
    assert np.array_equal(cascade.picture(rows[0]), alone)


def test_a_preview_appears_in_turbo_too(cascade: Cascade) -> None:
    row = cascade.admit(TURBO)
    while row.stage == "prior":
        cascade.stages["prior"].run([row])
    cascade.stages["decoder_turbo"].run([row])
    assert cascade.preview(row) is not None


def test_a_model_without_it_loads_and_refuses_by_name(tmp_path: Path) -> None:
    cascade = Cascade.load(write_tiny_model(tmp_path / "tiny"), threads=1)
    assert draw(cascade, APPLE).shape == (256, 256, 3)
    with pytest.raises(PartMissing, match="decoder_turbo"):
        cascade.admit(TURBO)
