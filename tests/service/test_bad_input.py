"""Every wrong request gets a typed error in OpenAI's shape, and leaves nothing behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from contract.queue import JobQueue
from contract.settings import Settings
from service.app import create_app

BOTH = ("/v1/images/generations", "/v1/jobs")
NAN, INFINITY = float("nan"), float("inf")

BAD_FIELDS = [
    # prompt
    ({"prompt": ""}, "prompt_empty", "prompt"),
    ({"prompt": " \n\t\u00a0"}, "prompt_empty", "prompt"),
    ({"prompt": "\u200b\u200d"}, "prompt_empty", "prompt"),
    ({"prompt": "a" * 1001}, "prompt_too_long", "prompt"),
    ({"prompt": 5}, "invalid_value", "prompt"),
    ({"prompt": None}, "invalid_value", "prompt"),
    ({"prompt": ["a cat"]}, "invalid_value", "prompt"),
    ({"prompt": "a\x00cat"}, "invalid_prompt", "prompt"),
    ({"prompt": "a cat\x1b[31m"}, "invalid_prompt", "prompt"),
    ({"prompt": "a \x85 cat"}, "invalid_prompt", "prompt"),
    # number of pictures
    ({"n": 0}, "invalid_value", "n"),
    ({"n": 11}, "invalid_value", "n"),
    ({"n": "two"}, "invalid_value", "n"),
    ({"n": "2"}, "invalid_value", "n"),
    ({"n": True}, "invalid_value", "n"),
    ({"n": 1.5}, "invalid_value", "n"),
    # size, model, format
    ({"size": "300x300"}, "unsupported_size", "size"),
    ({"size": "256"}, "unsupported_size", "size"),
    ({"size": ""}, "unsupported_size", "size"),
    ({"size": "auto"}, "unsupported_size", "size"),
    ({"size": 256}, "invalid_value", "size"),
    ({"model": "dall-e-9"}, "model_not_found", "model"),
    ({"model": ""}, "model_not_found", "model"),
    ({"output_format": "svg"}, "unsupported_parameter", "output_format"),
    ({"output_format": "bmp"}, "invalid_value", "output_format"),
    # settings of the cascade
    ({"seed": -1}, "invalid_value", "seed"),
    ({"seed": 2**32}, "invalid_value", "seed"),
    ({"seed": 10**400}, "invalid_value", "seed"),
    ({"steps": 0}, "invalid_value", "steps"),
    ({"steps": 251}, "invalid_value", "steps"),
    ({"steps": NAN}, "invalid_value", "steps"),
    ({"steps": INFINITY}, "invalid_value", "steps"),
    ({"prior": "clairvoyance"}, "invalid_value", "prior"),
    ({"prior": "autoregressive"}, "part_missing", "prior"),
    ({"decoder": "warp"}, "invalid_value", "decoder"),
    ({"decoder": "turbo"}, "part_missing", "decoder"),
    ({"prior_steps": 0}, "invalid_value", "prior_steps"),
    ({"upsample_steps": 251}, "invalid_value", "upsample_steps"),
    ({"guidance_scale": -0.1}, "invalid_value", "guidance_scale"),
    ({"guidance_scale": 30.1}, "invalid_value", "guidance_scale"),
    ({"guidance_scale": NAN}, "invalid_value", "guidance_scale"),
    ({"guidance_scale": INFINITY}, "invalid_value", "guidance_scale"),
    ({"guidance_scale": "3"}, "invalid_value", "guidance_scale"),
    ({"prior_guidance_scale": -INFINITY}, "invalid_value", "prior_guidance_scale"),
    ({"user": "u" * 257}, "invalid_value", "user"),
    # fields nobody knows
    ({"promt": "a cat"}, "unknown_parameter", "promt"),
    ({"Seed": 7}, "unknown_parameter", "Seed"),
]

BAD_OPENAI_FIELDS = [
    ({"response_format": "gif"}, "invalid_value", "response_format"),
    ({"quality": "sublime"}, "invalid_value", "quality"),
    ({"style": "cubist"}, "invalid_value", "style"),
    ({"moderation": "off"}, "invalid_value", "moderation"),
    ({"background": "transparent"}, "unsupported_parameter", "background"),
    ({"output_compression": 101}, "invalid_value", "output_compression"),
    ({"stream": "yes"}, "invalid_value", "stream"),
    ({"partial_images": 2}, "unsupported_parameter", "partial_images"),
    ({"partial_images": 4, "stream": True}, "invalid_value", "partial_images"),
    ({"complexity": "high"}, "unsupported_parameter", "complexity"),
    ({"frame_count": 9}, "unsupported_parameter", "frame_count"),
    ({"frame_duration_ms": 200}, "unsupported_parameter", "frame_duration_ms"),
    ({"svg": {"model": "x"}}, "unsupported_parameter", "svg"),
    ({"operation": "generate"}, "unknown_parameter", "operation"),
]

BAD_JOB_FIELDS = [
    ({"operation": "paint"}, "invalid_value", "operation"),
    ({"operation": None}, "invalid_value", "operation"),
    ({"response_format": "url"}, "unknown_parameter", "response_format"),
]

BAD_BODIES = [
    b"",
    b"{",
    b'{"prompt": "a cat"',
    b"[1]",
    b'"a cat"',
    b"null",
    b"\xff\xfe{}",
    b'{"prompt": "\xe9"}',
    b"[" * 100_000,
    b'{"seed": ' + b"9" * 5000 + b"}",
]


def named(case: object) -> str:
    return repr(case)[:40]


def post(client: TestClient, path: str, fields: dict[str, Any]) -> Response:
    """Post a good request with `fields` put in."""
    body = {"prompt": "a red apple", **({"operation": "generate"} if path == "/v1/jobs" else {}), **fields}
    return client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})


def assert_refused(response: Response, status: int, code: str, param: str | None, queue: JobQueue) -> None:
    """The one shape, typed, with an id; nothing queued; no insides shown."""
    assert (response.status_code, response.json()["error"]["code"], response.json()["error"]["param"]) == (status, code, param)
    assert set(response.json()["error"]) - {"moderation_details"} == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    assert "Traceback" not in response.text
    assert queue.depth() == 0


@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize(("fields", "code", "param"), BAD_FIELDS, ids=named)
def test_a_bad_field_is_refused(client: TestClient, queue: JobQueue, path: str, fields: Any, code: str, param: str) -> None:
    assert_refused(post(client, path, fields), 400, code, param, queue)


@pytest.mark.parametrize(("fields", "code", "param"), BAD_OPENAI_FIELDS, ids=named)
def test_a_bad_openai_field_is_refused(client: TestClient, queue: JobQueue, fields: Any, code: str, param: str) -> None:
    assert_refused(post(client, "/v1/images/generations", fields), 400, code, param, queue)


@pytest.mark.parametrize(("fields", "code", "param"), BAD_JOB_FIELDS, ids=named)
def test_a_bad_job_field_is_refused(client: TestClient, queue: JobQueue, fields: Any, code: str, param: str) -> None:
    assert_refused(post(client, "/v1/jobs", fields), 400, code, param, queue)


@pytest.mark.parametrize("path", BOTH)
def test_a_missing_prompt_is_refused(client: TestClient, queue: JobQueue, path: str) -> None:
    response = client.post(path, json={"operation": "generate"} if path == "/v1/jobs" else {})
    assert_refused(response, 400, "invalid_value", "prompt", queue)


def test_a_missing_operation_is_refused(client: TestClient, queue: JobQueue) -> None:
    assert_refused(client.post("/v1/jobs", json={"prompt": "a cat"}), 400, "invalid_value", "operation", queue)


@pytest.mark.parametrize("path", BOTH)
def test_half_a_surrogate_pair_is_refused(client: TestClient, queue: JobQueue, path: str) -> None:
    assert_refused(post(client, path, {"prompt": "a \ud800 cat"}), 400, "invalid_prompt", "prompt", queue)


@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize("body", BAD_BODIES, ids=named)
def test_a_body_that_is_no_json_object_is_refused(client: TestClient, queue: JobQueue, path: str, body: bytes) -> None:
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert_refused(response, 400, "invalid_json", None, queue)


@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
def test_another_content_type_is_refused(client: TestClient, queue: JobQueue, path: str, content_type: str) -> None:
    body = json.dumps({"prompt": "a cat", "operation": "generate"})
    response = client.post(path, content=body, headers={"content-type": content_type})
    assert_refused(response, 415, "unsupported_media_type", None, queue)


@pytest.mark.parametrize("path", BOTH)
def test_a_body_over_the_limit_is_refused(client: TestClient, queue: JobQueue, path: str) -> None:
    over = 2**23 if path == "/v1/jobs" else 2**20
    assert_refused(post(client, path, {"prompt": "a" * over}), 413, "body_too_large", None, queue)


@pytest.mark.parametrize("path", BOTH)
def test_a_body_that_outgrows_the_limit_in_chunks_is_refused(client: TestClient, queue: JobQueue, path: str) -> None:
    chunks = (b" " * 2**18 for _ in range(33 if path == "/v1/jobs" else 5))
    response = client.post(path, content=chunks, headers={"content-type": "application/json"})
    assert "content-length" not in response.request.headers
    assert_refused(response, 413, "body_too_large", None, queue)


def test_a_body_at_the_limit_is_read(settings: Settings, queue: JobQueue) -> None:
    body = json.dumps({"prompt": "a cat", "operation": "generate"}).encode()
    with TestClient(create_app(settings.model_copy(update={"max_body_bytes": len(body)}))) as client:
        response = client.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 202


@pytest.mark.parametrize("path", BOTH)
def test_the_limit_on_the_prompt_is_told(client: TestClient, path: str) -> None:
    assert "at most 1000" in post(client, path, {"prompt": "a" * 1001}).json()["error"]["message"]


@pytest.mark.parametrize("path", BOTH)
def test_a_refused_size_names_the_offered_ones(client: TestClient, path: str) -> None:
    message = post(client, path, {"size": "300x300"}).json()["error"]["message"]
    assert all(size in message for size in ("256x256", "512x512", "1024x1024"))


@pytest.mark.parametrize("path", BOTH)
def test_a_part_that_the_model_lacks_is_named_with_what_it_has(client: TestClient, path: str) -> None:
    message = post(client, path, {"prior": "autoregressive"}).json()["error"]["message"]
    assert "needs the autoregressive prior" in message
    assert message.endswith("choose one of diffusion")


def test_an_unknown_field_names_the_known_ones(client: TestClient) -> None:
    assert "prior_guidance_scale" in post(client, "/v1/jobs", {"promt": "a cat"}).json()["error"]["message"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("n", 11, "n should be less than or equal to 10, not 11"),
        ("n", "two", 'n should be a valid integer, not "two"'),
        ("n", True, "n should be a valid integer, not true"),
        ("prompt", None, "prompt should be a valid string, not null"),
        ("guidance_scale", NAN, "guidance_scale should be a finite number, not NaN"),
    ],
)
def test_a_refused_value_is_told_in_short_as_it_was_sent(client: TestClient, field: str, value: object, message: str) -> None:
    assert post(client, "/v1/jobs", {field: value}).json()["error"]["message"] == message


def test_megabytes_are_not_sent_back(client: TestClient) -> None:
    assert len(post(client, "/v1/jobs", {"size": "x" * 10**5}).content) < 500


@pytest.mark.parametrize("path", BOTH)
def test_a_prompt_that_the_filter_refuses_says_why(client: TestClient, queue: JobQueue, path: str) -> None:
    response = post(client, path, {"prompt": "hardcore porn"})
    assert_refused(response, 400, "moderation_blocked", "prompt", queue)
    assert response.json()["error"]["type"] == "image_generation_user_error"
    details = response.json()["error"]["moderation_details"]
    assert (details["moderation_stage"], details["categories"], details["scores"]["sexual"]) == ("input", ["sexual"], 1.0)


@pytest.mark.parametrize("job_id", ["0" * 32, "nonsense", "0" * 31, "A" * 32, "0" * 32 + "%0a", "%2e%2e", "x" * 3000])
@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("POST", "/cancel")])
def test_an_unknown_job_is_not_found(client: TestClient, queue: JobQueue, job_id: str, method: str, suffix: str) -> None:
    assert_refused(client.request(method, f"/v1/jobs/{job_id}{suffix}"), 404, "job_not_found", "id", queue)


@pytest.mark.parametrize("image_id", ["0" * 32 + "-0", "nonsense", "..", "%2e%2e%5cetc", "0" * 32 + "-00", "0" * 32 + "-0.png"])
def test_an_unknown_image_is_not_found(client: TestClient, queue: JobQueue, image_id: str) -> None:
    response = client.get(f"/v1/images/{image_id}")
    if image_id == "..":  # HTTP clients resolve this one themselves.
        assert_refused(response, 404, "route_not_found", None, queue)
    else:
        assert_refused(response, 404, "image_not_found", "id", queue)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/jobs/", "/v1/jobs/a/b/c", "/v2/models", "/v1/images/a/b", "/openapi"])
def test_an_unknown_path_is_not_found(client: TestClient, queue: JobQueue, path: str) -> None:
    assert_refused(client.get(path), 404, "route_not_found", None, queue)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/images/generations", "POST"),
        ("PUT", "/v1/images/generations", "POST"),
        ("DELETE", "/v1/models", "GET"),
        ("GET", f"/v1/jobs/{'0' * 32}/cancel", "POST"),
        ("POST", "/healthz", "GET"),
    ],
)
def test_another_method_is_not_allowed(client: TestClient, queue: JobQueue, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    assert_refused(response, 405, "method_not_allowed", None, queue)
    assert response.headers["allow"] == allowed
