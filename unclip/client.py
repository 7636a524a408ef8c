"""A small typed client of the HTTP API: submit a job, follow it, fetch its pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Annotated, Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.settings import Settings
from unclip.errors import ApiError, ServiceUnreachable

TERMINAL = frozenset({"succeeded", "failed", "canceled"})


class _Reply(BaseModel):
    # A newer service may say more than this client knows.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Model(_Reply):
    """A served model: its stages in order of travel, and what a request that leaves fields out gets."""

    id: str
    owned_by: str
    stages: tuple[str, ...]
    defaults: Mapping[str, float]


class Progress(_Reply):
    """How far a job is: step of steps in a stage, and the fraction of the whole, 0 to 1."""

    stage: str
    step: int
    steps: int
    fraction: float


class Image(_Reply):
    """One finished picture and where its bytes are."""

    id: str
    url: str
    seed: int
    width: int
    height: int
    content_type: str = "image/png"
    latent_id: str | None = None
    at: float | None = None


class Remark(_Reply):
    """A code and words: why a job failed, or what in a request was not followed to the letter."""

    code: str
    message: str


class Job(_Reply):
    """A job as the service reported it.

    created_at: Unix seconds. timings: seconds per stage. native_size: the side in pixels at which the model drew.
    """

    id: str
    status: str
    created_at: int
    progress: Progress | None = None
    queue_position: int | None = None
    images: tuple[Image, ...] = ()
    attachments: Mapping[str, Image] = {}
    source_prompt: str | None = None
    native_size: int | None = None
    timings: Mapping[str, float] = {}
    warnings: tuple[Remark, ...] = ()
    error: Remark | None = None

    @property
    def is_finished(self) -> bool:
        """True when the job will not change any more."""
        return self.status in TERMINAL


class Upload(_Reply):
    """A picture that was brought. mask: the id of the mask that its transparency gives."""

    id: str
    mask: str | None = None


class _Models(_Reply):
    data: Annotated[tuple[Model, ...], Field(min_length=1)]


Reply = TypeVar("Reply", bound=_Reply)


class UnclipClient:
    """One service, by its base URL. Use as a context manager, or call `close`.

    Every method raises ApiError for an error reply and ServiceUnreachable when no reply came.
    """

    def __init__(self, base_url: str, *, timeout_seconds: float = 30.0, api_key: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=self.base_url, headers=headers, timeout=timeout_seconds, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def is_alive(self) -> bool:
        """True when an unclip service answers at the address."""
        try:
            return any(model.owned_by == "unclip" for model in self.models())
        except ApiError as error:
            return error.api_code == "invalid_api_key"
        except ServiceUnreachable:
            return False

    def models(self) -> tuple[Model, ...]:
        """Return what the service offers: at least one model."""
        return self._read(_Models, self._request("GET", "/v1/models")).data

    def submit(self, fields: Mapping[str, Any]) -> Job:
        """Queue one job; `fields` is the body of POST /v1/jobs. None values are left to the service."""
        body = json.dumps({name: value for name, value in fields.items() if value is not None})
        # Not httpx's own encoding, which raises for a NaN: what may be drawn is for the service to say.
        return self._read(Job, self._request("POST", "/v1/jobs", content=body, headers={"Content-Type": "application/json"}))

    def upload(self, picture: bytes) -> Upload:
        """Bring a picture: PNG, JPEG or WebP."""
        headers = {"Content-Type": "application/octet-stream"}
        return self._read(Upload, self._request("POST", "/v1/uploads", content=picture, headers=headers))

    def job(self, job_id: str) -> Job:
        """Return the job as it stands."""
        return self._read(Job, self._request("GET", f"/v1/jobs/{job_id}"))

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued or running job."""
        return self._read(Job, self._request("POST", f"/v1/jobs/{job_id}/cancel"))

    def follow(self, job: Job, *, poll_seconds: float = 0.1) -> Iterator[Job]:
        """Yield the job each time it is read, until it has ended; the last one yielded is finished."""
        yield job
        while not job.is_finished:
            time.sleep(poll_seconds)
            job = self.job(job.id)
            yield job

    def image(self, image: Image) -> bytes:
        """Return a picture's file.

        It is asked for below this client's base URL: the service may know itself by a name that only other callers can reach.
        """
        return self._request("GET", f"/v1/images/{image.id}").content

    def _read(self, kind: type[Reply], reply: httpx.Response) -> Reply:
        try:
            return kind.model_validate_json(reply.content)
        except ValidationError as error:
            raise ServiceUnreachable(f"what answers at {self.base_url} does not speak as unclip does") from error

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            reply = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise ServiceUnreachable(f"{self.base_url} does not answer: {error}") from error
        if reply.is_success:
            return reply
        raise api_error(reply)


def client_of(address: str, settings: Settings) -> UnclipClient:
    """Return a client of a service, with the API key that the settings hold."""
    return UnclipClient(address, api_key=settings.api_key.get_secret_value() if settings.api_key else None)


def api_error(reply: httpx.Response) -> ApiError:
    """Read an error reply; one that is not of the service's own shape (a proxy's, say) keeps its first words."""
    request_id = reply.headers.get("x-request-id")
    try:
        fault = reply.json()["error"]
        return ApiError(
            reply.status_code, str(fault["message"]), code=str(fault["code"]), param=fault.get("param"), request_id=request_id
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        words = " ".join(reply.text.split())[:200] or reply.reason_phrase
        return ApiError(reply.status_code, words, code="unknown", param=None, request_id=request_id)
