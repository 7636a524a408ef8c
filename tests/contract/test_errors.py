"""The error tree: what each error tells a caller."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract import errors
from contract.errors import (
    BodyTooLarge,
    ContentBlocked,
    FilterDown,
    InvalidSize,
    QueueFull,
    RequestError,
    UnclipError,
    UnknownField,
)

SAMPLES = [
    errors.InvalidJson("line 1"),
    UnknownField("hue", ["prompt", "n"]),
    errors.UnsupportedParameter("stream", "streaming is not offered"),
    errors.InvalidParameter("n", "n must be 1 to 10, not 11"),
    InvalidSize("13x13", ["256x256"]),
    errors.UnknownModel("dall-e-9", ["unclip-bootstrap"]),
    errors.InvalidPrompt("the prompt holds control characters"),
    errors.PartMissing("prior", "autoregressive", "the autoregressive prior", ["diffusion"]),
    errors.UrlRefused("https://10.0.0.1/", "it does not lead to a public address"),
    errors.UrlUnreachable("https://example.com/", "no connection could be made"),
    errors.IdempotencyKeyReused(),
    errors.InvalidImage("image", "it is damaged"),
    errors.InvalidMask("mask", "it is opaque everywhere"),
    errors.ModelNotFound("dall-e-9", ["unclip-bootstrap"]),
    errors.InvalidForm("it ends too early"),
    errors.UploadsBusy(),
    errors.OperationMissing("inpaint", "inpainting channels"),
    errors.PromptEmpty(),
    errors.PromptTooLong(2000, 1000),
    ContentBlocked(["sexual"]),
    FilterDown(),
    BodyTooLarge(1024),
    errors.UnsupportedMediaType("text/plain"),
    errors.RouteNotFound("/nowhere"),
    errors.JobNotFound("x"),
    errors.JobGone("x"),
    errors.ImageNotFound("x"),
    errors.WebhookNotFound("x"),
    errors.KeyNotFound("x"),
    errors.InvalidKey(),
    errors.ScopeMissing("generate", ["read"]),
    errors.RateLimited("60 per 1 minute", 12),
    errors.TooManyJobs(4),
    errors.RequestTooSlow(20),
    errors.HeadersTooLarge(16384),
    errors.InvalidHttp(),
    errors.MethodNotAllowed("PUT", "/v1/models"),
    errors.JobNotCancelable("x", "succeeded"),
    errors.JobNotEnded("x", "running"),
    errors.JobCanceled("x"),
    QueueFull(10, 10),
    errors.KeyQueueFull(10, 10),
    errors.QueueDown("redis://:secret@host"),
    errors.StoreDown("http://secret"),
    errors.WaitTimedOut("x", 600),
    errors.InternalError(),
    errors.JobFailed("x", "the worker was lost"),
    errors.SettingsWrong("UNCLIP_REDIS_URL must name a Redis or Valkey"),
    errors.ModelError("/x is not a folder"),
]


def leaves(root: type[UnclipError]) -> Iterator[type[UnclipError]]:
    for child in root.__subclasses__():
        if child.__module__.startswith("contract."):
            yield from leaves(child) if child.__subclasses__() else (child,)


def test_every_error_has_a_sample_here() -> None:
    assert set(leaves(UnclipError)) <= {type(sample) for sample in SAMPLES}


def test_every_error_stands_in_the_drawn_tree() -> None:
    assert [leaf.__name__ for leaf in leaves(UnclipError) if leaf.__name__ not in str(errors.__doc__)] == []


def test_codes_tell_errors_apart() -> None:
    codes = [sample.code for sample in SAMPLES]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: error.code)
def test_the_wire_shape_is_openais(error: UnclipError) -> None:
    body = error.wire()
    assert list(body) == ["error"]
    assert {"message", "type", "param", "code"} <= set(body["error"])


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: error.code)
def test_no_reply_tells_where_our_servers_are(error: UnclipError) -> None:
    assert "secret" not in str(error.wire())


@pytest.mark.parametrize(
    "error", [sample for sample in SAMPLES if sample.status in (429, 503, 504)], ids=lambda error: error.code
)
def test_what_passes_by_itself_says_when_to_come_back(error: UnclipError) -> None:
    assert error.retry_after_seconds


@pytest.mark.parametrize(
    "error", [sample for sample in SAMPLES if isinstance(sample, RequestError)], ids=lambda error: error.code
)
def test_a_wrong_request_is_not_worth_repeating(error: UnclipError) -> None:
    assert error.retry_after_seconds is None


def test_a_refused_prompt_names_its_categories() -> None:
    assert ContentBlocked(["sexual", "hate"], scores={"hate": 0.9}).wire()["error"]["moderation_details"] == {
        "moderation_stage": "input",
        "categories": ["sexual", "hate"],
        "scores": {"hate": 0.9},
    }


def test_a_message_repeats_little_of_what_was_sent() -> None:
    assert len(InvalidSize("9" * 10_000, ["256x256"]).message) < 200


def test_a_message_passes_on_no_control_characters() -> None:
    assert "\x1b" not in UnknownField("\x1b[2J", ["prompt"]).message
