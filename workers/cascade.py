"""The cascade as the engine drives it: specs in, pictures out. Nothing else in `workers` loads tensors; this does on call."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING

from contract.errors import ModelError
from contract.settings import Settings
from contract.spec import AnySpec, GenerateSpec
from workers.engine import CannotDraw, Order, Picture, Product, Stage

if TYPE_CHECKING:
    from models.cascade import Cascade
    from models.row import DrawRequest, Row


class CascadeStages:
    """A loaded cascade, asked for pictures of a spec."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade

    @property
    def stages(self) -> Mapping[str, Stage[Row]]:
        """The stages by name, in order of travel."""
        return self.cascade.stages

    def steps(self, spec: AnySpec) -> Mapping[str, int]:
        """Return the stages that a spec's pictures travel, in order, and their steps."""
        return self.cascade.steps(request_of(spec, 0))

    def admit(self, order: Order, index: int) -> Row:
        """Return picture `index` of an order as a row at its first stage. Raises CannotDraw, models.errors.ModelError."""
        from models.errors import PartMissing

        try:
            return self.cascade.admit(request_of(order.spec, index))
        except PartMissing as error:
            raise CannotDraw(str(error)) from error

    def product(self, row: Row) -> Product:
        """Return what a done row gave."""
        return Product(self.cascade.picture(row), candidate_scores=row.candidate_scores)

    def relieve(self) -> None:
        """Give back whatever memory can be spared, after a call that found none."""
        self.cascade.relieve()

    def preview(self, row: Row) -> Picture | None:
        """Return the 64 px picture that the decoder expects; None before its first step."""
        return self.cascade.preview(row)


def request_of(spec: AnySpec, index: int) -> DrawRequest:
    """Return picture `index` of a spec in the cascade's own words. Raises CannotDraw for an operation that is not built yet."""
    if not isinstance(spec, GenerateSpec):
        raise CannotDraw(f"this worker does not know the operation {spec.operation!r}")
    from models.row import DrawRequest

    return DrawRequest(
        prompt=spec.prompt,
        seed=spec.picture_seed(index),
        steps=spec.steps,
        guidance_scale=spec.guidance_scale,
        decoder=spec.decoder,
        prior=spec.prior,
        prior_steps=spec.prior_steps,
        prior_guidance_scale=spec.prior_guidance_scale,
        upsample_steps=spec.upsample_steps,
        size_px=spec.size_px,
    )


def load_cascade(settings: Settings) -> CascadeStages:
    """Load the model that the settings name onto their device. Raises ModelError for a folder that cannot be served."""
    threads = settings.worker_threads or os.cpu_count() or 1
    tune_openmp(os.environ, threads)
    from models.cascade import Cascade
    from models.errors import ModelError as BadModel

    try:
        return CascadeStages(Cascade.load(settings.model_folder, device_of(settings), threads, settings.cuda_mode))
    except BadModel as error:
        raise ModelError(str(error)) from error


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
