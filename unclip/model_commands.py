"""Commands of the people who make models: `unclip data build`, `unclip train`, `unclip eval`. Thin wrappers, imported late."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import SettingsWrong
from unclip.errors import CommandError

data_app = typer.Typer(help="The data that models are trained on.", no_args_is_help=True)
eval_app = typer.Typer(help="How good the pictures are, and how quick.", no_args_is_help=True)


class TrainingStage(enum.StrEnum):
    """The parts of a training run, in order; `pack` writes the finished model folder."""

    CLIP = "clip"
    PRIOR = "prior"
    DECODER = "decoder"
    UPSAMPLER = "upsampler"
    PACK = "pack"


ModelDir = Annotated[Path | None, typer.Option("--model", help="Model folder  [default: the bundled model]")]
DataDir = Annotated[Path, typer.Option("--data", help="Folder that `unclip data build` wrote.")]
OutDir = Annotated[Path, typer.Option("--out", help="Folder to write to.")]


@data_app.command("build")
def build_data(
    packages: Annotated[Path, typer.Option(help="Folder with the npm packages, packed or unpacked.")],
    out: OutDir,
    size_px: Annotated[int, typer.Option(min=32, max=1024, help="Side of the drawn sprites, in pixels.")] = 256,
    style: Annotated[list[str] | None, typer.Option(help="Only this style; may be repeated  [default: all five]")] = None,
) -> None:
    """Draw the sprites of the npm packages into a cache folder. Without the packages, says how to fetch them."""
    from training.data.build import build
    from training.data.packages import styles_named

    with plain_faults(), progress_bar() as show:
        built = build(packages, out, size_px=size_px, styles=styles_named(style), progress=show)
    for made in built.styles:
        typer.echo(f"{made.style}: {made.sprites} sprites of {made.icons} icons, {made.labelled} with a label")
    typer.echo(f"written to {built.out}")


def train(
    data: DataDir,
    out: OutDir,
    config: Annotated[str, typer.Option(help="A name in training/configs, or a file.")] = "bootstrap",
    minutes: Annotated[
        list[str] | None, typer.Option(help="Time budget of a stage, such as decoder=60; may be repeated.")
    ] = None,
    stage: Annotated[list[TrainingStage] | None, typer.Option(help="Only this stage; may be repeated  [default: all]")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a cascade: CLIP, prior, decoder, upsampler, packed weights. Resumes where it was stopped."""
    import torch

    from training.config import read_recipe
    from training.run import train as run

    where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    with plain_faults(), progress_bar() as show:
        recipe = read_recipe(config).with_minutes(read_minutes(minutes or ()))
        stages = tuple(stage or TrainingStage)
        run(
            recipe,
            data,
            out,
            lambda name, at, done, loss: show(f"{name} {at.step} loss {loss:.4f}", done, 1),
            stages=stages,
            device=where,
        )


@eval_app.command("objects")
def eval_objects(data: DataDir, out: OutDir, model: ModelDir = None) -> None:
    """Draw 100 object names and look each picture up among all sprites of the style."""
    from evals.objects import run

    with plain_faults(), progress_bar() as show:
        measured = run(model or bundled_model(), data, out, progress=show)
    typer.echo(measured.to_markdown().split("\n\n")[1])
    typer.echo(f"grid and table are in {out}")


@eval_app.command("speed")
def eval_speed(
    out: OutDir, model: ModelDir = None, runs: Annotated[int, typer.Option(min=2, help="Pictures to time.")] = 15
) -> None:
    """Time warm pictures by stage, and the decoder against this machine's matrix rate."""
    from evals.speed import run

    with plain_faults(), progress_bar() as show:
        measured = run(model or bundled_model(), out, runs=runs, progress=lambda drawn, total: show("pictures", drawn, total))
    typer.echo(measured.to_markdown())


def bundled_model() -> Path:
    """Return the model folder that the settings name."""
    from unclip.cli import read_settings

    return read_settings().model_folder


def read_minutes(budgets: Sequence[str]) -> dict[str, float]:
    """Read `stage=minutes` pairs. Raises SettingsWrong for anything else."""
    read: dict[str, float] = {}
    for budget in budgets:
        stage, _, minutes = budget.partition("=")
        try:
            read[stage] = float(minutes)
        except ValueError:
            read[stage] = -1.0
        if not stage or not 0 < read[stage] < float("inf"):
            raise SettingsWrong(f"--minutes {budget} is not stage=minutes, such as decoder=60")
    return read


@contextmanager
def plain_faults() -> Iterator[None]:
    """Turn what models and data refuse into one message: those packages know nothing of the command line."""
    from models.errors import ModelError
    from training.data.errors import DataError

    try:
        yield
    except (DataError, ModelError) as error:
        raise CommandError(str(error)) from error


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float, float], None]]:
    """Yield `show(doing, done, total)`, which moves one bar; it begins anew when `done` does."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<32.32}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=None, visible=False)
        yield lambda doing, done, total: progress.update(bar, description=doing, completed=done, total=total, visible=True)
