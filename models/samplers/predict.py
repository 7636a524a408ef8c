"""From what a net was trained to predict to the x_0 and eps that the samplers take."""

import torch
from torch import Tensor

from models.errors import SamplingError
from models.samplers.broadcast import rows


def predict_x_0(output: Tensor, x_t: Tensor, alpha_t: Tensor, prediction_type: str) -> Tensor:
    """The picture that a net's output means, each row at its own timestep.

    output, x_t: (B, …). alpha_t: (B,). prediction_type, as in a checkpoint's scheduler config: `epsilon` (Ho et al. 2020),
    `sample` (x_0 itself, as the paper's prior) or `v_prediction` (Salimans and Ho 2022). Raises SamplingError for another.
    """
    a_t = rows(alpha_t, x_t)
    if prediction_type == "epsilon":
        return (x_t - (1 - a_t).sqrt() * output) / a_t.sqrt()
    if prediction_type == "sample":
        return output
    if prediction_type == "v_prediction":
        return a_t.sqrt() * x_t - (1 - a_t).sqrt() * output
    raise SamplingError(f"prediction type {prediction_type!r} is not known; choose epsilon, sample or v_prediction")


def predict_eps(x_0: Tensor, x_t: Tensor, alpha_t: Tensor) -> Tensor:
    """The noise that takes x_0 to x_t. x_0, x_t: (B, …). alpha_t: (B,).

    Taken from x_0 after any clamping, so that the two stay consistent (as GLIDE; diffusers' `use_clipped_model_output`).
    """
    a_t = rows(alpha_t, x_t)
    return (x_t - a_t.sqrt() * x_0) / (1 - a_t).sqrt()


def clamp_x_0(x_0: Tensor, limit: Tensor) -> Tensor:
    """x_0 held within ±limit. x_0: (B, …). limit: (B,), infinity for a row that shall not be clamped."""
    bound = rows(limit, x_0)
    return torch.minimum(torch.maximum(x_0, -bound), bound)
