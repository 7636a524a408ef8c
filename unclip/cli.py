"""The command line. Each command imports what it needs when it runs, so that `unclip --help` is quick and never loads torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unclip import __version__, key_commands, model_commands, picture_commands

if TYPE_CHECKING:
    from rich.console import Console

    from contract.settings import Settings

app = typer.Typer(
    name="unclip",
    help="A self-hosted DALL·E 2: prompts in, pictures out, through an unCLIP cascade.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main() -> None:
    """Run the command line: expected faults are one message and an exit code, not a traceback."""
    from contract.errors import SettingsWrong, UnclipError

    try:
        app()
    except SettingsWrong as error:
        fail(error, EXIT_USAGE)
    except UnclipError as error:
        fail(error, EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def fail(error: Exception, exit_code: int) -> None:
    """Print one message and leave."""
    print(f"unclip: {error}", file=sys.stderr)  # noqa: T201
    sys.exit(exit_code)


Host = Annotated[str | None, typer.Option(help="Address to listen on  [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one  [default: 8000]")]
DataDir = Annotated[Path | None, typer.Option(help="Folder for queue and pictures  [default: ~/.local/share/unclip]")]


@app.command()
def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run everything here: an embedded queue, one engine worker and the API. Ctrl-C drains and stops all of it."""
    from contract.catalog import read_model_info
    from unclip.supervisor import Supervisor

    console = stderr_console()
    settings = read_settings(host=host, port=port, data_dir=data_dir)
    read_model_info(settings.model_folder)  # a model that cannot be served is told before anything starts
    Supervisor(settings, say=lambda line: console.print(f"[dim]unclip:[/dim] {line}", highlight=False, soft_wrap=True)).run()


@app.command()
def api(host: Host = None, port: Port = None) -> None:
    """Run the API process alone, for deployment. Needs UNCLIP_REDIS_URL."""
    settings = read_settings(host=host, port=port)
    from service.threads import tune_blas

    tune_blas(os.environ)
    from service.main import run

    run(settings)


@app.command()
def worker() -> None:
    """Run one engine worker alone, for deployment. Needs UNCLIP_REDIS_URL."""
    settings = read_settings()
    _ = settings.queue_url  # if there is none, said before torch is loaded
    from workers.main import run

    run(settings)


@app.command()
def webhooks() -> None:
    """Tell webhooks what becomes of jobs, for deployment. Needs UNCLIP_REDIS_URL."""
    settings = read_settings()
    _ = settings.queue_url
    from workers.webhooks.main import run

    run(settings)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Same seed, same picture  [default: chosen]")] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", help="Number of pictures, 1 to 10  [default: 1]")] = None,
    size: Annotated[str | None, typer.Option(help="256x256, 512x512 or 1024x1024")] = None,
    model: Annotated[str | None, typer.Option(help="Model name.")] = None,
    decoder: Annotated[str | None, typer.Option(help="base, or turbo, if the model has it.")] = None,
    steps: Annotated[int | None, typer.Option(help="Base decoder steps.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Base decoder guidance; 1 is none.")] = None,
    prior: Annotated[str | None, typer.Option(help="diffusion or autoregressive, if the model has it.")] = None,
    prior_steps: Annotated[int | None, typer.Option(help="Diffusion prior steps.")] = None,
    prior_guidance_scale: Annotated[float | None, typer.Option(help="Prior guidance; 1 is none.")] = None,
    upsample_steps: Annotated[int | None, typer.Option(help="Steps of the upsampler to 256 px.")] = None,
    prior_candidates: Annotated[int | None, typer.Option(help="z_i drawn, of which the best goes on  [default: 2]")] = None,
    conditioning: Annotated[str | None, typer.Option(help="prior, text_embedding or tokens.")] = None,
    guidance_mode: Annotated[str | None, typer.Option(help="constant, interval or oscillating.")] = None,
    stop_at: Annotated[str | None, typer.Option(help="prior, decoder or 256: the last stage.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out"),
    url: Annotated[str | None, typer.Option(help="A running service  [default: the one here, else one for this call]")] = None,
    own_service: Annotated[bool, typer.Option("--own-service", help="Start a service for this call in any case.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Draw a prompt over HTTP, show the progress, save out/<prompt>-<seed>.png."""
    import json

    from contract.errors import SettingsWrong
    from unclip.client import client_of
    from unclip.generate import Request, find_service, report
    from unclip.generate import generate as draw

    if own_service and url is not None:
        raise SettingsWrong("--own-service starts a service and --url names a running one; give one of the two")
    of_decoder: dict[str, Any] = {"decoder": decoder, "steps": steps, "guidance_scale": guidance_scale}
    of_prior: dict[str, Any] = {"prior": prior, "prior_steps": prior_steps, "prior_guidance_scale": prior_guidance_scale}
    of_prior |= {"prior_candidates": prior_candidates, "conditioning": conditioning}
    of_decoder |= {"guidance_mode": guidance_mode, "stop_at": stop_at}
    request = Request(prompt, n=n, size=size, seed=seed, model=model, upsample_steps=upsample_steps, **of_decoder, **of_prior)
    console = stderr_console()
    settings = read_settings()
    with find_service(settings, url, own=own_service, console=console) as address, client_of(address, settings) as client:
        drawn = draw(client, request, out, console)
        if as_json:
            typer.echo(json.dumps(drawn.as_json(), ensure_ascii=False))
        else:
            report(drawn, stdout_console())


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A PNG, JPEG or WebP file.", exists=True, dir_okay=False, readable=True)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Tell what a picture's file says of itself: how it was made, who signed it, whether it was changed since."""
    import json

    from unclip.inspect import inspect_file, report_of

    found = inspect_file(file)
    if as_json:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False))
        return
    for line in report_of(found):
        typer.echo(line)


@app.command()
def calibrate(data_dir: DataDir = None) -> None:
    """Measure this machine's calls by stage and size, for its worker: calibration.json in the data folder."""
    from unclip.calibrate_command import calibrate as measure

    path = measure(read_settings(data_dir=data_dir), stdout_console())
    typer.echo(f"written to {path}; workers that start from now on use it")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


app.add_typer(key_commands.app, name="keys")
picture_commands.register(app)
app.command()(model_commands.train)
app.add_typer(model_commands.data_app, name="data")
app.add_typer(model_commands.eval_app, name="eval")


def read_settings(**options: Any) -> Settings:
    """Read the environment, with the options that were given in its place. Raises SettingsWrong naming each wrong one."""
    from pydantic import ValidationError

    from contract.errors import SettingsWrong
    from contract.settings import Settings

    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        faults = (fault_of(fault["loc"], fault["msg"]) for fault in error.errors(include_url=False))
        raise SettingsWrong("; ".join(faults)) from error


def fault_of(location: tuple[int | str, ...], message: str) -> str:
    """Say what is wrong with a field, by its environment variable; a rule over several fields names its own."""
    said = message.removeprefix("Value error, ")
    return f"UNCLIP_{str(location[0]).upper()}: {said}" if location else said


def stderr_console() -> Console:
    """Return the console for messages and progress."""
    from rich.console import Console

    return Console(stderr=True)


def stdout_console() -> Console:
    """Return the console for results."""
    from rich.console import Console

    return Console(soft_wrap=True)
