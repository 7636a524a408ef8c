"""`unclip keys`: API keys, made, listed, rotated and revoked in the queue's Redis; running services follow at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from contract.keys import ApiKey, KeyRing, NewKey

app = typer.Typer(help="API keys: who may call the service.", no_args_is_help=True)

DataDir = Annotated[Path | None, typer.Option(help="Data folder of `unclip serve`  [default: ~/.local/share/unclip]")]
KeyId = Annotated[str, typer.Argument(help="The key's id, as `unclip keys list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is, for people.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="generate, read or admin; repeat for several [generate, read]")
    ] = None,
    rate: Annotated[str | None, typer.Option(help='New jobs, such as "60/minute; 1000/day"  [UNCLIP_KEY_RATE]')] = None,
    read_rate: Annotated[str | None, typer.Option(help="Reading requests  [UNCLIP_KEY_READ_RATE]")] = None,
    max_jobs: Annotated[int | None, typer.Option(min=1, help="Unfinished jobs at once  [no limit]")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print its token, once: only a hash of it is kept."""
    from contract.keys import DEFAULT_SCOPES

    limits = {"rate": checked_rate(rate, "--rate"), "read_rate": checked_rate(read_rate, "--read-rate")}
    with key_ring(data_dir) as keys:
        show_new(keys.create(name, checked_scopes(scope) or DEFAULT_SCOPES, max_jobs=max_jobs, **limits), as_json)


@app.command("list")
def list_keys(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the keys, without their secrets: nobody can read those again."""
    with key_ring(data_dir) as keys:
        found = keys.list()
    if as_json:
        typer.echo(json.dumps([told(key) for key in found], ensure_ascii=False))
        return
    for key in found:
        state = "revoked" if key.revoked_at else "in force"
        limits = [key.rate and f"rate {key.rate}", key.read_rate and f"read rate {key.read_rate}"]
        limits.append(f"at most {key.max_jobs} jobs" if key.max_jobs else None)
        about = [key.id, state, f"{key.created_at:%Y-%m-%d}", ",".join(key.scopes), *filter(None, limits), key.name]
        typer.echo("  ".join(about))
    if not found:
        typer.echo("There are no keys: the API needs none, and listens on this machine alone (UNCLIP_API_KEYS=auto).")


@app.command("rotate")
def rotate_key(
    key_id: KeyId,
    overlap_hours: Annotated[float, typer.Option(min=0, help="How long the secrets it has go on working.")] = 24,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Give a key another secret under the same id, so that it keeps its jobs; the old one works for a while."""
    with key_ring(data_dir) as keys:
        show_new(keys.rotate(key_id, timedelta(hours=overlap_hours)), as_json)


@app.command("revoke")
def revoke_key(key_id: KeyId, data_dir: DataDir = None) -> None:
    """End a key at once. What was made under it stays until its time is over, and nobody can reach it."""
    with key_ring(data_dir) as keys:
        typer.echo(f"{keys.revoke(key_id).id} is revoked")


@contextmanager
def key_ring(data_dir: Path | None) -> Iterator[KeyRing]:
    """Yield the keys of the service that the settings name: a Redis, or a data folder, whether it is being served or not."""
    from contract.keys import KeyRing
    from unclip.cli import read_settings
    from unclip.reach_queue import reach_queue

    with reach_queue(read_settings(data_dir=data_dir)) as redis:
        yield KeyRing(redis)


def show_new(made: NewKey, as_json: bool) -> None:
    """Print a new token so that it can be piped; what it is, beside it."""
    if as_json:
        typer.echo(json.dumps({**told(made.key), "token": made.token}, ensure_ascii=False))
        return
    typer.echo(f"key {made.key.id} ({made.key.name}): {', '.join(made.key.scopes)}. The token is shown only now:", err=True)
    typer.echo(made.token)


def told(key: ApiKey) -> dict[str, Any]:
    """Return what is told of a key: everything but its secrets' hashes."""
    return key.model_dump(mode="json", exclude={"secrets"})


def checked_rate(words: str | None, option: str) -> str | None:
    """Return a rate that can be read. Raises SettingsWrong."""
    from limits import parse_many

    from contract.errors import SettingsWrong

    try:
        if words is not None:
            parse_many(words)
    except ValueError as error:
        raise SettingsWrong(f"{option} {words!r} is not a rate such as 60/minute") from error
    return words


def checked_scopes(scopes: list[str] | None) -> list[Any]:
    """Return scopes that exist. Raises SettingsWrong."""
    from contract.errors import SettingsWrong
    from contract.keys import SCOPES

    for scope in scopes or ():
        if scope not in SCOPES:
            raise SettingsWrong(f"--scope {scope!r} is none; choose from {', '.join(SCOPES)}")
    return list(scopes or ())
