"""Jobs on the wire."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from contract.estimates import Estimate
from contract.record import ImageRecord, JobFault, JobRecord
from contract.states import JobState
from service.blocked import BlockedImage, refusal_of
from service.drawing import DrawingWarning, warnings_of
from service.errors import ModerationDetails
from service.urls import PublicUrls

_ID = "5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f"
_ETAG = {"ETag": {"description": "Another one when the job has changed.", "schema": {"type": "string"}}}

UNCHANGED_REPLY: dict[int | str, dict[str, Any]] = {
    200: {"headers": _ETAG},
    304: {"description": "The job is as `If-None-Match` says.", "headers": _ETAG},
}
EVENTS_REPLY: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events, as they happen.",
        "content": {
            "text/event-stream": {
                "example": 'id: 24127\nevent: job.progress\ndata: {"type":"job.progress","job":{"id":"…"}}\n\n',
            }
        },
    },
    204: {"description": "The caller has seen the job's last event: there is nothing to reconnect for."},
}


class JobProgress(BaseModel):
    """How far a running job is."""

    stage: str = Field(description="The model's stage at work.", examples=["decoder"])
    step: int = Field(description="Steps done in this stage.", examples=[7])
    steps: int = Field(description="Steps of this stage.", examples=[20])
    fraction: float = Field(description="Share of the whole job that is done, 0 to 1.", examples=[0.41])


class JobImage(BaseModel):
    """One finished picture."""

    id: str = Field(examples=[f"{_ID}-0"])
    index: int = Field(examples=[0])
    url: str = Field(description="Where the file is.", examples=[f"http://127.0.0.1:8000/v1/images/{_ID}-0"])
    seed: int = Field(description="With this seed and n=1 the same picture is drawn again alone.", examples=[7])
    width: int = Field(examples=[256])
    height: int = Field(examples=[256])
    content_type: str = Field(examples=["image/png"])
    bytes: int = Field(description="Size of the file.", examples=[61440])
    latent_id: str | None = Field(
        default=None, description="Its latent (z_i, x_T), which other jobs can begin at.", examples=[f"lat_{_ID}-0"]
    )
    candidate_scores: tuple[float, ...] = Field(
        default=(),
        description="Of each z_i that the prior drew, the dot product with the prompt's embedding; the best went on.",
    )
    at: float | None = Field(
        default=None, description="Of a frame: how far it is from the first source to the last, or the theta of an edit."
    )

    @classmethod
    def of(cls, image: ImageRecord, urls: PublicUrls) -> JobImage:
        """Return `image` as callers see it."""
        return cls(url=urls.image(image.id), **image.model_dump())


class JobErrorDetail(BaseModel):
    """Why a job failed."""

    code: str = Field(examples=["numerical_failure"])
    message: str = Field(examples=["the decoder met a value that is not a number"])
    moderation_details: ModerationDetails | None = Field(default=None, description="Only with `moderation_blocked`.")

    @classmethod
    def of(cls, fault: JobFault) -> JobErrorDetail:
        """Return `fault` as callers see it."""
        details = None
        if fault.blocked:
            refusal = refusal_of(fault.blocked)
            details = ModerationDetails(moderation_stage="output", categories=list(refusal.categories), scores=refusal.scores)
        return cls(code=fault.code, message=fault.message, moderation_details=details)


class JobEstimate(BaseModel):
    """When a job will have ended, measured from how the last ones went."""

    seconds: float = Field(description="Seconds from now.", examples=[12.5])
    low: float = Field(description="Four of five jobs end between `low` and `high`.", examples=[8.0])
    high: float = Field(examples=[19.0])
    basis: int = Field(description="How many ended jobs this is measured from.", examples=[57])


class JobResponse(BaseModel):
    """A job as it stands now. Times are Unix seconds."""

    id: str = Field(examples=[_ID])
    object: Literal["job"] = "job"
    operation: str = Field(examples=["generate"])
    status: JobState = Field(description="`queued`, `running`, then one of `succeeded`, `failed`, `canceled`.")
    created_at: int = Field(examples=[1795363200])
    started_at: int | None = Field(examples=[1795363201])
    finished_at: int | None = Field(examples=[None])
    progress: JobProgress | None = Field(
        description="Set while the job runs; once it has succeeded, stage `done` with fraction 1."
    )
    queue_position: int | None = Field(description="1 is next; null once the job has left the queue.")
    estimate: JobEstimate | None = Field(
        description="When the job will have ended, while it waits or runs; null where too few jobs have ended lately to tell."
    )
    model: str = Field(examples=["unclip-emoji"])
    prompt: str | None = Field(description="Null for operations without one.", examples=["a red apple"])
    n: int = Field(examples=[1])
    size: str = Field(examples=["256x256"])
    seed: int = Field(description="The job's seed: picture i has `seed + i`, counted modulo 2^32.", examples=[7])
    images: list[JobImage] = Field(description="Filled when the job has succeeded.")
    blocked: list[BlockedImage] = Field(description="Pictures that were drawn and that the picture filter kept back.")
    attachments: dict[str, JobImage] = Field(
        default_factory=dict, description="Files beside the pictures: the `mask` that words found, the `animation` of frames."
    )
    source_prompt: str | None = Field(default=None, description="What an edit took its source to show.")
    native_size: int | None = Field(description="The side in pixels at which the model drew, before resampling to `size`.")
    timings: dict[str, float] = Field(description="Seconds per stage.", examples=[{"prior": 0.3, "decoder": 2.1}])
    attempts: int = Field(description="How often a worker has begun the job.")
    retried_from: str | None = Field(description="The job that this one repeats, if it does.", examples=[None])
    warnings: list[DrawingWarning]
    error: JobErrorDetail | None = Field(description="Set when the job has failed.")

    @classmethod
    def of(cls, job: JobRecord, urls: PublicUrls, estimate: Estimate | None = None) -> JobResponse:
        """Return `job` as callers see it."""
        return cls(
            id=job.id,
            operation=job.operation,
            status=job.state,
            created_at=int(job.created_at.timestamp()),
            started_at=_unix_seconds(job.started_at),
            finished_at=_unix_seconds(job.finished_at),
            progress=JobProgress(**job.progress.model_dump()) if job.progress else None,
            queue_position=job.queue_position,
            estimate=JobEstimate(**asdict(estimate)) if estimate else None,
            model=job.spec.model,
            prompt=getattr(job.spec, "prompt", None),
            n=job.spec.n,
            size=job.spec.size,
            seed=job.spec.seed,
            images=[JobImage.of(image, urls) for image in job.images],
            blocked=[BlockedImage.of(picture) for picture in job.blocked],
            attachments={name: JobImage.of(image, urls) for name, image in job.attachments.items()},
            source_prompt=job.source_prompt,
            native_size=job.native_size,
            timings=dict(job.timings),
            attempts=job.attempts,
            retried_from=job.spec.retried_from,
            warnings=warnings_of(job),
            error=JobErrorDetail.of(job.error) if job.error else None,
        )


class JobList(BaseModel):
    """One page of the caller's jobs, the newest first."""

    object: Literal["list"] = "list"
    data: list[JobResponse]
    first_id: str | None = Field(examples=[_ID])
    last_id: str | None = Field(description="`after` of the next page.", examples=[_ID])
    has_more: bool


class JobDeleted(BaseModel):
    """A job that is no more."""

    id: str = Field(examples=[_ID])
    object: Literal["job.deleted"] = "job.deleted"
    deleted: Literal[True] = True


def _unix_seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
