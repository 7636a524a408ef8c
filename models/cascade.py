"""The cascade: caption → prior → decoder → upsampler, loaded from one model folder (DALL·E 2, fig. 2)."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import load_part, load_strict, read_json, verify_manifest
from models.clip.captions import Captions
from models.clip.image import ImageTower
from models.clip.text import TextFeatures, TextTower
from models.cuda import CudaMode, quickened, settle_kernels
from models.errors import InpaintingError, PartMissing
from models.latent import Latent, Reached
from models.nets.configs import prior_ar_config, prior_config, text_proj_config, unet_config
from models.nets.prior import PriorTransformer
from models.nets.prior_ar import PriorAR
from models.nets.text_proj import TextProjection
from models.nets.unet import UNet
from models.row import DONE, DrawRequest, Row
from models.setting_out import FINDING, set_out
from models.stages.decoder import DecoderStage
from models.stages.diffusion import Sampling
from models.stages.invert import InvertStage
from models.stages.prior import PriorStage
from models.stages.prior_ar import PriorARStage
from models.stages.stage import Stage, finish
from models.stages.turbo import TurboStage
from models.stages.upsampler import UpsamplerStage

CPU_BUCKET, CUDA_BUCKET = 1, 32
UPSAMPLERS = ((256, "super_res_first", "super_res_scheduler"), (1024, "super_res_second", "super_res_second_scheduler"))
"""Side of what it gives, and the folders of its net and its scheduler; the last is there or not."""
Net = TypeVar("Net", bound=nn.Module)


class Cascade:
    """The networks of one model folder and the stages over them.

        row = cascade.admit(request)
        while row.stage != DONE and row.failure is None:
            cascade.stages[row.stage].run([row])
        pixels = cascade.picture(row)

    Rows of different requests may be run together; each comes out as it would alone.
    """

    def __init__(self, name: str, text: TextTower, stages: Mapping[str, Stage], image: ImageTower | None = None) -> None:
        """image: None where nothing begins at a picture."""
        self.name, self.text, self.stages, self.image = name, text, stages, image
        self.captions = Captions(text)
        for stage in stages.values():
            stage.onward = self._onward

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", threads: int | None = None, cuda_mode: CudaMode = "fast") -> Cascade:
        """Check and load a model folder. Raises ModelError.

        threads: torch's, for the whole process; the last bits of pixels depend on it. cuda_mode: as in `models.cuda`.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        verify_manifest(folder)
        index = read_json(folder / "model_index.json")["unclip"]
        bucket = CPU_BUCKET
        if torch.device(device).type == "cuda":
            bucket = CUDA_BUCKET
            settle_kernels(cuda_mode)
        text = TextTower.load(folder, device)
        empty = text.encode([""])
        text_proj = load_text_proj(folder / "text_proj", device)
        decoders = [
            stage(
                load_unet(folder / stage.name, device, cuda_mode), text_proj, empty,
                load_sampling(folder / f"{stage.name}_scheduler"), device=device, bucket=bucket,
            )
            for stage in (DecoderStage, TurboStage) if stage is DecoderStage or (folder / stage.name).is_dir()
        ]  # fmt: skip
        priors: list[Stage] = [PriorStage(
            load_prior(folder / "prior", device, cuda_mode),
            empty, load_sampling(folder / "prior_scheduler"), device=device, bucket=bucket,
        )]  # fmt: skip
        if (folder / PriorARStage.name).is_dir():
            # Its steps do not run in padded buckets: where pixels must not depend on company, each row is called alone.
            alone = 1 if cuda_mode == "strict" else bucket
            priors.append(load_prior_ar(folder / PriorARStage.name, empty, device, alone))
        upsamplers = [
            UpsamplerStage(
                load_unet(folder / net, device, cuda_mode), load_sampling(folder / scheduler),
                size_px=size_px, device=device, bucket=bucket,
            )
            for size_px, net, scheduler in UPSAMPLERS if (folder / net).is_dir()
        ]  # fmt: skip
        image = ImageTower.load(folder, device) if (folder / "image_encoder").is_dir() else None
        stages = (InvertStage(decoders[0]), *priors, *decoders, *upsamplers)
        return cls(index["name"], text, {stage.name: stage for stage in stages}, image)

    def route(self, request: DrawRequest) -> tuple[str, ...]:
        """The stages that a request's row travels, in order: the second upsampler only for more than the first one gives.

        Raises PartMissing for a prior or a decoder that the model was packed without.
        """
        prior = () if request.conditioning != "prior" else (self.prior(request),)
        return (*prior, *self.drawing_route(request))

    def prior(self, request: DrawRequest) -> str:
        """The stage that draws z_i. Raises PartMissing."""
        return self._part("prior_ar" if request.prior == "autoregressive" else "prior")

    def drawing_route(self, request: DrawRequest) -> tuple[str, ...]:
        """The decoder and the upsamplers that a request's row travels. Raises PartMissing."""
        decoder = self._part("decoder_turbo" if request.decoder == "turbo" else "decoder")
        return (decoder, *(() if request.stop_at in ("prior", "decoder") else self.upsamplers(request)))

    def upsamplers(self, request: DrawRequest) -> tuple[str, ...]:
        """The upsamplers that a request's row travels, of those that the model has."""
        wanted = ["upsample_256"] + ["upsample_1024"] * (request.size_px > 256 and request.stop_at != "256")
        return tuple(name for name in wanted if name in self.stages)

    def _part(self, part: str) -> str:
        if part not in self.stages:
            raise PartMissing(self.name, part)
        return part

    def steps(self, request: DrawRequest) -> dict[str, int]:
        """How many steps a request's row takes in each stage of its route."""
        return {name: self.stages[name].steps(request) for name in self.route(request)}

    def admit(self, request: DrawRequest) -> Row:
        """Encode the caption once and stand a new row before the first step of its first stage.

        Raises InpaintingError for a picture to inpaint where the model's decoder has no channels for it, and PartMissing.
        """
        row = Row(request, self.text.encode([request.prompt]), self.route(request))
        if request.inpainting and not self.can_inpaint(row.route):
            raise InpaintingError(f"the model {self.name!r} cannot inpaint: its decoder takes no picture and no mask")
        with torch.inference_mode():
            if request.conditioning != "prior":
                row.z_i = self._without_prior(row)
            self.stages[row.route[0]].enter(row)
        return row

    def _without_prior(self, row: Row) -> Tensor:
        """What the decoder is told in place of the prior's z_i, (1, D) (DALL·E 2, §5.1)."""
        decoder = self.stages[row.route[0]]
        if not isinstance(decoder, DecoderStage):
            raise TypeError(f"without a prior a row begins in the decoder, not in {row.route[0]!r}")
        return row.text.embeds if row.request.conditioning == "text_embedding" else decoder.text_proj.without_image(1)

    def can_inpaint(self, route: Sequence[str]) -> bool:
        """Whether the decoder on a route was given channels for a picture and a mask; upsamplers do without."""
        return all(stage.can_inpaint for name in route if isinstance(stage := self.stages[name], DecoderStage))

    def _onward(self, row: Row) -> None:
        """Stand a row that is through with its stage before the first step of the next; after the last it is done."""
        at = row.route.index(row.stage) + 1
        if row.origin is not None and row.stage in FINDING and row.route[at] not in FINDING:
            set_out(self, row, row.origin)
        elif at < len(row.route):
            self.stages[row.route[at]].enter(row)
        else:
            finish(row)

    def picture(self, row: Row) -> NDArray[np.uint8]:
        """The finished picture, (S, S, 3) uint8, S what the last stage gave. Raises ValueError for a row that is on its way."""
        drawn = row.small if row.large is None else row.large
        if row.stage != DONE or drawn is None:
            raise ValueError(f"the row stands in {row.stage!r} at step {row.step} of {row.steps}; it has no picture yet")
        return to_pixels(drawn[0])

    def latent(self, row: Row) -> Latent | None:
        """The finished row's bipartite latent; None where it had none, as a picture that was only enlarged."""
        if row.z_i is None or row.x_T is None:
            return None
        reached: Reached = row.request.stop_at or "done"
        picture = {"decoder": row.small, "256": row.large}.get(reached)
        return Latent(self.name, row.request.seed, row.request.prompt, row.request.eta, reached, row.z_i, row.x_T, picture)

    def relieve(self) -> None:
        """Give back whatever memory can be spared: what torch keeps of a GPU's for later."""
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def preview(self, row: Row) -> NDArray[np.uint8] | None:
        """What the decoder expects the picture to be, (64, 64, 3) uint8; None before its first step."""
        if row.small is not None:
            return to_pixels(row.small[0])
        return to_pixels(row.x_0[0]) if row.stage in ("decoder", "decoder_turbo") and row.step and row.x_0 is not None else None


def to_pixels(picture: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [-1, 1] to (H, W, 3) uint8, rounded to nearest."""
    pixels: NDArray[np.uint8] = ((picture.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    return pixels


def load_sampling(folder: Path) -> Sampling:
    """Read a `scheduler_config.json`. Raises CheckpointError, and SamplingError for a name that is not known."""
    return Sampling(read_json(folder / "scheduler_config.json"))


def load_prior(folder: Path, device: str, cuda_mode: CudaMode = "fast") -> PriorTransformer:
    """Load the prior strictly. Raises CheckpointError."""
    config, tensors = load_part(folder)
    return quickened(ready(PriorTransformer(prior_config(config)), tensors, folder.name, device), device, cuda_mode)


def load_prior_ar(folder: Path, empty: TextFeatures, device: str, bucket: int) -> PriorARStage:
    """The autoregressive prior's stage, loaded strictly. Raises CheckpointError, and SamplingError for a wrong temperature."""
    config, tensors = load_part(folder)
    net = ready(PriorAR(prior_ar_config(config)), tensors, folder.name, device)
    temperature, top_p = config.get("temperature", 1.0), config.get("top_p", 1.0)
    return PriorARStage(net, empty, temperature=temperature, top_p=top_p, device=device, bucket=bucket)


def load_text_proj(folder: Path, device: str) -> TextProjection:
    """Load the decoder's text projection strictly. Raises CheckpointError."""
    config, tensors = load_part(folder)
    return ready(TextProjection(text_proj_config(config)), tensors, folder.name, device)


def load_unet(folder: Path, device: str, cuda_mode: CudaMode = "fast") -> UNet:
    """Load a UNet strictly, channels last, which convolutions on CPU and CUDA prefer. Raises CheckpointError."""
    config, tensors = load_part(folder)
    net = ready(UNet(unet_config(config, folder.name)), tensors, folder.name, device)
    return quickened(net.to(memory_format=torch.channels_last), device, cuda_mode)


def ready(net: Net, tensors: Mapping[str, Tensor], part: str, device: str) -> Net:
    """The net with its weights, on its device, for inference only."""
    load_strict(net, tensors, part)
    return net.to(device).eval().requires_grad_(False)
