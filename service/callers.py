"""Who calls: `Caller` in a handler's signature stands for an API key that may do what the request asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from contract.errors import InvalidKey
from contract.keys import SCOPES, Scope
from contract.spec import LOCAL_KEY

CALLER_STATE = "caller"
"""Where the middleware leaves a request's caller."""


@dataclass(frozen=True)
class Principal:
    """An API key as handlers know it: its id, which owns what is made under it, and what it may do."""

    key_id: str
    scopes: frozenset[Scope]


LOCAL = Principal(LOCAL_KEY, frozenset(SCOPES))
"""Whoever calls a service without API keys, which listens on this machine alone."""


def caller_of(request: Request) -> Principal | None:
    """Return who the middleware found to call; None where a request brings no key and needs none."""
    caller = getattr(request.state, CALLER_STATE, None)
    assert caller is None or isinstance(caller, Principal)
    return caller


async def _caller_if_any(request: Request) -> Principal | None:
    return caller_of(request)


async def caller_let_in(request: Request) -> Principal:
    """Return who calls. Raises InvalidKey where nobody was let in."""
    caller = caller_of(request)
    if caller is None:
        raise InvalidKey
    return caller


Caller = Annotated[Principal, Depends(caller_let_in)]
"""The caller. GET and HEAD ask for the scope `read`, every other verb for `generate`, the metrics for `admin`."""
CallerIfAny = Annotated[Principal | None, Depends(_caller_if_any)]
"""The same where a request may also do without a key, such as a signed address: None when it brings none."""
