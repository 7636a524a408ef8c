"""How much work a job is, so that jobs of different sizes can be told apart before they are drawn."""

from __future__ import annotations

from contract.spec import (
    AnySpec,
    EditSpec,
    EncodeSpec,
    GenerateSpec,
    InpaintSpec,
    InterpolateSpec,
    UpscaleSpec,
    VarySpec,
)

# What one row costs in one step of a stage, in steps of the decoder without guidance; from the speeds of the bundled model on a
# CPU (README). A model of another shape has other shares: only the ratio of two jobs is asked for, and its error is told.
PRIOR, UPSAMPLE_256, UPSAMPLE_1024, TURBO = 0.2, 3.4, 10.8, 1.3
TURBO_STEPS, UPSAMPLE_1024_STEPS = 4, 2
AUTOREGRESSIVE_STEPS = 8
FINISH = 4.0
"""Reading the prompt, filtering, encoding and storing one picture."""


def work_of(spec: AnySpec) -> float:
    """Return the work of a job in row-steps: rows times steps, each weighed by its stage, guidance counted twice."""
    return spec.pictures * _of_a_row(spec) + _inversion(spec)


def _of_a_row(spec: AnySpec) -> float:
    stop_at = getattr(spec, "stop_at", None)
    work = FINISH + _prior(spec)
    if not isinstance(spec, UpscaleSpec) and stop_at != "prior":
        work += TURBO_STEPS * TURBO if spec.decoder == "turbo" else spec.steps * _calls(spec.guidance_scale)
    if stop_at not in ("prior", "decoder"):
        work += spec.upsample_steps * UPSAMPLE_256
        if spec.size_px > 256 and stop_at != "256":
            work += UPSAMPLE_1024_STEPS * UPSAMPLE_1024
    return work


def _prior(spec: AnySpec) -> float:
    if not isinstance(spec, GenerateSpec | InterpolateSpec | InpaintSpec | EditSpec):
        return 0.0
    if getattr(spec, "conditioning", "prior") != "prior":
        return 0.0
    steps = spec.prior_steps if spec.prior == "diffusion" else AUTOREGRESSIVE_STEPS
    return steps * spec.prior_candidates * _calls(spec.prior_guidance_scale) * PRIOR


def _inversion(spec: AnySpec) -> float:
    """The way back from pictures to noise, once for each source however many rows start there."""
    if isinstance(spec, InterpolateSpec):
        return float(spec.inversion_steps * len(spec.sources))
    if isinstance(spec, EncodeSpec | EditSpec) or (isinstance(spec, VarySpec) and spec.inversion == "ddim"):
        return float(spec.inversion_steps)
    return 0.0


def _calls(guidance: float) -> int:
    return 1 if guidance == 1 else 2
