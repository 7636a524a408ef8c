"""`unclip generate`: post a prompt, show how far it is, save the pictures."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from contract.settings import Settings
from unclip.client import Image, Job, UnclipClient
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
    prior_candidates: int | None = None
    conditioning: str | None = None
    guidance_mode: str | None = None
    stop_at: str | None = None


@dataclass(frozen=True)
class Drawn:
    """What one call made: the job as it ended, the files in order of the pictures, the seconds waited, files beside them."""

    job: Job
    paths: tuple[Path, ...]
    waited_seconds: float
    attached: Mapping[str, Path] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`: plain values only."""
        job = self.job
        images = [
            {
                "path": str(path),
                "id": image.id,
                "seed": image.seed,
                "width": image.width,
                "height": image.height,
                "url": image.url,
                "latent_id": image.latent_id,
                "at": image.at,
            }
            for path, image in zip(self.paths, job.images, strict=True)
        ]
        told = {"source_prompt": job.source_prompt} if job.source_prompt else {}
        return {
            "job_id": job.id,
            "images": images,
            "attachments": {name: str(path) for name, path in self.attached.items()},
            **told,
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
    job, waited = run_job(client, {"operation": "generate", **asdict(request)}, stages_ahead(client, request), console)
    return Drawn(job, save(client, job, request.prompt, out), waited)


def run_job(
    client: UnclipClient, fields: Mapping[str, Any], stages: Mapping[str, int | None], console: Console
) -> tuple[Job, float]:
    """Submit, follow to the end; returns the finished job and the seconds that it took. An interrupt cancels the job.

    stages: those that lie ahead, with their steps where they are known. Raises ApiError, CommandError.
    """
    began = time.monotonic()
    job = client.submit(fields)
    try:
        with JobProgress(console, stages) as progress:
            for job in client.follow(job):  # noqa: B020 - the job as it now stands
                progress.show(job)
    except KeyboardInterrupt:
        with suppress(ApiError, ServiceUnreachable):  # it may have ended just now
            client.cancel(job.id)
        raise
    if job.status != "succeeded":
        raise CommandError(f"job {job.id} {job.status}" + (f": {job.error.message} ({job.error.code})" if job.error else ""))
    return job, time.monotonic() - began


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


def save(client: UnclipClient, job: Job, title: str, out: Path) -> tuple[Path, ...]:
    """Fetch a finished job's pictures into `out`; returns the files in order. title: what they are called after."""
    seeds = [image.seed for image in job.images]
    # Frames of one way have one seed: their number tells them apart.
    names = [f"{seed}-{index:02}" if seeds.count(seed) > 1 else str(seed) for index, seed in enumerate(seeds)]
    return tuple(save_one(client, image, f"{slug(title)}-{name}", out) for image, name in zip(job.images, names, strict=True))


def save_one(client: UnclipClient, image: Image, name: str, out: Path) -> Path:
    """Fetch one file into `out`, with the ending of its type."""
    path = out / f"{name}.{image.content_type.rpartition('/')[2]}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.image(image))
    except OSError as error:
        raise CommandError(f"the pictures cannot be saved to {out}: {error.strerror}") from error
    return path


def report(drawn: Drawn, console: Console) -> None:
    """Print where each picture is, its seed, and the seconds of each stage."""
    job = drawn.job
    for path, image in zip(drawn.paths, job.images, strict=True):
        drawn_at = f", drawn at {job.native_size}" if job.native_size not in (None, image.width) else ""
        console.print(f"[bold]{path}[/bold]  seed {image.seed}  {image.width}×{image.height}{drawn_at}", highlight=False)
    for name, path in drawn.attached.items():
        console.print(f"[bold]{path}[/bold]  {name}", highlight=False)
    stages = "  ".join(f"{stage} {seconds:.2f} s" for stage, seconds in job.timings.items())
    console.print(f"{stages}  waited {drawn.waited_seconds:.2f} s", highlight=False)
    for warning in job.warnings:
        console.print(f"Note: {warning.message}.", highlight=False)


def slug(prompt: str) -> str:
    """Return the prompt as part of a file name: letters and digits of any alphabet, joined by hyphens."""
    words = re.sub(r"[\W_]+", "-", prompt.lower())[:MAX_SLUG_CHARACTERS]
    return words.strip("-") or "picture"
