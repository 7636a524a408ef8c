"""Every error a caller can meet, as one tree.

UnclipError
├─ RequestError        400        UnknownField · UnsupportedParameter · InvalidParameter · InvalidJson · BodyTooLarge 413 ·
│  │                              UnsupportedMediaType 415 · RequestTooSlow 408 ·
│  │                              InvalidHttp · HeadersTooLarge 431
│  ├─ InvalidParameter            InvalidSize · UnknownModel · PartMissing · InvalidPrompt (PromptEmpty · PromptTooLong)
│  ├─ InvalidForm · InvalidImage (InvalidMask) · UrlRefused · UrlUnreachable · IdempotencyKeyReused 422
│  └─ ContentBlocked              categories of the prompt filter or the picture filter
├─ AccessError         404        NotFound (RouteNotFound · JobNotFound · ImageNotFound · ModelNotFound · WebhookNotFound) ·
│                                 JobGone 410 · MethodNotAllowed 405
├─ KeyRefused          401        InvalidKey · ScopeMissing 403; KeyNotFound 404
├─ Conflict            409        JobNotCancelable · JobNotEnded · JobCanceled
├─ BusyError           429        QueueFull · KeyQueueFull · RateLimited · TooManyJobs · UploadsBusy (Retry-After)
├─ OutageError         503        QueueDown · StoreDown · FilterDown (Retry-After) · WaitTimedOut 504
├─ ServerError         500        JobFailed · InternalError · OperationMissing 501
├─ SettingsWrong       no HTTP    a setting that is missing or cannot be used
└─ ModelError          no HTTP    a model folder that cannot be read

On the wire: {"error": {"message", "type", "param", "code"}}, the shape the OpenAI clients parse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from contract.busy_errors import BusyError, KeyQueueFull, QueueFull, RateLimited, TooManyJobs, UploadsBusy
from contract.error_root import RequestError, UnclipError, shortened
from contract.input_errors import InvalidForm, InvalidImage, InvalidMask, UrlRefused, UrlUnreachable
from contract.key_errors import InvalidKey, KeyNotFound, KeyRefused, ScopeMissing
from contract.server_errors import (
    FilterDown,
    InternalError,
    JobFailed,
    ModelError,
    OperationMissing,
    OutageError,
    QueueDown,
    ServerError,
    SettingsWrong,
    StoreDown,
    WaitTimedOut,
)

# What is defined elsewhere and belongs to the tree.
__all__ = [
    "BusyError",
    "FilterDown",
    "InternalError",
    "InvalidForm",
    "InvalidImage",
    "InvalidKey",
    "InvalidMask",
    "JobFailed",
    "KeyNotFound",
    "KeyQueueFull",
    "KeyRefused",
    "ModelError",
    "OperationMissing",
    "OutageError",
    "QueueDown",
    "QueueFull",
    "RateLimited",
    "RequestError",
    "ScopeMissing",
    "ServerError",
    "SettingsWrong",
    "StoreDown",
    "TooManyJobs",
    "UnclipError",
    "UploadsBusy",
    "UrlRefused",
    "UrlUnreachable",
    "WaitTimedOut",
    "shortened",
]

# Requests that are wrong in themselves: sending them again will not help.


class InvalidJson(RequestError):
    """The body is not JSON, or not a JSON object."""

    code = "invalid_json"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the body is not valid JSON: {reason}")


class UnknownField(RequestError):
    """A field that this endpoint does not know."""

    code = "unknown_parameter"

    def __init__(self, field: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown field {shortened(field)!r}; this endpoint knows {', '.join(known)}", param=shortened(field))


class UnsupportedParameter(RequestError):
    """A field or value that OpenAI's API knows and this service refuses by name."""

    code = "unsupported_parameter"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message, param=param)


class InvalidParameter(RequestError):
    """A field holds a value outside what it accepts."""

    code = "invalid_value"

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message, param=param)


class InvalidSize(InvalidParameter):
    """A picture size that is not offered."""

    code = "unsupported_size"

    def __init__(self, size: str, offered: Sequence[str]) -> None:
        super().__init__("size", f"size {shortened(size)!r} is not offered; choose one of {', '.join(offered)}")


class UnknownModel(InvalidParameter):
    """A model name that this server does not serve."""

    code = "model_not_found"

    def __init__(self, model: str, served: Sequence[str]) -> None:
        super().__init__("model", f"model {shortened(model)!r} is not served here; choose one of {', '.join(served)}")


class PartMissing(InvalidParameter):
    """A value that needs a part of the model which the served one does not have."""

    code = "part_missing"

    def __init__(self, param: str, value: str, part: str, offered: Sequence[str]) -> None:
        super().__init__(
            param, f"{param} {value!r} needs {part}, which the served model does not have; choose one of {', '.join(offered)}"
        )


class InvalidPrompt(InvalidParameter):
    """A prompt that cannot be drawn as it is written."""

    code = "invalid_prompt"

    def __init__(self, message: str) -> None:
        super().__init__("prompt", message)


class PromptEmpty(InvalidPrompt):
    """A prompt without a single visible character."""

    code = "prompt_empty"

    def __init__(self) -> None:
        super().__init__("the prompt is empty; describe the picture in words")


class PromptTooLong(InvalidPrompt):
    """A prompt beyond the accepted number of characters."""

    code = "prompt_too_long"

    def __init__(self, characters: int, limit: int) -> None:
        super().__init__(f"the prompt has {characters} characters; at most {limit} are accepted")


class IdempotencyKeyReused(RequestError):
    """An Idempotency-Key that came before with another request."""

    status = 422
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key came before with another request; take a new key for a new request")


class ContentBlocked(RequestError):
    """A prompt or a picture that a content filter refuses; `categories` are OpenAI's moderation names.

    stage: "input" for what was sent, "output" for what was drawn. scores: of every category that was looked at, 0 to 1.
    param: the field at fault; of what was drawn, none is.
    """

    type = "image_generation_user_error"
    code = "moderation_blocked"

    def __init__(
        self,
        categories: Sequence[str],
        *,
        stage: Literal["input", "output"] = "input",
        scores: Mapping[str, float] | None = None,
        param: str | None = "prompt",
    ) -> None:
        if stage == "output":
            told, param = f"the picture filter kept back every picture ({', '.join(categories)}); rephrase the prompt", None
        else:
            thing = "prompt" if "prompt" in (param or "") else "picture"
            told = f"the content filter refused this {thing} ({', '.join(categories)}); send another"
        super().__init__(told, param=param)
        self.categories = tuple(categories)
        self.stage = stage
        self.scores = dict(scores or {})

    def wire(self) -> dict[str, dict[str, object]]:
        """Return the reply body, with `moderation_details` as OpenAI's image API sends them."""
        body = super().wire()
        body["error"]["moderation_details"] = {
            "moderation_stage": self.stage,
            "categories": list(self.categories),
            "scores": self.scores,
        }
        return body


class BodyTooLarge(RequestError):
    """A request body over the limit."""

    status = 413
    code = "body_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is over the limit of {limit_bytes} bytes")


class InvalidHttp(RequestError):
    """Bytes that are no HTTP request."""

    code = "invalid_http"

    def __init__(self) -> None:
        super().__init__("this is not a valid HTTP/1.1 request")


class HeadersTooLarge(RequestError):
    """A header section over the limit."""

    status = 431
    code = "headers_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the header section is over the limit of {limit_bytes} bytes")


class RequestTooSlow(RequestError):
    """A request whose body did not arrive in time."""

    status = 408
    code = "request_timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing of the body arrived for {seconds:.0f} s")


class UnsupportedMediaType(RequestError):
    """A request body of a type that is not read here."""

    status = 415
    code = "unsupported_media_type"

    def __init__(self, content_type: str, accepted: str = "application/json") -> None:
        super().__init__(f"content type {shortened(content_type)!r} is not accepted; send {accepted}")


# Things that are not there, or not for this verb.


class AccessError(UnclipError):
    """The caller cannot reach what the request names."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class NotFound(AccessError):
    """Something that does not exist, or no longer does."""


class RouteNotFound(NotFound):
    """A path that this server does not have."""

    code = "route_not_found"

    def __init__(self, path: str) -> None:
        super().__init__(f"there is nothing at {shortened(path)!r}; see /docs for the routes")


class JobNotFound(NotFound):
    """A job id that names no job, or one whose retention has ended."""

    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {shortened(job_id)!r}; finished jobs are kept for a limited time", param="id")


class JobGone(AccessError):
    """A job of the caller's own whose retention has ended."""

    status = 410
    code = "job_expired"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was kept for as long as finished jobs are, and is gone", param="id")


class WebhookNotFound(NotFound):
    """An id that names no webhook endpoint of the caller's."""

    code = "webhook_endpoint_not_found"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__(f"there is no webhook endpoint {shortened(endpoint_id)!r}", param="id")


class ImageNotFound(NotFound):
    """An image id that names no stored picture."""

    code = "image_not_found"

    def __init__(self, image_id: str) -> None:
        super().__init__(f"there is no image {shortened(image_id)!r}", param="id")


class ModelNotFound(NotFound):
    """A model asked for by its address that is not served here."""

    code = "model_not_served"

    def __init__(self, model: str, served: Sequence[str]) -> None:
        super().__init__(f"there is no model {shortened(model)!r}; served are {', '.join(served)}", param="model")


class MethodNotAllowed(AccessError):
    """A verb that the path does not answer."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"{method} is not allowed at {shortened(path)!r}; see /docs for the routes")


class Conflict(UnclipError):
    """The request is right, but not in the present state of what it names."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class JobNotCancelable(Conflict):
    """A job that has already ended another way."""

    code = "job_not_cancelable"

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(f"job {job_id} has already {state}; only queued and running jobs can be canceled", param="id")


class JobNotEnded(Conflict):
    """A job that cannot be deleted or retried because it waits or runs."""

    code = "job_not_ended"

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(f"job {job_id} is {state}; cancel it first, or wait for its end", param="id")


class JobCanceled(Conflict):
    """A job that a caller waited for and somebody canceled."""

    code = "job_canceled"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was canceled before it finished")
