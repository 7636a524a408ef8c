"""The cascade: caption → prior → decoder → upsampler, loaded from one model folder (DALL·E 2, fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import load_part, load_strict, read_json, verify_manifest
from models.clip.text import TextTower
from models.nets.configs import prior_config, text_proj_config, unet_config
from models.nets.prior import PriorTransformer
from models.nets.text_proj import TextProjection
from models.nets.unet import UNet
from models.row import DONE, DrawRequest, Row
from models.stages.decoder import DecoderStage
from models.stages.diffusion import DiffusionStage, Sampling
from models.stages.prior import PriorStage
from models.stages.upsampler import UpsamplerStage

CPU_BUCKET, CUDA_BUCKET = 1, 16
Net = TypeVar("Net", bound=nn.Module)


class Cascade:
    """The networks of one model folder and the stages over them.

        row = cascade.admit(request)
        while row.stage != DONE and row.failure is None:
            cascade.stages[row.stage].run([row])
        pixels = cascade.picture(row)

    Rows of different requests may be run together; each comes out as it would alone.
    """

    def __init__(self, name: str, text: TextTower, stages: Mapping[str, DiffusionStage]) -> None:
        self.name, self.text, self.stages = name, text, stages
        self._first = next(iter(stages.values()))

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", threads: int | None = None) -> Cascade:
        """Check and load a model folder. Raises ModelError.

        threads: torch's, for the whole process; the last bits of pixels depend on it.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        verify_manifest(folder)
        index = read_json(folder / "model_index.json")["unclip"]
        bucket = CPU_BUCKET if torch.device(device).type == "cpu" else CUDA_BUCKET
        text = TextTower.load(folder, device)
        empty = text.encode([""])
        upsampler = UpsamplerStage(
            load_unet(folder / "super_res_first", device),
            load_sampling(folder / "super_res_scheduler"),
            device=device, bucket=bucket, leave_to=None,
        )  # fmt: skip
        decoder = DecoderStage(
            load_unet(folder / "decoder", device),
            load_text_proj(folder / "text_proj", device),
            empty, load_sampling(folder / "decoder_scheduler"),
            device=device, bucket=bucket, leave_to=upsampler.enter,
        )  # fmt: skip
        prior = PriorStage(
            load_prior(folder / "prior", device), empty, load_sampling(folder / "prior_scheduler"),
            device=device, bucket=bucket, leave_to=decoder.enter,
        )  # fmt: skip
        return cls(index["name"], text, {stage.name: stage for stage in (prior, decoder, upsampler)})

    def admit(self, request: DrawRequest) -> Row:
        """Encode the caption once and stand a new row before the first step of the first stage."""
        row = Row(request, self.text.encode([request.prompt]))
        with torch.inference_mode():
            self._first.enter(row)
        return row

    def picture(self, row: Row) -> NDArray[np.uint8]:
        """The finished picture, (256, 256, 3) uint8. Raises ValueError for a row that is still on its way."""
        if row.stage != DONE or row.large is None:
            raise ValueError(f"the row stands in {row.stage!r} at step {row.step} of {row.steps}; it has no picture yet")
        return to_pixels(row.large[0])

    def preview(self, row: Row) -> NDArray[np.uint8] | None:
        """What the decoder expects the picture to be, (64, 64, 3) uint8; None before its first step."""
        if row.small is not None:
            return to_pixels(row.small[0])
        return to_pixels(row.x_0[0]) if row.stage == "decoder" and row.step and row.x_0 is not None else None


def to_pixels(picture: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [-1, 1] to (H, W, 3) uint8, rounded to nearest."""
    pixels: NDArray[np.uint8] = ((picture.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    return pixels


def load_sampling(folder: Path) -> Sampling:
    """Read a `scheduler_config.json`. Raises CheckpointError, and SamplingError for a name that is not known."""
    return Sampling(read_json(folder / "scheduler_config.json"))


def load_prior(folder: Path, device: str) -> PriorTransformer:
    """Load the prior strictly. Raises CheckpointError."""
    config, tensors = load_part(folder)
    return ready(PriorTransformer(prior_config(config)), tensors, folder.name, device)


def load_text_proj(folder: Path, device: str) -> TextProjection:
    """Load the decoder's text projection strictly. Raises CheckpointError."""
    config, tensors = load_part(folder)
    return ready(TextProjection(text_proj_config(config)), tensors, folder.name, device)


def load_unet(folder: Path, device: str) -> UNet:
    """Load a UNet strictly, channels last, which convolutions on CPU and CUDA prefer. Raises CheckpointError."""
    config, tensors = load_part(folder)
    net = ready(UNet(unet_config(config, folder.name)), tensors, folder.name, device)
    return net.to(memory_format=torch.channels_last)


def ready(net: Net, tensors: Mapping[str, Tensor], part: str, device: str) -> Net:
    """The net with its weights, on its device, for inference only."""
    load_strict(net, tensors, part)
    return net.to(device).eval().requires_grad_(False)
