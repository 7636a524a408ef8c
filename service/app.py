"""The ASGI application: routes, middleware, error handlers, and the OpenAPI page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from contract.settings import Settings
from service.authentication import Authentication, is_guarded
from service.description import describe_keys, serve_description
from service.errors import KEY_REFUSALS, add_error_handlers, errors
from service.health import endpoints as health
from service.images import endpoints as images
from service.jobs import bulk, latents
from service.jobs import endpoints as jobs
from service.middleware import BodyLimit, HeaderLimit, HeadRequests, RequestContext
from service.moderations import endpoints as moderations
from service.observe import endpoints as observe
from service.openai import endpoints as openai
from service.openai import pictures
from service.resources import Resources
from service.security_headers import SecurityHeaders
from service.uploads import endpoints as uploads
from service.webhooks import endpoints as webhooks

DESCRIPTION = """\
A self-hosted DALL·E 2: prompts in, pictures out, through an unCLIP cascade (prior, 64-pixel decoder, upsampler).

Two ways to draw: `POST /v1/images/generations` waits for the pictures and speaks OpenAI's API; `POST /v1/jobs` answers at
once with a job to follow. Both queue the same job. Every reply carries `x-request-id`; every error has one JSON shape.
"""


def create_app(settings: Settings) -> FastAPI:
    """Return the application. Queue and store may be down: it starts, tells so at `/readyz`, and recovers by itself.

    Raises SettingsWrong for a setting that is missing or cannot be used, ModelError when the model folder cannot be read.
    """
    # Not in the lifespan: building asks nothing of queue or store, and a wrong setting stops the start with its own words.
    resources = Resources.build(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        resources.close()

    # Its page /docs brings its own scripts: whoever looks at it need not reach the internet.
    app = FastAPIOffline(
        title="unclip",
        version=_version(),
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        redoc_url=None,
        # A path with a slash too many is answered as unknown: a redirect would lose the body of a POST in some clients.
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        # First is outermost.
        middleware=[
            Middleware(RequestContext, replied=resources.metrics.replied),
            Middleware(SecurityHeaders),
            *([Middleware(CORSMiddleware, **cors(settings))] if settings.cors_origins else []),
            Middleware(HeaderLimit, max_bytes=settings.max_header_bytes),
            Middleware(HeadRequests),
            Middleware(Authentication, gate=resources.gate),
            Middleware(
                BodyLimit,
                max_bytes=settings.max_body_bytes,
                upload_bytes=settings.max_upload_bytes,
                patience_seconds=settings.slow_client_seconds,
            ),
        ],
    )
    app.state.resources = resources
    add_error_handlers(app)
    # openai before images: /v1/images/generations must not be read as the id of an image. jobs before all: routers are tried
    # one after another, and jobs are what is asked for most.
    for resource in (jobs, openai, pictures, moderations, bulk, latents, uploads, webhooks, images, observe):
        app.include_router(resource.router, responses=errors(*KEY_REFUSALS))
    app.include_router(health.router)
    describe_keys(app, is_guarded)
    serve_description(app)
    return app


def cors(settings: Settings) -> dict[str, Any]:
    """Return what pages of the origins in the settings may send and see. No cookies are involved, so none are allowed."""
    return {
        "allow_origins": settings.cors_origin_list,
        "allow_methods": ["GET", "POST", "DELETE"],
        "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "traceparent"],
        "expose_headers": ["ETag", "Location", "Retry-After", "x-request-id"],
        "max_age": 600,
    }


def _operation_id(route: APIRoute) -> str:
    return route.name


def _version() -> str:
    try:
        return version("unclip")
    except PackageNotFoundError:  # Run from a checkout that was never installed.
        return "0.0.0"
