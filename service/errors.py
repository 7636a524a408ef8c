"""How errors leave: one handler per kind, one JSON shape for all, and the same errors declared in OpenAPI with examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from contract.errors import (
    BodyTooLarge,
    ContentBlocked,
    FilterDown,
    HeadersTooLarge,
    IdempotencyKeyReused,
    ImageNotFound,
    InternalError,
    InvalidForm,
    InvalidHttp,
    InvalidImage,
    InvalidJson,
    InvalidKey,
    InvalidMask,
    InvalidParameter,
    InvalidSize,
    JobCanceled,
    JobFailed,
    JobGone,
    JobNotCancelable,
    JobNotEnded,
    JobNotFound,
    KeyQueueFull,
    MethodNotAllowed,
    ModelNotFound,
    OperationMissing,
    OutageError,
    PartMissing,
    PromptEmpty,
    PromptTooLong,
    QueueDown,
    QueueFull,
    RateLimited,
    RequestTooSlow,
    RouteNotFound,
    ScopeMissing,
    StoreDown,
    TooManyJobs,
    UnclipError,
    UnknownField,
    UnknownModel,
    UnsupportedMediaType,
    UnsupportedParameter,
    UploadsBusy,
    UrlRefused,
    UrlUnreachable,
    WaitTimedOut,
    WebhookNotFound,
    shortened,
)
from contract.spec import SIZES, Operation

log = structlog.get_logger("service")

CLIENT_LEFT_STATUS = 499
"""nginx's status for a caller that hung up; it is only seen in the log."""

CODE_STATE = "error_code"
"""Where a request's state keeps the code of the error that it was answered with."""

# The OpenAI clients repeat 409, 429 and 5xx by themselves; here that would draw everything once more.
_NOT_TO_BE_REPEATED = (JobFailed, JobCanceled, OperationMissing, WaitTimedOut)


DRAWING_REFUSALS: tuple[type[UnclipError], ...] = (
    InvalidJson,
    InvalidParameter,
    InvalidSize,
    PartMissing,
    PromptEmpty,
    PromptTooLong,
    UnknownField,
    UnknownModel,
    UnsupportedParameter,
    ContentBlocked,
    BodyTooLarge,
    RequestTooSlow,
    UnsupportedMediaType,
    QueueFull,
    TooManyJobs,
    QueueDown,
    StoreDown,
    FilterDown,
)
"""What any route that takes a drawing request may answer."""


PICTURE_REFUSALS: tuple[type[UnclipError], ...] = (
    *(ImageNotFound, InvalidImage, InvalidMask, UrlRefused, UrlUnreachable, UploadsBusy, OperationMissing),
)
"""What any route that takes pictures may answer beside."""


KEY_REFUSALS: tuple[type[UnclipError], ...] = (InvalidKey, ScopeMissing, RateLimited, QueueDown)
"""What any route below /v1 may answer before it is asked."""


class BodyOverLimit(HTTPException):
    """Raised where a body is read, once it is over the limit. FastAPI lets HTTPException through and wraps anything else."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(status_code=BodyTooLarge.status)
        self.limit_bytes = limit_bytes


class BodyTooSlow(HTTPException):
    """Raised where a body is read, once nothing of it has come for too long; no request can come behind it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(status_code=RequestTooSlow.status, headers={"Connection": "close"})
        self.seconds = seconds


class ErrorResponse(JSONResponse):
    """An error on its way out, which tells whoever logs and counts it what it is."""

    def __init__(self, content: Mapping[str, object], code: str, status_code: int, headers: Mapping[str, str]) -> None:
        super().__init__(content, status_code=status_code, headers=headers)
        self.code = code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        scope.setdefault("state", {})[CODE_STATE] = self.code
        await super().__call__(scope, receive, send)


class ModerationDetails(BaseModel):
    """What the content filter objected to."""

    moderation_stage: str = Field(examples=["input"])
    categories: list[str] = Field(examples=[["sexual"]])
    scores: dict[str, float] = Field(default_factory=dict, examples=[{"sexual": 0.98}], description="0 to 1, by category.")


class ErrorDetail(BaseModel):
    """One error: `message` for people, the rest for programs."""

    message: str = Field(description="What is wrong, with which value, and the way out.")
    type: str = Field(description="The family of the error.", examples=["invalid_request_error"])
    param: str | None = Field(description="The request field at fault, if one is.", examples=["size"])
    code: str = Field(description="The error, for programs.", examples=["unsupported_size"])
    moderation_details: ModerationDetails | None = Field(default=None, description="Only with `moderation_blocked`.")


class ErrorBody(BaseModel):
    """Every reply with a status of 400 or more; the shape that the OpenAI clients parse."""

    model_config = ConfigDict(title="Error")

    error: ErrorDetail


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of the app leave in the one shape."""
    app.add_exception_handler(UnclipError, _on_unclip_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_client_left)


def error_response(
    error: UnclipError, headers: Mapping[str, str] | None = None, *, beside: Mapping[str, object] | None = None
) -> JSONResponse:
    """Return the reply for `error`, with Retry-After where waiting helps and `x-should-retry: false` where repeating harms.

    beside: further keys of the body, next to "error".
    """
    sent = dict(headers or {})
    if isinstance(error, InvalidKey):
        sent["WWW-Authenticate"] = "Bearer"
    if isinstance(error, _NOT_TO_BE_REPEATED):
        sent["x-should-retry"] = "false"
    elif error.retry_after_seconds is not None:
        sent["Retry-After"] = str(error.retry_after_seconds)
    return ErrorResponse({**error.wire(), **(beside or {})}, error.code, error.status, sent)


def errors(*kinds: type[UnclipError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` of a route that can answer with `kinds`, an example of each by its code."""
    declared: dict[int | str, dict[str, Any]] = {}
    for example in (EXAMPLES[kind] for kind in kinds):
        entry = declared.setdefault(example.status, _declaration(""))
        entry["content"]["application/json"]["examples"][example.code] = {"value": example.wire()}
    for entry in declared.values():
        entry["description"] = ", ".join(f"`{code}`" for code in entry["content"]["application/json"]["examples"])
    # "default" also keeps FastAPI from declaring a 422 of another shape, which is never sent.
    declared["default"] = _declaration("Any other refusal or fault, in the same shape.")
    declared["default"]["content"]["application/json"]["examples"]["internal_error"] = {"value": InternalError().wire()}
    return declared


def _declaration(description: str) -> dict[str, Any]:
    return {"model": ErrorBody, "description": description, "content": {"application/json": {"examples": {}}}}


_JOB_ID = "5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f"

EXAMPLES: Mapping[type[UnclipError], UnclipError] = {
    type(example): example
    for example in (
        BodyTooLarge(2**20),
        ContentBlocked(["sexual"], scores={"sexual": 0.98}),
        FilterDown(),
        IdempotencyKeyReused(),
        HeadersTooLarge(16384),
        ImageNotFound(f"{_JOB_ID}-9"),
        InvalidForm("missing boundary in multipart"),
        InvalidImage("image", "it is not a PNG, JPEG or WebP picture"),
        InvalidHttp(),
        InvalidJson("Expecting value at character 12"),
        InvalidKey(),
        InvalidMask("mask", "it marks nothing: no part of it would be painted anew"),
        InvalidParameter("n", "n should be less than or equal to 10, not 11"),
        InvalidSize("300x300", SIZES),
        JobCanceled(_JOB_ID),
        JobFailed(_JOB_ID, "the decoder met a value that is not a number"),
        JobGone(_JOB_ID),
        JobNotCancelable(_JOB_ID, "succeeded"),
        JobNotEnded(_JOB_ID, "running"),
        JobNotFound(_JOB_ID),
        KeyQueueFull(100, 100),
        ModelNotFound("dall-e-9", ["unclip-emoji", "dall-e-2"]),
        OperationMissing("inpaint", "a decoder with inpainting channels"),
        KeyQueueFull(100, 100),
        PartMissing("prior", "autoregressive", "the autoregressive prior", ["diffusion"]),
        PromptEmpty(),
        PromptTooLong(1044, 1000),
        QueueDown(),
        QueueFull(1000, 1000),
        RateLimited("60 per 1 minute", 12),
        RequestTooSlow(20),
        ScopeMissing("generate", ["read"]),
        StoreDown(),
        TooManyJobs(4),
        UnknownField("promt", ["prompt", "n", "size"]),
        UnknownModel("dall-e-9", ["unclip-emoji", "dall-e-2"]),
        UnsupportedMediaType("text/plain"),
        UnsupportedParameter("stream", "stream is not offered; leave it out, or follow POST /v1/jobs"),
        UploadsBusy(),
        UrlRefused("https://10.0.0.1/a.png", "it does not lead to a public address"),
        UrlUnreachable("https://example.com/a.png", "it answered with status 404"),
        WaitTimedOut(_JOB_ID, 580),
        WebhookNotFound(f"we_{_JOB_ID}"),
    )
}


async def _on_unclip_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UnclipError)
    if isinstance(error, OutageError):
        log.warning("outage", code=error.code, reason=getattr(error, "reason", ""))
    return error_response(error)


async def _on_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return error_response(error_of_validation(error.errors()))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(_error_of_http(request, error), error.headers)


async def _on_client_left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT_STATUS)


def error_of_validation(faults: Sequence[Mapping[str, Any]]) -> UnclipError:
    """Return the typed error for the first of pydantic's `faults`."""
    fault = faults[0]
    location = [str(part) for part in fault["loc"][1:]]
    if location[1:] and location[0] in get_args(Operation):
        del location[0]  # which of several kinds of request was looked at
    if fault["type"] == "union_tag_not_found":
        return InvalidParameter("operation", f"operation is required; choose one of {', '.join(get_args(Operation))}")
    if fault["type"] == "union_tag_invalid":
        tag = shortened(json.dumps(fault["ctx"]["tag"], ensure_ascii=False))
        return InvalidParameter("operation", f"operation should be one of {', '.join(get_args(Operation))}, not {tag}")
    if fault["type"] == "json_invalid":
        return InvalidJson(f"{fault['ctx']['error']} at character {location[0]}")
    if not location:
        return InvalidJson("it is empty" if fault["type"] == "missing" else "an object in braces is expected")
    param = ".".join(location)
    if fault["type"] == "missing":
        return InvalidParameter(param, f"{param} is required")
    demand = str(fault["msg"]).replace("Input", param, 1)
    given = fault.get("input")
    # A word about the value as it was sent, where it is short enough to be one.
    got = f", not {shortened(json.dumps(given, ensure_ascii=False))}" if isinstance(given, str | int | float | None) else ""
    return InvalidParameter(param, f"{demand}{got}")


def _error_of_http(request: Request, error: HTTPException) -> UnclipError:
    if isinstance(error, BodyOverLimit):
        return BodyTooLarge(error.limit_bytes)
    if isinstance(error, BodyTooSlow):
        return RequestTooSlow(error.seconds)
    match error.status_code:
        case 400:  # FastAPI's word for a body that it could not read: not UTF-8, nested beyond bounds …
            return InvalidJson("it cannot be read")
        case 404:
            return RouteNotFound(request.url.path)
        case 405:
            return MethodNotAllowed(request.method, request.url.path)
        case _:
            return InternalError()
