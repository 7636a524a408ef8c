"""Each operation's spec in the cascade's own words: what a job's rows share, and how each of them begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from contract.spec import (
    AnySource,
    AnySpec,
    BoxMask,
    EditSpec,
    EncodeSpec,
    GenerateSpec,
    ImageMask,
    ImageSource,
    InpaintSpec,
    InterpolateSpec,
    LatentSource,
    PromptSource,
    ResumeSpec,
    Spec,
    UpscaleSpec,
    VarySpec,
)
from workers.engine import CannotDraw, Order, Picture
from workers.pictures import Mask, box_mask, mask_picture, on_canvas, read_mask, read_picture, resized_mask

if TYPE_CHECKING:
    from models.cascade import Cascade
    from models.latent import Latent
    from models.origin import Aim, Origin, Source
    from models.row import DrawRequest, Row


@dataclass
class Shared:
    """What all rows of a job have in common, found out once.

    picture: the source's pixels; where a part is painted anew, at the output's size, with `mask`. found_mask: shown to the
    caller, who gave only words. source_prompt: what the source was taken to show.
    """

    origin: Origin | None = None
    latent: Latent | None = None
    picture: Picture | None = None
    mask: Mask | None = None
    found_mask: Picture | None = None
    source_prompt: str | None = None


@dataclass(frozen=True)
class Note:
    """What a row carries to its end. at: of a frame, its place on its way. is_first: of its job's rows."""

    shared: Shared = field(default_factory=Shared)
    at: float | None = None
    is_first: bool = True


def prepare(cascade: Cascade, order: Order) -> Shared:
    """Find out what the rows of an order share. Raises CannotDraw, models.errors.ModelError."""
    preparer = _PREPARERS.get(type(order.spec))
    return preparer(cascade, order) if preparer else Shared()


def begin(cascade: Cascade, spec: AnySpec, index: int, shared: Shared) -> Row:
    """Return picture `index` of a spec as a row before its first step. Raises CannotDraw, models.errors.ModelError."""
    from models import setting_out

    request = request_of(spec, index, shared)
    at = place_of(spec, index)
    if isinstance(spec, UpscaleSpec):
        row = setting_out.upscale(cascade, request, _certain(shared.picture))
    elif isinstance(spec, ResumeSpec):
        row = setting_out.resume(cascade, request, _certain(shared.latent))
    elif shared.origin is not None:
        row = setting_out.admit_from(cascade, request, shared.origin, aim_of(spec, at, shared))
    else:
        row = cascade.admit(request)
    row.note = Note(shared, at, index == 0)
    return row


def steps_of(cascade: Cascade, spec: AnySpec) -> Mapping[str, int]:
    """Return the stages that the first of a spec's rows travels, in order, and its steps in each."""
    from models.setting_out import steps_from

    request = request_of(spec, 0, Shared())
    if isinstance(spec, UpscaleSpec | ResumeSpec):
        # Where a row enters is known only with its picture: progress counts whatever may come.
        stages = cascade.upsamplers(request) if isinstance(spec, UpscaleSpec) else cascade.drawing_route(request)
        return {name: cascade.stages[name].steps(request) for name in stages}
    if isinstance(spec, GenerateSpec | InpaintSpec):
        return cascade.steps(request)
    is_inverted = not isinstance(spec, VarySpec) or spec.inversion == "ddim"
    pictures = is_inverted and any(isinstance(source, ImageSource) for source in sources_of(spec))
    prompts = isinstance(spec, EditSpec) or any(isinstance(source, PromptSource) for source in sources_of(spec))
    return steps_from(cascade, request, pictures=pictures, prompts=prompts)


def request_of(spec: AnySpec, index: int, shared: Shared) -> DrawRequest:
    """Return picture `index` of a spec in the cascade's own words."""
    from models.inpainting import Inpainting
    from models.row import DrawRequest

    request = DrawRequest(prompt="", **_common(spec, index), **_prior(spec))
    if isinstance(spec, GenerateSpec):
        return replace(request, prompt=spec.prompt, conditioning=spec.conditioning, stop_at=spec.stop_at)
    if isinstance(spec, InpaintSpec):
        known = None if shared.picture is None else Inpainting(shared.picture, _certain(shared.mask))
        return replace(request, prompt=spec.prompt, inpainting=known)
    if isinstance(spec, VarySpec):
        strength = spec.strength if spec.inversion == "noise" else 1.0
        prompt = shared.latent.prompt if shared.latent else ""
        return replace(request, prompt=prompt, eta=spec.eta, strength=strength, inversion_steps=spec.inversion_steps)
    if isinstance(spec, ResumeSpec):
        request = replace(request, stop_at=spec.stop_at)
        latent = shared.latent
        # Its own seed: what was stopped comes out as it would have without the stop.
        return replace(request, prompt=latent.prompt, eta=latent.eta, seed=(latent.seed + index) % 2**32) if latent else request
    if isinstance(spec, UpscaleSpec):
        return request
    request = replace(request, eta=0.0, inversion_steps=spec.inversion_steps)
    return _edited(spec, place_of(spec, index), request) if isinstance(spec, EditSpec) else request


def _edited(spec: EditSpec, theta: float | None, request: DrawRequest) -> DrawRequest:
    """By theta the picture is led away from what it shows: not at all at 0, where it is told nothing and comes back."""
    if not theta:
        return replace(request, guidance_scale=1.0, guidance_mode="constant")
    return replace(request, prompt=spec.prompt, guidance_scale=spec.guidance_scale * theta)


def _common(spec: Spec, index: int) -> dict[str, Any]:
    return {
        "seed": spec.picture_seed(index),
        "steps": spec.steps,
        "guidance_scale": spec.guidance_scale,
        "guidance_mode": spec.guidance_mode,
        "guidance_bounds": spec.guidance_bounds,
        "decoder": spec.decoder,
        "upsample_steps": spec.upsample_steps,
        "size_px": spec.size_px,
    }


def _prior(spec: AnySpec) -> dict[str, Any]:
    if not isinstance(spec, GenerateSpec | InterpolateSpec | InpaintSpec | EditSpec):
        return {"prior_steps": 1, "prior_guidance_scale": 1.0}
    return {
        "prior": spec.prior,
        "prior_steps": spec.prior_steps,
        "prior_guidance_scale": spec.prior_guidance_scale,
        "prior_candidates": spec.prior_candidates,
    }


def place_of(spec: AnySpec, index: int) -> float | None:
    """Return how far frame `index` is from the first source to the last, or the theta of an edit; None for other pictures."""
    if isinstance(spec, InterpolateSpec) and spec.weights is None:
        return index / (spec.frames - 1)
    if isinstance(spec, EditSpec):
        return spec.theta * index / (spec.frames - 1) if spec.frames else spec.theta
    return None


def aim_of(spec: AnySpec, at: float | None, shared: Shared) -> Aim:
    """Return how a row of a spec sets out from the sources."""
    from models.origin import Along, Mixed, Stay, Turned

    if isinstance(spec, InterpolateSpec):
        return Mixed(spec.weights) if spec.weights is not None else Along(_certain(at))
    if isinstance(spec, EditSpec):
        return Turned(_certain(at))
    return Stay()


def sources_of(spec: AnySpec) -> tuple[AnySource, ...]:
    """Return the things that a spec's pictures begin from."""
    if isinstance(spec, InterpolateSpec):
        return spec.sources
    return () if isinstance(spec, GenerateSpec) else (spec.source,)


def needs_of(spec: AnySpec) -> tuple[str, ...]:
    """Return the ids of the files that a spec's pictures begin from, each once."""
    ids = [source.id for source in sources_of(spec) if not isinstance(source, PromptSource)]
    if isinstance(spec, InpaintSpec) and isinstance(spec.mask, ImageMask):
        ids.append(spec.mask.id)
    return tuple(dict.fromkeys(ids))


def _source(source: AnySource, order: Order) -> Source:
    from models.latent import Latent
    from models.origin import Source

    if isinstance(source, PromptSource):
        return Source(prompt=source.prompt)
    data = order.inputs[source.id]
    if isinstance(source, LatentSource):
        return Source(latent=Latent.from_bytes(data))
    return Source(picture=read_picture(data))


def _with_origin(cascade: Cascade, order: Order) -> Shared:
    """For vary, interpolate and encode."""
    from models.setting_out import origin_of

    spec = order.spec
    if isinstance(spec, InterpolateSpec) and spec.weights is not None:
        if len(spec.weights) != len(spec.sources):
            raise CannotDraw(f"{len(spec.sources)} sources have {len(spec.weights)} weights; give one each", "invalid_value")
        if not any(spec.weights):
            raise CannotDraw("all weights are 0; give at least one source a say", "invalid_value")
    sources = [_source(source, order) for source in sources_of(spec)]
    is_inverted = not isinstance(spec, VarySpec) or spec.inversion == "ddim"
    origin = origin_of(cascade, sources, spec.seed, is_inverted=is_inverted)
    return Shared(origin=origin, latent=sources[0].latent)


def _with_diff(cascade: Cascade, order: Order) -> Shared:
    """For edit."""
    from models.setting_out import add_captions, origin_of

    spec = order.spec
    if not isinstance(spec, EditSpec):
        raise TypeError(f"{spec.operation} has no text diff")
    source = _source(spec.source, order)
    # What words mean is no matter of the seed: each of several pictures can be drawn alone by its own.
    origin = origin_of(cascade, [source], seed=0)
    z_i = origin.embeds[0] if origin.embeds else _certain(source.latent).z_i
    shown = spec.source_prompt or cascade.captions.nearest(z_i)
    add_captions(cascade, origin, (spec.prompt, shown))
    return Shared(origin=origin, latent=source.latent, source_prompt=shown)


def _with_picture(cascade: Cascade, order: Order) -> Shared:
    """For upscale."""
    return Shared(picture=read_picture(order.inputs[_image(order.spec).id]))


def _with_latent(cascade: Cascade, order: Order) -> Shared:
    """For resume."""
    return Shared(latent=_source(sources_of(order.spec)[0], order).latent)


def _with_mask(cascade: Cascade, order: Order) -> Shared:
    """For inpaint: picture and mask at the output's size, on the canvas that was asked for."""
    spec = order.spec
    if not isinstance(spec, InpaintSpec):
        raise TypeError(f"{spec.operation} has no mask")
    picture = read_picture(order.inputs[spec.source.id])
    if picture.shape[0] != picture.shape[1]:
        raise CannotDraw(f"the picture is {picture.shape[1]}×{picture.shape[0]}; crop it to a square", "invalid_image")
    found = None
    if isinstance(spec.mask, ImageMask):
        mask = read_mask(order.inputs[spec.mask.id], picture.shape)
    elif isinstance(spec.mask, BoxMask):
        mask = box_mask(spec.mask.boxes, picture.shape[0])
    else:
        mask = found = find_mask(cascade, picture, spec.mask.prompt)
    picture, mask = on_canvas(picture, mask, spec.size_px, spec.canvas)
    if not mask.any():
        raise CannotDraw("the mask leaves nothing to paint; make a part of it white", "invalid_mask")
    return Shared(picture=picture, mask=mask, found_mask=None if found is None else mask_picture(mask))


def find_mask(cascade: Cascade, picture: Picture, words: str) -> Mask:
    """Return where the named thing is, (S, S). Raises CannotDraw where it is not seen."""
    from models.clip.find import find

    found = find(cascade, picture, words)
    if found is None:
        raise CannotDraw(
            f"nothing in the picture looks like {words!r}; give the mask as boxes or as a picture", "mask_not_found"
        )
    return resized_mask(found, picture.shape[0])


def _image(spec: AnySpec) -> ImageSource:
    source = sources_of(spec)[0]
    if not isinstance(source, ImageSource):
        raise TypeError(f"{spec.operation} begins at a picture")
    return source


def _certain(value: Any) -> Any:
    """What `prepare` has found; its absence is a fault of ours."""
    if value is None:
        raise AssertionError("a row begins before what its job needs was found")
    return value


_PREPARERS: Mapping[type, Callable[[Cascade, Order], Shared]] = {
    VarySpec: _with_origin,
    InterpolateSpec: _with_origin,
    EncodeSpec: _with_origin,
    EditSpec: _with_diff,
    UpscaleSpec: _with_picture,
    ResumeSpec: _with_latent,
    InpaintSpec: _with_mask,
}
