"""The cascade on a tiny folder: same seed, same pixels, in any company; guidance, candidates, truncation, bad folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.cascade import Cascade
from models.checkpoint import write_manifest
from models.errors import CheckpointError, ModelError
from models.row import DONE, DrawRequest, Row
from models.stages import diffusion
from tests.models.tiny import write_tiny_model

APPLE = DrawRequest(
    "a red apple", seed=7, steps=3, guidance_scale=2.0, prior_steps=2, prior_guidance_scale=2.0, upsample_steps=2
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def cascade(folder: Path) -> Cascade:
    return Cascade.load(folder, threads=1)


def finish(cascade: Cascade, row: Row) -> np.ndarray:
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
    return cascade.picture(row)


def draw(cascade: Cascade, request: DrawRequest) -> np.ndarray:
    return finish(cascade, cascade.admit(request))


def draw_in_company(
    cascade: Cascade, request: DrawRequest, others: list[DrawRequest]
) -> tuple[np.ndarray, set[tuple[int, ...]]]:
    """Draw with neighbours that join one step apart; also the step numbers that shared a call with the row."""
    row, waiting, rows = cascade.admit(request), list(others), []
    shared: set[tuple[int, ...]] = set()
    while row.stage != DONE:
        if waiting:
            rows.append(cascade.admit(waiting.pop()))
        stage = row.stage
        company = [other for other in rows if other.stage == stage]
        if company:
            shared.add(tuple(other.step for other in [*company, row]))
        cascade.stages[stage].run([*company, row])
    return cascade.picture(row), shared


def test_the_picture_has_the_shape_and_type_of_a_256_px_picture(cascade: Cascade) -> None:
    picture = draw(cascade, APPLE)
    assert picture.shape == (256, 256, 3)
    assert picture.dtype == np.uint8


def test_the_same_seed_gives_the_same_pixels(cascade: Cascade) -> None:
    assert np.array_equal(draw(cascade, APPLE), draw(cascade, APPLE))


def test_a_picture_does_not_depend_on_who_shares_its_batch(cascade: Cascade) -> None:
    others = [
        replace(APPLE, prompt="a cat", seed=1, steps=5, prior_steps=4),
        replace(APPLE, prompt="a boat", seed=9, guidance_scale=1.0, prior_guidance_scale=1.0),
        replace(APPLE, seed=8, steps=2),
    ]
    picture, shared = draw_in_company(cascade, APPLE, others)
    assert any(len(set(steps)) > 1 for steps in shared), "rows at different timesteps never met in one call"
    assert np.array_equal(picture, draw(cascade, APPLE))


def test_noise_from_a_generator_shared_by_the_batch_would_break_that(cascade: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    monkeypatch.setattr(diffusion, "noise", lambda seed, stage, step, shape: torch.randn(shape, generator=generator))
    assert not np.array_equal(draw(cascade, APPLE), draw(cascade, APPLE))


def test_after_loading_again_the_pixels_are_the_same(cascade: Cascade, folder: Path) -> None:
    assert np.array_equal(draw(cascade, APPLE), draw(Cascade.load(folder), APPLE))


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a cat"},
        {"seed": 8},
        {"steps": 4},
        {"guidance_scale": 5.0},
        {"prior_steps": 3},
        {"prior_guidance_scale": 5.0},
    ],
)
def test_every_parameter_reaches_the_pixels(cascade: Cascade, change: dict[str, object]) -> None:
    assert not np.array_equal(draw(cascade, APPLE), draw(cascade, replace(APPLE, **change)))  # type: ignore[arg-type]


def test_the_candidate_nearer_to_the_caption_goes_on(cascade: Cascade) -> None:
    row = cascade.admit(APPLE)
    while row.stage == "prior":
        cascade.stages["prior"].run([row])
    assert row.z_i is not None
    score = float((row.z_i * row.text.embeds).mean())
    assert len(row.candidate_scores) == 2
    assert score == pytest.approx(max(row.candidate_scores), abs=1e-6)


def test_what_the_text_tower_cuts_off_is_counted(cascade: Cascade) -> None:
    row = cascade.admit(replace(APPLE, prompt="a b c d e f g h i j k l m n"))
    assert row.truncated_tokens == 14 + 2 - 12


def test_a_row_with_broken_numbers_fails_alone(cascade: Cascade) -> None:
    bad, good = cascade.admit(replace(APPLE, seed=1)), cascade.admit(APPLE)
    assert bad.x_t is not None
    bad.x_t = bad.x_t * float("nan")
    cascade.stages["prior"].run([bad, good])
    assert "not finite" in (bad.failure or "")
    assert np.array_equal(finish(cascade, good), draw(cascade, APPLE))


def test_a_preview_appears_with_the_decoders_first_step(cascade: Cascade) -> None:
    row = cascade.admit(APPLE)
    while row.stage == "prior":
        cascade.stages["prior"].run([row])
    assert cascade.preview(row) is None
    cascade.stages["decoder"].run([row])
    preview = cascade.preview(row)
    assert preview is not None
    assert preview.shape == (64, 64, 3)


def test_a_changed_file_is_refused_by_the_manifest(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")
    (folder / "model_index.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"model_index\.json"):
        Cascade.load(folder)


def test_a_config_that_the_net_cannot_do_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")
    path = folder / "decoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"resnet_time_scale_shift": "default"}))
    write_manifest(folder)
    with pytest.raises(CheckpointError, match="resnet_time_scale_shift"):
        Cascade.load(folder)


@pytest.mark.parametrize(
    ("file", "field"),
    [
        ("prior/config.json", "num_layers"),
        ("decoder/config.json", "block_out_channels"),
        ("text_proj/config.json", "time_embed_dim"),
        ("text_encoder/config.json", "context_length"),
        ("decoder_scheduler/scheduler_config.json", "beta_schedule"),
        ("model_index.json", "unclip"),
    ],
)
def test_a_config_that_lacks_a_field_is_refused_by_name(tmp_path: Path, file: str, field: str) -> None:
    folder = write_tiny_model(tmp_path / "model")
    fields = json.loads((folder / file).read_text())
    del fields[field]
    (folder / file).write_text(json.dumps(fields))
    write_manifest(folder)
    with pytest.raises(CheckpointError, match=f"{file} has no '{field}'"):
        Cascade.load(folder)


@pytest.mark.parametrize(("field", "name"), [("prediction_type", "guess"), ("sampler", "euler"), ("beta_schedule", "steep")])
def test_a_scheduler_that_nobody_knows_is_refused_at_load(tmp_path: Path, field: str, name: str) -> None:
    folder = write_tiny_model(tmp_path / "model")
    path = folder / "decoder_scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: name}))
    write_manifest(folder)
    with pytest.raises(ModelError, match=name):
        Cascade.load(folder)
