"""The commands on pictures: bring what they begin at, submit, follow, save."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from unclip.client import UnclipClient
from unclip.errors import CommandError
from unclip.generate import Drawn, report, run_job, save, save_one, slug

IMAGE = re.compile(r"[0-9a-f]{32}-[0-9]{1,2}|up_[0-9a-f]{32}")
LATENT = re.compile(r"lat_[0-9a-f]{32}-[0-9]{1,2}")
ADDRESS = re.compile(r"https?://|data:")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
STANDARD = "-"
"""Stands for standard input as a picture, and for standard output as a folder."""


@dataclass(frozen=True)
class How:
    """How a command tells what it did. out: folder; `-` writes the first picture to standard output."""

    out: Path = Path("out")
    as_json: bool = False
    is_opened: bool = False


def picture(client: UnclipClient, said: str) -> dict[str, str]:
    """Return what a job calls the picture: a file or standard input is uploaded first. Raises CommandError, ApiError."""
    if LATENT.fullmatch(said):
        return {"latent": said}
    return {"image": image(client, said)}


def image(client: UnclipClient, said: str) -> str:
    """Return the id or the address of a picture; a file or standard input is uploaded first. Raises CommandError, ApiError."""
    if IMAGE.fullmatch(said) or ADDRESS.match(said):
        return said
    try:
        data = sys.stdin.buffer.read() if said == STANDARD else Path(said).read_bytes()
    except OSError as error:
        raise CommandError(f"the picture {said} cannot be read: {error.strerror}") from error
    return client.upload(data).id


def source(client: UnclipClient, said: str) -> dict[str, str]:
    """Return a picture, or else a prompt: what is no file, no id, no address and does not end as a picture's file does."""
    is_picture = said == STANDARD or IMAGE.fullmatch(said) or LATENT.fullmatch(said) or ADDRESS.match(said)
    if is_picture or Path(said).is_file() or said.lower().endswith(ENDINGS):
        return picture(client, said)
    return {"prompt": said}


def boxes(said: list[str]) -> list[list[float]] | None:
    """Read `left,top,right,bottom` each. Raises CommandError."""
    try:
        read = [[float(number) for number in box.split(",")] for box in said]
    except ValueError:
        read = [[]]
    if any(len(box) != 4 for box in read):
        raise CommandError("a box is left,top,right,bottom as shares of the sides, such as 0.25,0.5,0.75,1")
    return read or None


def carry_out(client: UnclipClient, fields: Mapping[str, Any], title: str, how: How, console: Console) -> None:
    """Run one job and tell what came of it. title: what its files are called after. Raises ApiError, CommandError."""
    job, waited = run_job(client, fields, {}, console)
    if str(how.out) == STANDARD:
        sys.stdout.buffer.write(client.image(job.images[0]))
        return
    paths = save(client, job, title, how.out)
    attached = {
        name: save_one(client, one, f"{slug(title)}-{job.images[0].seed}-{name}", how.out)
        for name, one in job.attachments.items()
    }
    drawn = Drawn(job, paths, waited, attached)
    show(drawn, how)


def show(drawn: Drawn, how: How) -> None:
    """Print what was drawn, and open it where that was asked for."""
    if how.as_json:
        import json

        typer.echo(json.dumps(drawn.as_json(), ensure_ascii=False))
    else:
        console = Console(soft_wrap=True)
        report(drawn, console)
        for image in drawn.job.images:
            if image.latent_id is not None:
                console.print(f"latent {image.latent_id}", highlight=False)
        if drawn.job.source_prompt is not None:
            console.print(f"taken for: {drawn.job.source_prompt}", highlight=False)
    if how.is_opened:
        typer.launch(str(drawn.attached.get("animation", drawn.paths[0])))
