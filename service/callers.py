"""Who calls: `Caller` in a handler's signature stands for an API key that may do what the request asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from contract.spec import LOCAL_KEY

SCOPES = ("generate", "read", "admin")
"""What a key may do: start and change jobs, read them, look after the service."""


@dataclass(frozen=True)
class Principal:
    """An API key as handlers know it: its id, which owns what is made under it, and what it may do."""

    key_id: str
    scopes: frozenset[str]


LOCAL = Principal(LOCAL_KEY, frozenset(SCOPES))
"""Whoever calls a service without API keys, which listens on this machine alone."""


async def _caller(request: Request) -> Principal:
    return LOCAL


async def _caller_if_any(request: Request) -> Principal | None:
    return LOCAL


Caller = Annotated[Principal, Depends(_caller)]
"""The caller. GET and HEAD ask for the scope `read`, every other verb for `generate`."""
CallerIfAny = Annotated[Principal | None, Depends(_caller_if_any)]
"""The same where a request may also do without a key, such as a signed address: None when it brings none."""
