"""The other arm of the submit bench: FastAPI, and RQ's own `Queue.enqueue`. Run as `python -m bench.bare_endpoint PORT`."""

from __future__ import annotations

import os
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer


def create_app(redis_url: str) -> FastAPI:
    """An application with one route, which queues its body."""
    app, queue = FastAPI(), Queue("bare", connection=Redis.from_url(redis_url), serializer=JSONSerializer)

    @app.post("/bare", status_code=202)
    def enqueue(body: dict[str, Any]) -> dict[str, str]:
        return {"id": queue.enqueue("bench.never", kwargs={"spec": body}, result_ttl=3600).id}

    return app


def main(port: int) -> None:
    """Serve on loopback, and say so in the log as the API does."""
    uvicorn.run(create_app(os.environ["UNCLIP_REDIS_URL"]), host="127.0.0.1", port=port, access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
