"""The spec: a validated, frozen request with every default and the seed resolved. Nothing validates after it.

One class per operation over what all have in common; `read_spec` and `write_spec` are their only way through JSON. The bounds
live here too, so that the wire schemas, the command line and the docs speak of the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MIN_PICTURES, MAX_PICTURES = 1, 10
MAX_FRAMES = 60
SEEDS = 2**32
MIN_STEPS, MAX_STEPS = 1, 250
MIN_GUIDANCE, MAX_GUIDANCE = 0.0, 30.0
MIN_SOURCES, MAX_SOURCES = 2, 8
MAX_CANDIDATES = 8
MAX_BOXES = 16
SIZES = ("256x256", "512x512", "1024x1024")
"""What DALL·E 2's clients send; always accepted, drawn at the model's nearest native size and resampled."""
OUTPUT_FORMATS = ("png", "jpeg", "webp")
MAX_USER_CHARACTERS = 256
FAITHFUL: Mapping[str, float] = {"guidance_scale": 1.0, "steps": 50}
"""Defaults where a picture is to come back as it was: inversion runs without guidance, and guidance would leave its way."""
EDITED: Mapping[str, float] = {"guidance_scale": 8.0, "steps": 50}
"""Those of a text diff, whose guidance is the scale times theta, so none at theta 0."""
LOCAL_KEY = "local"
"""Stands for the caller where no API keys are set up."""

Size = Literal["256x256", "512x512", "1024x1024"]
OutputFormat = Literal["png", "jpeg", "webp"]
Prior = Literal["diffusion", "autoregressive"]
Decoder = Literal["base", "turbo"]
Conditioning = Literal["prior", "text_embedding", "tokens"]
GuidanceMode = Literal["constant", "interval", "oscillating"]
Lane = Literal["interactive", "batch"]
StopAt = Literal["prior", "decoder", "256"]
Operation = Literal["generate", "vary", "interpolate", "edit", "inpaint", "upscale", "encode", "resume"]
Animation = Literal["gif", "webp", "strip"]
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Steps = Annotated[int, Field(ge=MIN_STEPS, le=MAX_STEPS)]
Guidance = Annotated[float, Field(ge=MIN_GUIDANCE, le=MAX_GUIDANCE, allow_inf_nan=False)]
PictureCount = Annotated[int, Field(ge=MIN_PICTURES, le=MAX_PICTURES)]
FrameCount = Annotated[int, Field(ge=2, le=MAX_FRAMES)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Candidates = Annotated[int, Field(ge=1, le=MAX_CANDIDATES)]
KeyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ThingId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Prompt = Annotated[str, Field(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ImageSource(_Frozen):
    """A picture that the image store holds: an earlier output, or an upload."""

    kind: Literal["image"] = "image"
    id: ThingId


class LatentSource(_Frozen):
    """A bipartite latent (z_i, x_T) that the image store holds."""

    kind: Literal["latent"] = "latent"
    id: ThingId


class PromptSource(_Frozen):
    """A prompt, of which the prior makes z_i."""

    kind: Literal["prompt"] = "prompt"
    prompt: Prompt


PictureSource = Annotated[ImageSource | LatentSource, Field(discriminator="kind")]
AnySource = Annotated[ImageSource | LatentSource | PromptSource, Field(discriminator="kind")]


class ImageMask(_Frozen):
    """A picture of the source's size: white is painted anew, black stays. The service has turned alpha masks into this form."""

    kind: Literal["image"] = "image"
    id: ThingId


class BoxMask(_Frozen):
    """Boxes to be painted anew: left, top, right and bottom as shares of the picture's sides."""

    kind: Literal["boxes"] = "boxes"
    boxes: Annotated[tuple[tuple[Share, Share, Share, Share], ...], Field(min_length=1, max_length=MAX_BOXES)]


class PromptMask(_Frozen):
    """What is to be painted anew, in words; the worker finds it."""

    kind: Literal["prompt"] = "prompt"
    prompt: Prompt


Mask = Annotated[ImageMask | BoxMask | PromptMask, Field(discriminator="kind")]


class Spec(_Frozen):
    """What every job has. Guidance 1 means no guidance.

    `key`: the API key's id under which the job was sent. `retried_from`: the job that this one repeats. `steps` and
    `guidance_scale` are of the base decoder; turbo has its own built in. `guidance_mode`: how the scale runs over the
    steps: `interval` only in the middle of them, `oscillating` between its bounds (Imagen Editor, §3).
    `output_compression`: JPEG's and WebP's quality. `metadata`: whether the file says how it was made. `previews`:
    whether the caller wants to see the 64 px picture while it is drawn.
    """

    own_defaults: ClassVar[Mapping[str, float]] = {}
    """What a request of this operation gets that leaves these out; for all others the model's own defaults stand."""

    operation: str
    model: Annotated[str, Field(min_length=1)]
    key: KeyId = LOCAL_KEY
    retried_from: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    lane: Lane = "interactive"
    n: PictureCount = 1
    size: Size
    output_format: OutputFormat = "png"
    output_compression: Annotated[int, Field(ge=0, le=100)] = 100
    metadata: bool = True
    previews: bool = False
    seed: Seed
    decoder: Decoder = "base"
    steps: Steps
    guidance_scale: Guidance
    guidance_mode: GuidanceMode = "constant"
    guidance_bounds: tuple[Guidance, Guidance] = (1.0, 30.0)
    upsample_steps: Steps
    user: Annotated[str, Field(max_length=MAX_USER_CHARACTERS)] | None = None

    @property
    def size_px(self) -> int:
        """Width and height of each picture, in pixels."""
        return int(self.size.partition("x")[0])

    @property
    def pictures(self) -> int:
        """How many rows the job has: pictures, or frames."""
        return self.n

    @property
    def words(self) -> tuple[str, ...]:
        """Whatever the caller said in words, for the filter and the log's length; empty for operations without."""
        return ()

    def picture_seed(self, index: int) -> int:
        """Return the seed of picture `index`, with which n=1 draws that picture again alone."""
        return (self.seed + index) % SEEDS


class _PriorSpec(Spec):
    """Operations in which the prior makes z_i of a prompt. `prior_steps` is of the diffusion prior."""

    prior: Prior = "diffusion"
    prior_steps: Steps
    prior_guidance_scale: Guidance
    prior_candidates: Candidates = 2


class GenerateSpec(_PriorSpec):
    """Draw `n` pictures from a prompt.

    `conditioning`: what the decoder is told (DALL·E 2, §5.1): z_i of the prior, the caption's embedding in its place, or
    the caption's tokens alone. `stop_at`: the last stage; the picture can be taken up again from there.
    """

    operation: Literal["generate"] = "generate"
    prompt: Prompt
    conditioning: Conditioning = "prior"
    stop_at: StopAt | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The prompt."""
        return (self.prompt,)


class VarySpec(Spec):
    """Draw variations of a picture (DALL·E 2, §3.1): decode its z_i from its x_T with `eta`.

    `inversion`: `ddim` finds x_T by inverting the picture over `inversion_steps`; `noise` starts from white noise kept
    to `strength` of its way, as Karlo's variations do.
    """

    own_defaults: ClassVar[Mapping[str, float]] = FAITHFUL

    operation: Literal["vary"] = "vary"
    source: PictureSource
    eta: Share = 0.5
    inversion: Literal["ddim", "noise"] = "ddim"
    inversion_steps: Steps = 50
    strength: Share = 1.0


class InterpolateSpec(_PriorSpec):
    """Draw `frames` pictures on the way between sources (DALL·E 2, §3.2): slerp of z_i, and of x_T.

    With `weights`, one for each source, a single blend of them is drawn instead.
    """

    own_defaults: ClassVar[Mapping[str, float]] = FAITHFUL

    operation: Literal["interpolate"] = "interpolate"
    sources: Annotated[tuple[AnySource, ...], Field(min_length=MIN_SOURCES, max_length=MAX_SOURCES)]
    weights: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] | None = None
    frames: FrameCount = 8
    animation: Animation | None = None
    inversion_steps: Steps = 50

    @property
    def pictures(self) -> int:
        """The frames, or the one blend."""
        return self.frames if self.weights is None else self.n

    def picture_seed(self, index: int) -> int:
        """Frames have one seed, so that nothing but the way between them is seen to move."""
        return self.seed if self.weights is None else super().picture_seed(index)

    @property
    def words(self) -> tuple[str, ...]:
        """The prompts among the sources."""
        return tuple(source.prompt for source in self.sources if isinstance(source, PromptSource))


class EditSpec(_PriorSpec):
    """Edit a picture by a text diff (DALL·E 2, §3.3): slerp from z_i to norm(z_t - z_t0) by `theta`, from the inverted x_T.

    z_t and z_t0 are the prior's z_i of both captions. Guidance leads away from the picture as it is, towards the prompt, by
    `guidance_scale` times theta. `source_prompt`: what the picture shows now; None: the worker finds it. With `frames`, theta
    runs from 0 to `theta`.
    """

    own_defaults: ClassVar[Mapping[str, float]] = EDITED

    operation: Literal["edit"] = "edit"
    source: PictureSource
    prompt: Prompt
    source_prompt: Prompt | None = None
    theta: Share = 0.5
    frames: FrameCount | None = None
    animation: Animation | None = None
    inversion_steps: Steps = 50

    @property
    def pictures(self) -> int:
        """The frames, or the pictures."""
        return self.frames or self.n

    def picture_seed(self, index: int) -> int:
        """Frames have one seed, so that nothing but theta is seen to work."""
        return self.seed if self.frames else super().picture_seed(index)

    @property
    def words(self) -> tuple[str, ...]:
        """Both prompts."""
        return (self.prompt,) if self.source_prompt is None else (self.prompt, self.source_prompt)


class InpaintSpec(_PriorSpec):
    """Paint a part of a picture anew (Imagen Editor). `canvas`: the picture stands in the middle of one so much larger."""

    operation: Literal["inpaint"] = "inpaint"
    source: ImageSource
    mask: Mask
    prompt: Prompt
    canvas: Annotated[float, Field(ge=1, le=4, allow_inf_nan=False)] = 1.0

    @property
    def words(self) -> tuple[str, ...]:
        """The prompt, and the words of the mask."""
        return (self.prompt, self.mask.prompt) if isinstance(self.mask, PromptMask) else (self.prompt,)


class UpscaleSpec(Spec):
    """Enlarge a picture to `size` by the upsamplers."""

    operation: Literal["upscale"] = "upscale"
    source: ImageSource


class EncodeSpec(Spec):
    """Find a picture's bipartite latent and keep it: z_i by CLIP, x_T by inversion; what it draws back is the result."""

    own_defaults: ClassVar[Mapping[str, float]] = FAITHFUL

    operation: Literal["encode"] = "encode"
    source: ImageSource
    inversion_steps: Steps = 50


class ResumeSpec(Spec):
    """Take up a picture from its latent: decode it at other steps, or let it pass other upsamplers."""

    operation: Literal["resume"] = "resume"
    source: LatentSource
    stop_at: StopAt | None = None


AnySpec = Annotated[
    GenerateSpec | VarySpec | InterpolateSpec | EditSpec | InpaintSpec | UpscaleSpec | EncodeSpec | ResumeSpec,
    Field(discriminator="operation"),
]
_SPECS: TypeAdapter[AnySpec] = TypeAdapter(AnySpec)


def read_spec(value: Any) -> AnySpec:
    """Return the spec that a JSON value says. Raises pydantic.ValidationError."""
    # By way of JSON text: there a tuple is a list, which the strict models refuse from Python.
    return _SPECS.validate_json(json.dumps(value))


def write_spec(spec: Spec) -> dict[str, Any]:
    """Return a spec as a JSON value."""
    return spec.model_dump(mode="json")
