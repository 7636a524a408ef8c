"""The commands on pictures: `unclip vary`, `interpolate`, `edit`, `inpaint`, `upscale`, `latents`, `resume`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from unclip.client import UnclipClient

Picture = Annotated[str, typer.Argument(help="A file, - for standard input, an id, a latent's id, or an https address.")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Same seed, same picture  [default: chosen]")]
Count = Annotated[int | None, typer.Option("--n", "-n", help="Number of pictures, 1 to 10  [default: 1]")]
Size = Annotated[str | None, typer.Option(help="256x256, 512x512 or 1024x1024")]
Steps = Annotated[int | None, typer.Option(help="Decoder steps.")]
Guidance = Annotated[float | None, typer.Option(help="Decoder guidance; 1 is none.")]
InversionSteps = Annotated[int | None, typer.Option(help="Steps of the way to x_T  [default: 50]")]
Frames = Annotated[int | None, typer.Option(min=2, help="Pictures along the way, ends included.")]
Animation = Annotated[str | None, typer.Option(help="gif, webp or strip: the frames as one file too.")]
Out = Annotated[Path, typer.Option(help="Folder for the pictures; - writes the first to standard output.")]
Url = Annotated[str | None, typer.Option(help="A running service  [default: the one here, else one for this call]")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Open = Annotated[bool, typer.Option("--open", help="Open what was drawn.")]
HERE = Path("out")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (vary, interpolate, edit, inpaint, upscale, latents, resume):
        app.command()(command)


def vary(
    picture: Picture,
    eta: Annotated[float | None, typer.Option(min=0, max=1, help="0 the same picture, 1 free  [default: 0.5]")] = None,
    inversion: Annotated[str | None, typer.Option(help="ddim, or noise as Karlo varies.")] = None,
    strength: Annotated[float | None, typer.Option(min=0, max=1, help="Of noise: how much is drawn anew.")] = None,
    inversion_steps: InversionSteps = None,
    n: Count = None,
    seed: Seed = None,
    size: Size = None,
    steps: Steps = None,
    guidance_scale: Guidance = None,
    out: Out = HERE,
    url: Url = None,
    as_json: Json = False,
    is_opened: Open = False,
) -> None:
    """Draw variations of a picture: what it shows stays, details move."""
    from unclip.operations import How
    from unclip.operations import picture as named

    given = {"n": n, "seed": seed, "size": size, "steps": steps, "guidance_scale": guidance_scale}
    own = {"eta": eta, "inversion": inversion, "strength": strength, "inversion_steps": inversion_steps}
    _run("vary", lambda client: {**named(client, picture), **own, **given}, "variation", How(out, as_json, is_opened), url)


def interpolate(
    sources: Annotated[list[str], typer.Argument(help="Two to eight pictures, latents or prompts.")],
    weights: Annotated[str | None, typer.Option(help="One number each, between commas: a single blend.")] = None,
    frames: Frames = None,
    animation: Animation = None,
    inversion_steps: InversionSteps = None,
    seed: Seed = None,
    size: Size = None,
    steps: Steps = None,
    guidance_scale: Guidance = None,
    out: Out = HERE,
    url: Url = None,
    as_json: Json = False,
    is_opened: Open = False,
) -> None:
    """Draw what lies between pictures, latents and prompts."""
    from unclip.errors import CommandError
    from unclip.operations import How, source

    try:
        weighed = None if weights is None else [float(weight) for weight in weights.split(",")]
    except ValueError:
        raise CommandError(f"--weights {weights} should be numbers between commas, such as 1,2") from None
    given = {"seed": seed, "size": size, "steps": steps, "guidance_scale": guidance_scale, "inversion_steps": inversion_steps}
    own = {"weights": weighed, "frames": frames, "animation": animation}

    def fields(client: UnclipClient) -> dict[str, Any]:
        return {"sources": [source(client, said) for said in sources], **own, **given}

    _run("interpolate", fields, "between", How(out, as_json, is_opened), url)


def edit(
    picture: Picture,
    prompt: Annotated[str, typer.Argument(help="What the picture shall show.")],
    source_prompt: Annotated[str | None, typer.Option("--from", help="What it shows now  [default: found]")] = None,
    theta: Annotated[float | None, typer.Option(min=0, max=1, help="How far to go  [default: 0.5]")] = None,
    frames: Frames = None,
    animation: Animation = None,
    inversion_steps: InversionSteps = None,
    seed: Seed = None,
    size: Size = None,
    steps: Steps = None,
    guidance_scale: Guidance = None,
    out: Out = HERE,
    url: Url = None,
    as_json: Json = False,
    is_opened: Open = False,
) -> None:
    """Edit a picture by words: from what it shows towards the prompt."""
    from unclip.operations import How
    from unclip.operations import picture as named

    given = {"seed": seed, "size": size, "steps": steps, "guidance_scale": guidance_scale, "inversion_steps": inversion_steps}
    own = {"prompt": prompt, "source_prompt": source_prompt, "theta": theta, "frames": frames, "animation": animation}
    _run("edit", lambda client: {**named(client, picture), **own, **given}, prompt, How(out, as_json, is_opened), url)


def inpaint(
    picture: Picture,
    prompt: Annotated[str, typer.Argument(help="What the picture shall show.")],
    mask: Annotated[str | None, typer.Option(help="A picture: white is painted anew  [default: what is transparent]")] = None,
    box: Annotated[list[str] | None, typer.Option(help="left,top,right,bottom as shares; may be repeated.")] = None,
    mask_prompt: Annotated[str | None, typer.Option(help="What is to be painted anew, in words.")] = None,
    canvas: Annotated[float | None, typer.Option(min=1, max=4, help="Paint around the picture, on a canvas so large.")] = None,
    guidance_mode: Annotated[str | None, typer.Option(help="constant, interval or oscillating.")] = None,
    n: Count = None,
    seed: Seed = None,
    size: Size = None,
    steps: Steps = None,
    guidance_scale: Guidance = None,
    out: Out = HERE,
    url: Url = None,
    as_json: Json = False,
    is_opened: Open = False,
) -> None:
    """Paint a part of a picture anew; every pixel outside of it stays as it is."""
    from unclip.operations import How, boxes, image

    given = {
        "n": n,
        "seed": seed,
        "size": size,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "guidance_mode": guidance_mode,
    }
    own = {"prompt": prompt, "mask_boxes": boxes(box or []), "mask_prompt": mask_prompt, "canvas": canvas}

    def fields(client: UnclipClient) -> dict[str, Any]:
        masked = {} if mask is None else {"mask": image(client, mask), "mask_paints": "white"}
        return {"image": image(client, picture), **masked, **own, **given}

    _run("inpaint", fields, prompt, How(out, as_json, is_opened), url)


def upscale(
    picture: Picture,
    size: Annotated[str, typer.Option(help="256x256, 512x512 or 1024x1024")] = "1024x1024",
    upsample_steps: Annotated[int | None, typer.Option(help="Steps of the upsampler to 256 px.")] = None,
    seed: Seed = None,
    out: Out = HERE,
    url: Url = None,
    as_json: Json = False,
    is_opened: Open = False,
) -> None:
    """Enlarge a picture by the upsamplers."""
    from unclip.operations import How, image

    given = {"size": size, "upsample_steps": upsample_steps, "seed": seed}
    _run("upscale", lambda client: {"image": image(client, picture), **given}, "large", How(out, as_json, is_opened), url)


def latents(
    picture: Picture,
    inversion_steps: InversionSteps = None,
    size: Size = None,
    out: Out = HERE,
    url: Url = None,
    as_json: Json = False,
    is_opened: Open = False,
) -> None:
    """Find a picture's latent (z_i, x_T), tell its id, and save what it draws back."""
    from unclip.operations import How, image

    given = {"inversion_steps": inversion_steps, "size": size}
    _run("encode", lambda client: {"image": image(client, picture), **given}, "encoded", How(out, as_json, is_opened), url)


def resume(
    latent: Annotated[str, typer.Argument(help="The id of a latent.")],
    size: Size = None,
    steps: Steps = None,
    guidance_scale: Guidance = None,
    stop_at: Annotated[str | None, typer.Option(help="prior, decoder or 256: the last stage.")] = None,
    out: Out = HERE,
    url: Url = None,
    as_json: Json = False,
    is_opened: Open = False,
) -> None:
    """Take up a picture that stopped, or decode a finished one again at other steps."""
    from unclip.operations import How

    given = {"latent": latent, "size": size, "steps": steps, "guidance_scale": guidance_scale, "stop_at": stop_at}
    _run("resume", lambda client: given, "resumed", How(out, as_json, is_opened), url)


def _run(operation: str, fields: Callable[[UnclipClient], dict[str, Any]], title: str, how: Any, url: str | None) -> None:
    from unclip.cli import read_settings, stderr_console
    from unclip.client import client_of
    from unclip.generate import find_service
    from unclip.operations import carry_out

    console = stderr_console()
    settings = read_settings()
    with find_service(settings, url, own=False, console=console) as address, client_of(address, settings) as client:
        carry_out(client, {"operation": operation, **fields(client)}, title, how, console)
