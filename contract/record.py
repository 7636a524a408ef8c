"""The record of a job: what any process or caller may know about it, read from RQ's job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contract.spec import AnySpec
from contract.states import JobState


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Progress(_Frozen):
    """How far a running job is: `step` of `steps` in `stage`, and the fraction of the whole job, 0 to 1."""

    stage: str
    step: Annotated[int, Field(ge=0)]
    steps: Annotated[int, Field(ge=0)]
    fraction: Annotated[float, Field(ge=0, le=1)]


class ImageRecord(_Frozen):
    """One finished picture. `bytes` is the size of its file.

    `latent_id`: its bipartite latent in the store. `candidate_scores`: of each z_i that the prior drew, the dot product with
    z_t. `at`: of a frame, how far it is from the first source to the last, or the theta of an edit.
    """

    id: str
    index: Annotated[int, Field(ge=0)]
    seed: int
    width: int
    height: int
    content_type: str
    bytes: Annotated[int, Field(ge=0)]
    latent_id: str | None = None
    candidate_scores: tuple[float, ...] = ()
    at: float | None = None


class BlockedPicture(_Frozen):
    """A picture that was drawn and that the picture filter kept back. `scores`: of every category that was looked at."""

    index: Annotated[int, Field(ge=0)]
    categories: tuple[str, ...]
    scores: Mapping[str, float] = Field(default_factory=dict)


class JobFault(_Frozen):
    """Why a job failed, in words a caller may read: no traceback, no address. `blocked`: its pictures, where none passed."""

    code: str
    message: str
    blocked: tuple[BlockedPicture, ...] = ()


class JobResult(_Frozen):
    """What the drawing function returns, as kept in RQ's result. `timings`: seconds per stage.

    `attachments`: files beside the pictures, by what they are: `mask`, `animation`. `source_prompt`: what an edit took its
    source to show.
    """

    images: tuple[ImageRecord, ...]
    blocked: tuple[BlockedPicture, ...] = ()
    attachments: Mapping[str, ImageRecord] = Field(default_factory=dict)
    source_prompt: str | None = None
    native_size: int
    timings: Mapping[str, float] = Field(default_factory=dict)
    truncated_tokens: Annotated[int, Field(ge=0)] = 0


class JobRecord(_Frozen):
    """A job as it stands now.

    `queue_position` counts from 1 (next to be drawn) and is None once a job has left the queue. `native_size`: the side in
    pixels at which the model drew. `truncated_tokens`: words beyond the text tower's window. `timings`: seconds per stage.
    """

    id: str
    operation: str
    state: JobState
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    spec: AnySpec
    progress: Progress | None = None
    queue_position: Annotated[int, Field(ge=1)] | None = None
    images: tuple[ImageRecord, ...] = ()
    blocked: tuple[BlockedPicture, ...] = ()
    attachments: Mapping[str, ImageRecord] = Field(default_factory=dict)
    source_prompt: str | None = None
    native_size: int | None = None
    truncated_tokens: int | None = None
    timings: Mapping[str, float] = Field(default_factory=dict)
    error: JobFault | None = None
    attempts: Annotated[int, Field(ge=0)] = 0
