"""Commands of the people who make models: `unclip data build`, `unclip train`, `unclip eval`. Thin wrappers, imported late."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contract.errors import SettingsWrong
from unclip.errors import CommandError
from unclip.long_work import progress_bar

if TYPE_CHECKING:
    from training.loop import Progress

data_app = typer.Typer(help="The data that models are trained on.", no_args_is_help=True)
eval_app = typer.Typer(help="How good the pictures are, and how quick.", no_args_is_help=True)


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


@data_app.command("pack")
def pack_data(
    data: DataDir,
    out: OutDir,
    size_px: Annotated[
        list[int] | None, typer.Option(min=32, help="Side of the sprites; may be repeated  [128 and 256]")
    ] = None,
    large: Annotated[int, typer.Option(min=0, help="Draw so many of each vector style at 1024 px too.")] = 0,
    packages: Annotated[Path | None, typer.Option(help="Folder with the npm packages, for --large.")] = None,
) -> None:
    """Pack the drawn sprites into one checksummed archive a size, to carry to where training runs."""
    from training.data.archive import SIZES_PX, pack
    from training.data.large import pack_large

    if large and packages is None:
        raise SettingsWrong("--large draws from the npm packages; name their folder with --packages")
    with plain_faults(), progress_bar() as show:
        packed = pack(data, out, sizes_px=size_px or SIZES_PX, progress=show)
        if large and packages is not None:
            pack_large(packages, out, each=large, progress=show)
    typer.echo(f"{packed.sprites} sprites, {packed.duplicates} left out that another style has too; written to {out}")


def train(
    data: DataDir,
    out: OutDir,
    config: Annotated[str, typer.Option(help="A name in training/configs, or a file.")] = "bundled",
    minutes: Annotated[
        list[str] | None, typer.Option(help="Time budget of a stage, such as decoder=60; may be repeated.")
    ] = None,
    stage: Annotated[list[str] | None, typer.Option(help="Only this stage; may be repeated  [default: all]")] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            help="Model to start from where shapes fit, and to keep what is not trained of  [default: chance weights]"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a cascade, part by part, and pack it. Resumes where it was stopped; under torchrun, processes share each batch."""
    import torch

    from training.config import read_recipe
    from training.distributed import joined
    from training.run import Run, stages_of

    where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    with plain_faults(), joined(where) as (ranks, own_device), progress_bar() as show:
        recipe = read_recipe(config).with_minutes(read_minutes(minutes or ()))
        stages = stages_of(recipe)
        if unknown := [name for name in stage or () if name not in stages]:
            raise SettingsWrong(f"--stage {unknown[0]}: the recipe has {', '.join(stages)}")
        if ranks.is_first:
            checked_pictures(data, out, show)
        ranks.wait()

        def report(name: str, at: Progress, done: float, loss: float) -> None:
            show(f"{name} {at.step} loss {loss:.4f}", done, 1)

        run = Run(recipe, checked_pictures(data, out, show), out, report, device=own_device, ranks=ranks, init_from=init_from)
        run.foresee(stage or stages)
        for name in stage or stages:
            getattr(run, name)()


@eval_app.command("quality")
def eval_quality(
    out: OutDir,
    model: ModelDir = None,
    data: Annotated[Path | None, typer.Option("--data", help="Sprites, for the parts that compare with true pictures.")] = None,
    only: Annotated[str | None, typer.Option(help="Parts between commas, such as objects,colours  [default: all]")] = None,
    share: Annotated[float, typer.Option(min=0.001, max=1.0, help="Measure this share of each list.")] = 1.0,
    processes: Annotated[int, typer.Option(min=1, help="How many draw at once, each on one thread of the CPU.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    turbo: Annotated[bool, typer.Option("--turbo", help="Draw with the distilled decoder.")] = False,
) -> None:
    """Draw what the prompt lists ask for and let the judges look. Pictures are kept in OUT/pictures: a stopped run goes on."""
    from evals.draw import default_settings, turbo_settings
    from evals.judges.judges import Judges
    from evals.quality.exam import Exam
    from evals.quality.pictures import Pictures
    from evals.quality.run import PARTS, run

    parts = read_parts(only, PARTS)
    folder = model or bundled_model()
    with plain_faults(), progress_bar() as show:
        pictures = Pictures(folder, out / "pictures", device=device, processes=processes, show=show)
        settings = turbo_settings(default_settings(folder)) if turbo else default_settings(folder)
        exam = Exam(pictures, Judges.load(), settings, out, share=share, data=data)
        reports = run(exam, parts)
    for report in reports:
        typer.echo(f"{report.part}\n\n{report.to_markdown()}")
    typer.echo(f"figures and grids are in {out}")


@eval_app.command("page")
def eval_page(
    figures: Annotated[Path, typer.Option(help="Folder that the other eval commands wrote to.")],
    page: Annotated[Path, typer.Option(help="Page whose marked regions are filled.")] = Path("docs/model.md"),
) -> None:
    """Put measured figures and grids into the page about the model."""
    from evals.page import write

    with plain_faults():
        empty = write(page, figures)
    typer.echo(f"{page} is filled" + (f"; nothing was measured for: {', '.join(empty)}" if empty else ""))


@eval_app.command("lists")
def eval_lists(data: DataDir) -> None:
    """Draw the prompt lists by lot anew, after sprites, words or what is held out have changed."""
    from evals.quality.lots import Lots
    from training.data.colours import colourable_rows
    from training.data.sprite_bank import SpriteBank
    from training.data.vocabulary import HeldOut

    with plain_faults():
        bank = SpriteBank.load(data, 32)
        lengths = Lots(bank.infos, HeldOut.read(), colourable_rows(bank.levels)).write()
    typer.echo("\n".join(f"{name}: {length} prompts" for name, length in lengths.items()))


@eval_app.command("judges")
def eval_judges(
    data: DataDir,
    out: OutDir,
    minutes: Annotated[
        list[str] | None,
        typer.Option(help="Time budget of a judge, such as classifier=60, or with 0 none: it stays; may be repeated."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    init_from: Annotated[
        Path | None, typer.Option(help="Folder with judges to go on from, such as evals/judges/weights.")
    ] = None,
) -> None:
    """Train the judges of `unclip eval quality` from rendered scenes, and measure them. Resumes where it was stopped."""
    from evals.judges.train import train as run

    with plain_faults(), progress_bar() as show:
        run(
            data,
            out,
            lambda name, at, done, loss: show(f"{name} {at.step} loss {loss:.4f}", done, 1),
            minutes=read_minutes(minutes or (), can_be_none=True),
            device=device,
            init_from=init_from,
        )
    typer.echo(f"weights and figures are in {out / 'judges'}")


@eval_app.command("priors")
def eval_priors(
    data: DataDir,
    out: OutDir,
    model: ModelDir = None,
    captions: Annotated[int, typer.Option(min=2, help="Fresh scenes whose captions are asked for.")] = 300,
) -> None:
    """Compare the diffusion prior with the autoregressive one: nearness to true embeddings, speed, size."""
    from evals.priors import run

    with plain_faults(), progress_bar() as show:
        measured = run(model or bundled_model(), data, out, captions=captions, progress=show)
    typer.echo(measured.to_markdown())


@eval_app.command("safety")
def eval_safety(
    out: OutDir,
    half: Annotated[str, typer.Option(help="test; fresh: a later test split; train: what was fitted on.")] = "test",
) -> None:
    """Count what the prompt filter refuses of the labelled prompts, harmful and harmless, plain and dressed up."""
    from contract.settings import BUNDLED_MODEL
    from evals.safety.run import run
    from training.prompt_filter.labelled import Half

    halves: dict[str, Half] = {"test": "test", "fresh": "fresh", "train": "train"}
    if half not in halves:
        raise SettingsWrong(f"--half {half}: there are {', '.join(halves)}")
    with plain_faults(), progress_bar() as show:
        report = run(BUNDLED_MODEL, out, halves[half], show)
    typer.echo(report.to_markdown())
    typer.echo(f"what was judged wrongly is in {out / f'safety_{half}.json'}")


@eval_app.command("speed")
def eval_speed(
    out: OutDir, model: ModelDir = None, runs: Annotated[int, typer.Option(min=2, help="Pictures to time.")] = 15
) -> None:
    """Time warm pictures by stage, and the decoder against this machine's matrix rate."""
    from evals.speed import run

    with plain_faults(), progress_bar() as show:
        measured = run(model or bundled_model(), out, runs=runs, progress=show)
    typer.echo(measured.to_markdown())


@eval_app.command("operations")
def eval_operations(
    data: DataDir,
    out: OutDir,
    model: ModelDir = None,
    only: Annotated[str | None, typer.Option(help="Parts between commas, such as encode,vary  [default: all]")] = None,
    pictures: Annotated[int, typer.Option(min=2, help="True pictures that each part begins at.")] = 50,
) -> None:
    """Measure and show what operations on pictures do. What is drawn is kept in OUT/kept: a stopped run goes on."""
    from evals.operations.run import PARTS, Session, run

    parts = read_parts(only, PARTS)
    with plain_faults(), progress_bar() as show:
        reports = run(Session(model or bundled_model(), data, out, pictures, show), parts)
    for report in reports:
        typer.echo(f"{report.part}\n\n{report.to_markdown()}")
    typer.echo(f"figures and grids are in {out}")


@eval_app.command("inpainting")
def eval_inpainting(
    data: DataDir,
    out: OutDir,
    model: ModelDir = None,
    each: Annotated[int, typer.Option(min=1, help="Pictures of each mask size.")] = 20,
    is_wide: Annotated[bool, typer.Option("--all", help="Chance scenes of all kinds, not familiar things alone.")] = False,
    against: Annotated[Path | None, typer.Option(help="Another model, told by its folder's name.")] = None,
    page: Annotated[Path | None, typer.Option(help="Page whose marked regions are filled with it.")] = None,
) -> None:
    """Paint masked objects anew from three prompts and three modes of guidance. A stopped run goes on."""
    from evals.draw import model_name
    from evals.inpainting.cases import SIZE_PX, draw_cases
    from evals.inpainting.measure import How, run
    from evals.judges.judges import Judges
    from evals.page import write
    from training.data.sprite_bank import SpriteBank

    folder = model or bundled_model()
    with plain_faults(), progress_bar() as show:
        judges = Judges.load()
        cases = draw_cases(SpriteBank.load(data, SIZE_PX), judges.group, each, is_familiar=not is_wide)
        how = How(modes=("constant", "interval", "oscillating"))
        models = {model_name(folder): folder}
        if against is not None:
            if against.name in models:
                raise typer.BadParameter(f"a folder called {against.name!r} would be told by the model's own name")
            models[against.name] = against
        report = run(models, cases, judges, out, how, show)
        if page is not None:
            write(page, out)
    typer.echo(report.to_markdown())


@eval_app.command("typographic")
def eval_typographic(
    data: DataDir,
    out: OutDir,
    model: ModelDir = None,
    pictures: Annotated[int, typer.Option(min=2, help="True pictures that a word is pasted on.")] = 12,
) -> None:
    """Paste words on pictures: what CLIP takes them for, and what the decoder recovers."""
    eval_operations(data, out, model, "typographic", pictures)


@eval_app.command("failures")
def eval_failures(
    out: OutDir, model: ModelDir = None, seeds: Annotated[int, typer.Option(min=1, help="Pictures of each prompt.")] = 2
) -> None:
    """Draw what is known to go wrong: bound colours, written text, crowds."""
    from evals.operations.run import Session, run

    with plain_faults(), progress_bar() as show:
        session = Session(model or bundled_model(), out, out, 2, show, seeds)
        typer.echo(run(session, ["failures"])[0].to_markdown())


def checked_pictures(data: Path, out: Path, show: Callable[[str, float, float], None]) -> Path:
    """Return the folder to train from: where `data` is somebody's own pictures, those that passed the safety filters, once."""
    from safety.picture_filter import PictureFilter
    from safety.prompt_filter import PromptFilter
    from training.data.own import OWN, Filters, is_own, prepare

    if not is_own(data):
        return data
    if not (out / "own" / OWN).is_file():
        filters = Filters(PromptFilter.load(), PictureFilter.load())
        typer.echo(prepare(data, out / "own", filters, progress=lambda seen: show(f"checking picture {seen}", 0, 1)))
    return out / "own"


def bundled_model() -> Path:
    """Return the model folder that the settings name."""
    from unclip.cli import read_settings

    return read_settings().model_folder


def read_parts(only: str | None, known: Iterable[str]) -> list[str]:
    """Read `--only`, parts between commas; all of them where it is not given. Raises SettingsWrong for an unknown one."""
    known = list(known)
    parts = only.split(",") if only else known
    if unknown := [part for part in parts if part not in known]:
        raise SettingsWrong(f"--only {','.join(unknown)}: there is no such part; choose from {', '.join(known)}")
    return parts


def read_minutes(budgets: Sequence[str], *, can_be_none: bool = False) -> dict[str, float]:
    """Read `stage=minutes` pairs. can_be_none: 0 minutes too. Raises SettingsWrong for anything else."""
    read: dict[str, float] = {}
    for budget in budgets:
        stage, _, minutes = budget.partition("=")
        try:
            read[stage] = float(minutes)
        except ValueError:
            read[stage] = -1.0
        is_none = can_be_none and read[stage] == 0
        if not stage or not (is_none or 0 < read[stage] < float("inf")):
            raise SettingsWrong(f"--minutes {budget} is not stage=minutes, such as decoder=60")
    return read


@contextmanager
def plain_faults() -> Iterator[None]:
    """Turn what models and data refuse into one message: those packages know nothing of the command line."""
    from models.errors import ModelError
    from safety.picture_filter import PictureFilterMissing
    from training.data.errors import DataError

    try:
        yield
    except (DataError, ModelError, PictureFilterMissing) as error:
        raise CommandError(str(error)) from error
