"""Whether a Redis or Valkey that somebody else runs is set up to keep jobs."""

from __future__ import annotations

from redis import Redis
from redis.exceptions import ResponseError

from contract.settings import Settings


def shortcomings(redis: Redis, settings: Settings) -> list[str]:
    """Return, in words for the operator, how the server's own settings endanger jobs; nothing where it tells no settings.

    Raises redis.exceptions.RedisError when it does not answer.
    """
    try:
        found = redis.config_get("maxmemory-policy", "appendonly", "appendfsync")
    except ResponseError:  # services that sell Redis forbid the question
        return []
    told = {str(name): str(value) for name, value in found.items()}
    short = []
    policy = told.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        short.append(f"maxmemory-policy is {policy}: when memory is full, jobs are forgotten; set it to noeviction")
    if told.get("appendonly") == "no":
        short.append("appendonly is no: when the server stops, every job is forgotten; set it to yes")
    elif settings.durable and told.get("appendfsync", "always") != "always":
        short.append(
            f"appendfsync is {told['appendfsync']}: a crash of its machine may lose the last second; "
            "UNCLIP_DURABLE asks for appendfsync always"
        )
    return short
