"""The spec, its bounds, the states and the catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rq.job import JobStatus

from contract.catalog import read_model_info
from contract.errors import ModelError
from contract.spec import SIZES, GenerateSpec, read_spec, write_spec
from contract.states import TRANSITIONS, JobState, state_from_rq

GOOD: dict[str, Any] = {
    "model": "unclip-bootstrap",
    "prompt": "a red apple",
    "n": 1,
    "size": "256x256",
    "seed": 7,
    "steps": 20,
    "guidance_scale": 3.0,
    "prior_steps": 10,
    "prior_guidance_scale": 2.0,
    "upsample_steps": 8,
}


def test_a_spec_survives_the_queue() -> None:
    spec = GenerateSpec(**GOOD)
    assert read_spec(json.loads(json.dumps(write_spec(spec)))) == spec


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValidationError):
        GenerateSpec(**GOOD).seed = 8  # type: ignore[misc]


def test_the_seed_of_a_later_picture_draws_it_alone() -> None:
    assert GenerateSpec(**GOOD | {"seed": 2**32 - 1, "n": 3}).picture_seed(2) == 1


@pytest.mark.parametrize("size", SIZES)
def test_every_offered_size_is_a_square_of_its_number(size: str) -> None:
    assert (
        GenerateSpec(**GOOD | {"size": size}).size
        == f"{GenerateSpec(**GOOD | {'size': size}).size_px}x{size.partition('x')[2]}"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 0),
        ("n", 11),
        ("n", "2"),
        ("n", True),
        ("n", 1.0),
        ("seed", -1),
        ("seed", 2**32),
        ("steps", 0),
        ("steps", 251),
        ("prior_steps", 251),
        ("upsample_steps", 0),
        ("guidance_scale", -0.1),
        ("guidance_scale", 30.1),
        ("guidance_scale", float("nan")),
        ("guidance_scale", float("inf")),
        ("prior_guidance_scale", float("nan")),
        ("size", "257x257"),
        ("size", "256X256"),
        ("output_format", "gif"),
        ("prompt", ""),
        ("prompt", None),
        ("model", ""),
        ("operation", "edit"),
        ("user", "x" * 257),
        ("hue", 1),
    ],
)
def test_a_value_out_of_bounds_makes_no_spec(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        GenerateSpec(**GOOD | {field: value})


@pytest.mark.parametrize("status", list(JobStatus))
def test_every_rq_status_reads_as_a_state(status: JobStatus) -> None:
    assert state_from_rq(status) in JobState


def test_terminal_states_lead_nowhere() -> None:
    assert {state for state in JobState if state.is_terminal} == {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED}


def test_every_state_can_be_reached() -> None:
    assert {JobState.QUEUED}.union(*TRANSITIONS.values()) == set(JobState)


def test_only_recovery_leads_back() -> None:
    assert [state for state in JobState if state.may_become(JobState.QUEUED)] == [JobState.RUNNING]


def test_a_model_tells_what_it_offers(model_dir: Path) -> None:
    info = read_model_info(model_dir)
    assert (info.name, info.native_sizes, info.defaults.steps) == ("unclip-bootstrap", (64, 256), 20)


@pytest.mark.parametrize("name", [None, "dall-e-2", "gpt-image-1", "default", "unclip-bootstrap"])
def test_a_model_answers_to_its_name_and_to_openais(model_dir: Path, name: str | None) -> None:
    assert read_model_info(model_dir).answers_to(name)


def test_a_model_does_not_answer_to_another_name(model_dir: Path) -> None:
    assert not read_model_info(model_dir).answers_to("dall-e-9")


@pytest.mark.parametrize(("asked", "drawn"), [(64, 64), (65, 256), (256, 256), (1024, 256)])
def test_a_picture_is_drawn_at_the_nearest_stage_that_suffices(model_dir: Path, asked: int, drawn: int) -> None:
    assert read_model_info(model_dir).nearest_native_size(asked) == drawn


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("\ufffe", "is not JSON"),
        ("[]", 'no "unclip" object'),
        ("{}", 'no "unclip" object'),
        ('{"unclip": {"format_version": 2}}', "format_version"),
        ('{"unclip": {"format_version": 1}}', "native_sizes"),
    ],
)
def test_a_broken_model_folder_is_named_with_its_fault(tmp_path: Path, content: str | None, fault: str) -> None:
    if content is not None:
        (tmp_path / "model_index.json").write_text(content)
    with pytest.raises(ModelError, match=fault) as caught:
        read_model_info(tmp_path)
    assert str(tmp_path) in caught.value.message
