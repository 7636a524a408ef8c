"""`unclip generate`: post a prompt, show how far it is, save the pictures."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from contract.settings import Settings
from unclip.client import Job, UnclipClient
from unclip.errors import ApiError, CommandError, ServiceUnreachable
from unclip.own_service import own_service
from unclip.ports import base_url
from unclip.progress import JobProgress

MAX_SLUG_CHARACTERS = 40


@dataclass(frozen=True)
class Request:
    """The body of POST /v1/jobs; None leaves a field to the service."""

    prompt: str
    n: int | None = None
    size: str | None = None
    seed: int | None = None
    model: str | None = None
    prior: str | None = None
    decoder: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    prior_steps: int | None = None
    prior_guidance_scale: float | None = None
    upsample_steps: int | None = None


@dataclass(frozen=True)
class Drawn:
    """What one call made: the job as it ended, the files in order of the pictures, and the seconds the caller waited."""

    job: Job
    paths: tuple[Path, ...]
    waited_seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`: plain values only."""
        job = self.job
        images = [
            {"path": str(path), "seed": image.seed, "width": image.width, "height": image.height, "url": image.url}
            for path, image in zip(self.paths, job.images, strict=True)
        ]
        return {
            "job_id": job.id,
            "images": images,
            "native_size": job.native_size,
            "warnings": [warning.message for warning in job.warnings],
            "stage_seconds": dict(job.timings),
            "waited_seconds": round(self.waited_seconds, 3),
        }


@contextmanager
def find_service(settings: Settings, url: str | None, *, own: bool, console: Console) -> Iterator[str]:
    """Yield the base URL to talk to: the one given, else the one at the default address, else one started for this call."""
    default = base_url(settings.host, settings.port)
    if url is None and not own:
        with UnclipClient(default, timeout_seconds=2) as client:
            url = default if client.is_alive() else None
        if url is None:
            console.print(f"No service answers at {default}.", highlight=False)
    if url is not None:
        yield url
        return
    console.print("Starting a service for this call …", highlight=False)
    with own_service(settings) as started:
        yield started


def generate(client: UnclipClient, request: Request, out: Path, console: Console) -> Drawn:
    """Submit, follow to the end, save to `out`/<slug of the prompt>-<seed>.png. An interrupt cancels the job.

    Raises ApiError when the service refuses, CommandError when the job fails or is canceled.
    """
    began = time.monotonic()
    job = client.submit({"operation": "generate", **asdict(request)})
    try:
        with JobProgress(console, stages_ahead(client, request)) as progress:
            for job in client.follow(job):  # noqa: B020 - the job as it now stands
                progress.show(job)
    except KeyboardInterrupt:
        with suppress(ApiError, ServiceUnreachable):  # it may have ended just now
            client.cancel(job.id)
        raise
    waited = time.monotonic() - began
    if job.status != "succeeded":
        raise CommandError(f"job {job.id} {job.status}" + (f": {job.error.message} ({job.error.code})" if job.error else ""))
    return Drawn(job, save(client, job, request.prompt, out), waited)


def stages_ahead(client: UnclipClient, request: Request) -> dict[str, int | None]:
    """Return the stages that `request` will travel, in order, with the steps of each; None where the job will tell."""
    model, *_ = client.models()
    instead = {"prior": "prior_ar"} if request.prior == "autoregressive" else {}
    instead |= {"decoder": "decoder_turbo"} if request.decoder == "turbo" else {}
    fields = {"prior": "prior_steps", "decoder": "steps", "upsample_256": "upsample_steps"}
    steps = {stage: getattr(request, field) or int(model.defaults[field]) for stage, field in fields.items()}
    passed_by = {"upsample_1024"} if request.size in (None, "256x256") else set()
    return {
        instead.get(stage, stage): None if stage in instead else steps.get(stage)
        for stage in model.stages
        if stage not in passed_by
    }


def save(client: UnclipClient, job: Job, prompt: str, out: Path) -> tuple[Path, ...]:
    """Fetch a finished job's pictures into `out`; returns the files in order."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        paths = tuple(out / f"{slug(prompt)}-{image.seed}.png" for image in job.images)
        for path, image in zip(paths, job.images, strict=True):
            path.write_bytes(client.image(image))
    except OSError as error:
        raise CommandError(f"the pictures cannot be saved to {out}: {error.strerror}") from error
    return paths


def report(drawn: Drawn, console: Console) -> None:
    """Print where each picture is, its seed, and the seconds of each stage."""
    job = drawn.job
    for path, image in zip(drawn.paths, job.images, strict=True):
        drawn_at = f", drawn at {job.native_size}" if job.native_size not in (None, image.width) else ""
        console.print(f"[bold]{path}[/bold]  seed {image.seed}  {image.width}×{image.height}{drawn_at}", highlight=False)
    stages = "  ".join(f"{stage} {seconds:.2f} s" for stage, seconds in job.timings.items())
    console.print(f"{stages}  waited {drawn.waited_seconds:.2f} s", highlight=False)
    for warning in job.warnings:
        console.print(f"Note: {warning.message}.", highlight=False)


def slug(prompt: str) -> str:
    """Return the prompt as part of a file name: letters and digits of any alphabet, joined by hyphens."""
    words = re.sub(r"[\W_]+", "-", prompt.lower())[:MAX_SLUG_CHARACTERS]
    return words.strip("-") or "picture"
