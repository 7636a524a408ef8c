"""What handlers need, built once per process and reached by type: `Jobs`, `Images`, `Health`, `Admitting`, `Urls`.

Their functions are async, though none of them waits: FastAPI would run each plain one on a thread of its own. They ask each
other directly: what FastAPI does for each dependency costs more than most of them do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from redis import Redis

from contract.catalog import ModelInfo, read_model_info
from contract.errors import QueueDown, StoreDown, UnsupportedMediaType
from contract.idempotency import Claims
from contract.outbound import Outbound
from contract.queue import connect
from contract.settings import Settings
from contract.store import Bucket, ImageStore
from contract.watch import JobWatch
from contract.webhooks import WebhookBook
from service.admission import Admission
from service.callers import LOCAL, caller_of
from service.drafts import Drafts
from service.gate import Gate
from service.health.service import HealthService
from service.images.service import ImagesService
from service.jobs.service import JobsService
from service.limited_queue import LimitedQueue
from service.metrics import Metrics
from service.moderations.service import ModerationsService
from service.offload import Offload
from service.prompt_guard import PromptGuard
from service.signing import Signing
from service.uploads.inputs import InputsService
from service.urls import PublicUrls
from service.webhooks.service import WebhooksService

PARTS = {QueueDown: "queue", StoreDown: "store"}
"""What the metrics call the parts, by their outages."""


Part = TypeVar("Part")


@dataclass(frozen=True)
class Resources:
    """The services behind the routes. Building them touches neither queue nor store, so the API starts without them."""

    model: ModelInfo
    admission: Admission
    jobs: JobsService
    images: ImagesService
    inputs: InputsService
    moderations: ModerationsService
    webhooks: WebhooksService
    health: HealthService
    gate: Gate
    signing: Signing
    metrics: Metrics
    offload: Offload
    public_base_url: str | None
    bucket: Bucket | None
    redis: Redis
    claims: Claims

    @classmethod
    def build(cls, settings: Settings) -> Resources:
        """Build from `settings`. Raises SettingsWrong for one that cannot be used, ModelError for a bad model folder."""
        redis = connect(settings.queue_url, settings)
        model = read_model_info(settings.model_folder)
        metrics = Metrics()
        offload = Offload(observe=lambda down, seconds, is_well: metrics.answered(PARTS.get(down, "other"), seconds, is_well))
        queue = LimitedQueue(redis, settings, metrics.admitted)
        store = ImageStore.open(settings)
        images = ImagesService(store, offload)
        jobs = JobsService(queue, JobWatch(redis), images, offload, settings.sync_wait_seconds)
        outbound = Outbound(settings.outbound_networks)
        inputs = InputsService(settings, redis, store, jobs, outbound, offload)
        guard = PromptGuard.load(settings)
        return cls(
            model=model,
            admission=Admission(model, guard, settings.max_prompt_characters),
            jobs=jobs,
            images=images,
            inputs=inputs,
            moderations=ModerationsService(guard, inputs),
            webhooks=WebhooksService(WebhookBook(redis), outbound, offload, settings.result_ttl_seconds),
            health=HealthService(queue, images, offload),
            gate=Gate(redis, settings, offload),
            signing=Signing(redis, settings, offload),
            metrics=metrics,
            offload=offload,
            public_base_url=settings.public_base_url,
            bucket=Bucket.open(settings),
            redis=redis,
            claims=Claims(redis),
        )

    def close(self) -> None:
        """Close the connections to the queue, and end the process that reads pictures."""
        self.inputs.reader.close()
        self.redis.close()


def resources_of(request: Request) -> Resources:
    """Return what the application was built with."""
    resources = request.app.state.resources
    assert isinstance(resources, Resources)
    return resources


def _part(of: Callable[[Resources], Part]) -> Callable[[Request], Awaitable[Part]]:
    """A dependency on a part of it. It is async, so that FastAPI sends it to no thread."""

    async def read(request: Request) -> Part:
        return of(resources_of(request))

    return read


async def urls_of(request: Request) -> PublicUrls:
    """Return the addresses of things as the caller of `request` reaches them."""
    resources, caller = resources_of(request), caller_of(request)
    base_url = resources.public_base_url or str(request.base_url)
    if resources.bucket is not None:
        return PublicUrls(base_url, bucket=resources.bucket)
    return PublicUrls(base_url, await resources.signing.signer() if caller not in (None, LOCAL) else None)


async def drafts_of(request: Request) -> Drafts:
    """Return what makes specs for the caller of `request`."""
    resources = resources_of(request)
    return Drafts(resources.admission, resources.inputs, await urls_of(request))


async def json_only(request: Request) -> None:
    """Refuse a body that does not say it is JSON, before anything reads it as one."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise UnsupportedMediaType(media_type or "none")


Everything = Annotated[Resources, Depends(_part(lambda of: of))]
Jobs = Annotated[JobsService, Depends(_part(lambda of: of.jobs))]
Images = Annotated[ImagesService, Depends(_part(lambda of: of.images))]
Inputs = Annotated[InputsService, Depends(_part(lambda of: of.inputs))]
Moderations = Annotated[ModerationsService, Depends(_part(lambda of: of.moderations))]
Health = Annotated[HealthService, Depends(_part(lambda of: of.health))]
Admitting = Annotated[Admission, Depends(_part(lambda of: of.admission))]
Model = Annotated[ModelInfo, Depends(_part(lambda of: of.model))]
Webhooks = Annotated[WebhooksService, Depends(_part(lambda of: of.webhooks))]
Signed = Annotated[Signing, Depends(_part(lambda of: of.signing))]
Drafting = Annotated[Drafts, Depends(drafts_of)]
Urls = Annotated[PublicUrls, Depends(urls_of)]
