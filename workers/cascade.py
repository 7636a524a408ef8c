"""The cascade as the engine drives it: specs in, pictures out. Nothing else in `workers` loads tensors; this does on call."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from contract.catalog import read_model_info
from contract.errors import ModelError
from contract.settings import Settings
from contract.spec import AnySpec
from workers.calibration import Calibration, Setup, manifest_digest, read_calibration
from workers.engine import CannotDraw, Order, Picture, Product, Stage
from workers.operations import Note, Shared, begin, prepare, steps_of
from workers.pictures import resized

if TYPE_CHECKING:
    from models.cascade import Cascade
    from models.row import Row

PRECISIONS: Mapping[str, Literal["float32", "bfloat16"]] = {"openvino": "float32", "openvino_bf16": "bfloat16"}
"""Of decoders and upsamplers, by the CPU backend that compiles them."""


class CascadeStages:
    """A loaded cascade, asked for pictures of a spec."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        self._shared = Shared()
        """Of the order whose rows are being admitted, one after another."""

    @property
    def stages(self) -> Mapping[str, Stage[Row]]:
        """The stages by name, in order of travel."""
        return self.cascade.stages

    def steps(self, spec: AnySpec) -> Mapping[str, int]:
        """Return the stages that a spec's pictures travel, in order, and their steps."""
        return steps_of(self.cascade, spec)

    def admit(self, order: Order, index: int) -> Row:
        """Return picture `index` of an order as a row at its first stage. Raises CannotDraw, models.errors.ModelError."""
        from models.errors import InpaintingError, LatentUnusable, PartMissing, SourceUnfit

        try:
            if index == 0:
                self._shared = prepare(self.cascade, order)
            return begin(self.cascade, order.spec, index, self._shared)
        except (PartMissing, InpaintingError) as error:
            raise CannotDraw(str(error)) from error
        except LatentUnusable as error:
            raise CannotDraw(str(error), "latent_unusable") from error
        except SourceUnfit as error:
            raise CannotDraw(str(error), "invalid_image") from error

    def product(self, row: Row) -> Product:
        """Return what a done row gave; where a part of a picture was painted anew, the rest of it as it was, to the pixel."""
        note = row.note if isinstance(row.note, Note) else Note()
        shared, pixels = note.shared, self.cascade.picture(row)
        if shared.picture is not None and shared.mask is not None:
            pixels = np.where(shared.mask[..., None], resized(pixels, len(shared.mask)), shared.picture)
        latent = self.cascade.latent(row)
        return Product(
            pixels,
            latent=None if latent is None else latent.to_bytes(),
            candidate_scores=row.candidate_scores,
            at=note.at,
            attachments={"mask": shared.found_mask} if note.is_first and shared.found_mask is not None else {},
            source_prompt=shared.source_prompt,
            seed=row.request.seed,
        )

    def relieve(self) -> None:
        """Give back whatever memory can be spared, after a call that found none."""
        self.cascade.relieve()

    def preview(self, row: Row) -> Picture | None:
        """Return the 64 px picture that the decoder expects; None before its first step."""
        return self.cascade.preview(row)


def load_cascade(settings: Settings) -> CascadeStages:
    """Load the model that the settings name onto their device. Raises ModelError for a folder that cannot be served."""
    threads = settings.worker_threads or os.cpu_count() or 1
    tune_openmp(os.environ, threads)
    from models.cascade import Cascade
    from models.errors import ModelError as BadModel

    try:
        device = device_of(settings)
        cascade = Cascade.load(settings.model_folder, device, threads, settings.cuda_mode)
        if device == "cpu" and settings.cpu_backend != "torch":
            compile_for(cascade, settings)
        return CascadeStages(cascade)
    except BadModel as error:
        raise ModelError(str(error)) from error


def compile_for(cascade: Cascade, settings: Settings) -> None:
    """Have a cascade on a CPU run compiled, by graphs that lie in the data folder. Raises models.errors.BackendUnusable."""
    from models.compiled import Compiler, compile_nets

    compiler = Compiler(settings.data_dir / "compiled", manifest_digest(settings.model_folder))
    compile_nets(cascade, compiler, PRECISIONS[settings.cpu_backend])


def setup_of(settings: Settings) -> Setup:
    """Return what a calibration of these settings is of."""
    import torch

    device = device_of(settings)
    is_cuda = device.startswith("cuda")
    return Setup(
        model=read_model_info(settings.model_folder).name,
        manifest_sha256=manifest_digest(settings.model_folder),
        device=torch.cuda.get_device_name(device) if is_cuda else f"cpu {platform.machine()}",
        cuda_mode=settings.cuda_mode if is_cuda else "",
        cpu_backend="" if is_cuda else settings.cpu_backend,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def calibration_of(settings: Settings) -> Calibration | None:
    """Return what `unclip calibrate` found out about this machine with these settings; None where it was not run."""
    return read_calibration(settings.data_dir, lambda: setup_of(settings))


def tune_openmp(environ: MutableMapping[str, str], threads: int) -> None:
    """Tell OpenMP how to run, unless the operator has; it reads its variables when torch loads it, so this comes before.

    GOMP_SPINCOUNT: a thread that waits for another spins, by default for milliseconds. Beside one other busy process a picture
    then takes 3 s and more instead of 0.7; with short spins 1.4 s, for a tenth of the speed of an idle machine (two cores).
    """
    environ.setdefault("OMP_NUM_THREADS", str(threads))
    environ.setdefault("GOMP_SPINCOUNT", "1000")


def device_of(settings: Settings) -> str:
    """Return the device to draw on: the one asked for, else a GPU where there is one. Raises ModelError for a missing one."""
    if settings.device == "cpu":
        return "cpu"
    import torch

    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    found = torch.cuda.device_count()
    if (torch.device(settings.device).index or 0) >= found:
        raise ModelError(f"UNCLIP_DEVICE is {settings.device!r}, but torch finds {found} CUDA devices; choose auto or cpu")
    return settings.device
