"""Nets on a CPU compiled by OpenVINO: one static graph for each shape of a net's inputs, kept on disk for the next start.

Eager torch spends much of a small net's time on starting operations; a graph that is known ahead starts fewer. Which kernels
run is decided by shapes, threads and machine, never by a stopwatch, and calls come in buckets of fixed size: equal seeds give
equal pixels in any company. They differ in their last bits from eager torch's, so all workers of a service must agree.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.cascade import Cascade
from models.cuda import Bucketed
from models.errors import BackendUnusable
from models.graph_files import GraphFiles
from models.row import DONE, DrawRequest
from models.stages.decoder import DecoderStage
from models.stages.prior import PriorStage
from models.stages.upsampler import UpsamplerStage

Precision = Literal["float32", "bfloat16"]
HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}
NETS = Path(__file__).resolve().parent / "nets"
PRIOR_LANES, DECODER_LANES, UPSAMPLER_LANES = (2, 4), (1, 2), (1,)
"""Sizes of calls: a row's candidates or its picture, without and with guidance; more lanes go in further calls."""
USUAL = DrawRequest(prompt="", seed=0, steps=1, guidance_scale=2.0, prior_steps=1, prior_guidance_scale=2.0, upsample_steps=1)


def compile_nets(cascade: Cascade, compiler: Compiler, precision: Precision = "float32") -> None:
    """Have a cascade's diffusion nets run compiled, and make or read the graphs of a usual picture before the first job does.

    Those of other shapes (no guidance, turbo, 1024 px) come when they are first asked for. precision: of decoders and
    upsamplers. Raises BackendUnusable.
    """
    for name, stage in cascade.stages.items():
        if isinstance(stage, PriorStage):
            # Never less: a z_i that is a little off is another picture, whatever draws it.
            compiler.quicken(stage.net, name, PRIOR_LANES, "float32")
        elif isinstance(stage, DecoderStage):
            compiler.quicken(stage.unet, name, DECODER_LANES, precision)
        elif isinstance(stage, UpsamplerStage):
            compiler.quicken(stage.net, name, UPSAMPLER_LANES, precision)
    row = cascade.admit(USUAL)
    while row.stage != DONE and row.failure is None:
        cascade.stages[row.stage].run([row])
    compiler.files.sweep()  # behind the usual picture: whatever it read is of use


class Compiler:
    """Has nets run as compiled graphs, which lie in `folder` once they are made."""

    def __init__(self, folder: Path, model_digest: str) -> None:
        """folder: made when something is kept. model_digest: of the model folder. Threads are torch's, as they are now.

        Raises BackendUnusable where the package is missing.
        """
        try:
            import openvino
        except ImportError as error:
            raise BackendUnusable("the package openvino is not installed", "install it, as unclip[openvino] does") from error
        self._core = openvino.Core()
        self._capabilities = sorted(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        self.options = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            # Its own code generator dies, as of 2026.4, on a group norm that is scaled and shifted by another input.
            "SNIPPETS_MODE": "DISABLE",
        }
        machine = (self._core.get_property("CPU", "FULL_DEVICE_NAME"), self._capabilities)
        sources = [path.read_bytes() for path in sorted(NETS.glob("*.py"))]
        setup = (openvino.get_version(), torch.__version__, machine, self.options, model_digest, sources)
        self.files = GraphFiles(folder, repr(setup))

    def quicken(self, net: nn.Module, part: str, lanes: Sequence[int], precision: Precision = "float32") -> None:
        """Have a net run compiled, whoever calls it. part: its name among the model's. lanes: the sizes of calls.

        Raises BackendUnusable where this CPU does not compute in the precision.
        """
        if precision == "bfloat16" and "BF16" not in self._capabilities:
            raise BackendUnusable("this CPU does not compute in bfloat16", "choose openvino, which computes in float32")
        # The class's own forward pass: the instance's is what is set here.
        net.forward = Bucketed(Graphs(self, Plain(net), part, precision), lanes)

    def request(self, net: nn.Module, part: str, inputs: Sequence[Tensor | None], precision: Precision) -> Any:
        """What computes a net at these shapes: an OpenVINO inference request.

        Always read from its stored form, also when just made: a first start then computes as every later one. Raises
        BackendUnusable where OpenVINO refuses the net or an option, as another version of it may.
        """
        shapes = [None if each is None else (tuple(each.shape), str(each.dtype)) for each in inputs]
        path = self.files.path(part, repr((shapes, precision)))
        stored, options = self.files.read(path), {**self.options, "INFERENCE_PRECISION_HINT": HINTS[precision]}
        try:
            if stored is None:
                stored = self._core.compile_model(converted(net, inputs), "CPU", options).export_model().getvalue()
                self.files.keep(path, stored)
            return self._core.import_model(stored, "CPU", options).create_infer_request()
        except RuntimeError as error:
            raise BackendUnusable(f"OpenVINO refuses {part}: {error}", "install another version of it") from error


class Plain(nn.Module):
    """A net by its class's forward pass, whatever was set on the instance."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """The net's output."""
        output: Tensor = type(self.net).forward(self.net, *inputs)
        return output


class Graphs:
    """A net's forward pass as a graph for each shape of its inputs, made or read when that shape first comes."""

    def __init__(self, compiler: Compiler, net: nn.Module, part: str, precision: Precision = "float32") -> None:
        self._compiler, self._net, self._part, self._precision = compiler, net, part, precision
        self._requests: dict[tuple[object, ...], Any] = {}

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """Return the output, a copy of the graph's own buffer."""
        from openvino import Tensor as Buffer

        # Held until the graph has run: the request knows where they lie, and keeps none of them.
        given = [each.contiguous() for each in inputs if each is not None]
        key = tuple(None if each is None else (each.shape, each.dtype) for each in inputs)
        if key not in self._requests:
            self._requests[key] = self._compiler.request(self._net, self._part, inputs, self._precision)
        request = self._requests[key]
        for index, each in enumerate(given):
            request.set_input_tensor(index, Buffer(each.numpy(), shared_memory=True))
        request.infer()
        return torch.from_numpy(request.get_output_tensor(0).data.copy())


class Without(nn.Module):
    """A net of which some inputs are None, as a net of the others: a graph's inputs are tensors."""

    def __init__(self, net: nn.Module, is_given: Sequence[bool]) -> None:
        super().__init__()
        self.net, self.is_given = net, tuple(is_given)

    def forward(self, *given: Tensor) -> Tensor:
        """The net's output."""
        rest = iter(given)
        output: Tensor = self.net(*(next(rest) if is_given else None for is_given in self.is_given))
        return output


def converted(net: nn.Module, inputs: Sequence[Tensor | None]) -> Any:
    """A net as an OpenVINO model at exactly these shapes; what is None is no input of it.

    By the frontend itself: the package's `convert_model` would report its use to the maker's telemetry.
    """
    from openvino import PartialShape
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sizes become constants in a trace, which is what is wanted
        given = [each for each in inputs if each is not None]
        example = tuple(each.detach().clone() for each in given)
        frontend = FrontEndManager().load_by_framework("pytorch")
        whole = Without(net, [each is not None for each in inputs])
        traced = TorchScriptPythonDecoder(whole, example_input=example)  # named: it must outlive the conversion
        model = frontend.convert(frontend.load(traced))
    for node, each in zip(model.inputs, given, strict=True):
        node.get_node().set_partial_shape(PartialShape(list(each.shape)))
    model.validate_nodes_and_infer_types()
    return model
