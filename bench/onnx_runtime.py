"""Would ONNX Runtime draw quicker on a CPU? The nets of the cascade in both, in turns, on one thread.

    python -m bench.onnx_runtime [--blocks 9] [--seconds 1.0]

Each net is exported at the shapes that the CPU path calls it with (a guided row is two lanes), on inputs taken from a real
picture. Time is the process's own CPU time, so that other work on the machine counts little. docs/adr/0015 tells what came out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.ratios import Ratio, compare

MODEL = Path(__file__).resolve().parent.parent / "models" / "weights"
OPSET = 20


@dataclass(frozen=True)
class Outcome:
    """How ONNX Runtime did against eager torch on one net. error: the largest difference of their outputs."""

    net: str
    quicker: Ratio
    quicker_int8: Ratio
    error: float
    error_int8: float


def recorded_inputs(cascade: Any) -> dict[str, tuple[Tensor, ...]]:
    """The inputs of each UNet's last call while a picture is drawn, by stage."""
    from models.row import DONE, DrawRequest

    seen: dict[str, tuple[Tensor, ...]] = {}
    for name, net in nets(cascade).items():
        net.register_forward_pre_hook(lambda _, inputs, name=name: seen.__setitem__(name, inputs))
    request = DrawRequest(
        prompt="a slice of pizza", seed=7, steps=3, guidance_scale=2.0, prior_steps=3, prior_guidance_scale=2.0,
        upsample_steps=2, size_px=256,
    )  # fmt: skip
    row = cascade.admit(request)
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
    for net in nets(cascade).values():
        net._forward_pre_hooks.clear()
    return seen


def nets(cascade: Any) -> dict[str, nn.Module]:
    """The nets that are compared, by stage."""
    stages = cascade.stages
    return {"prior": stages["prior"].net, "decoder": stages["decoder"].unet, "upsample_256": stages["upsample_256"].net}


def export(net: nn.Module, inputs: Sequence[Tensor], path: Path) -> None:
    """Write a net as ONNX at exactly these shapes."""
    program = torch.onnx.export(net, tuple(inputs), dynamo=True, opset_version=OPSET, verbose=False)
    if program is None:
        raise RuntimeError("torch.onnx gave no program")
    program.optimize()
    program.save(str(path))


def session_of(path: Path) -> Any:
    """An ONNX Runtime session of one thread, with all of its graph optimisations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def quantised(path: Path) -> Path:
    """The same graph with int8 weights of its matrix products, scaled per channel, and activations scaled as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    out = path.with_suffix(".int8.onnx")
    quantize_dynamic(path, out, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
    return out


def rate_of(call: Callable[[], object], seconds: float) -> float:
    """Calls a second of CPU time, over about so many seconds."""
    began, calls = time.process_time(), 0
    while time.process_time() - began < seconds:
        call()
        calls += 1
    return calls / (time.process_time() - began)


def measure(name: str, net: nn.Module, inputs: Sequence[Tensor], blocks: int, seconds: float) -> Outcome:
    """Compare one net in both, and in int8 where that can be made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        export(net, inputs, path)
        exact = session_of(path)
        int8 = session_of(quantised(path))
    feeds = {each.name: tensor.numpy() for each, tensor in zip(exact.get_inputs(), inputs, strict=True)}

    def eager() -> Tensor:
        with torch.inference_mode():
            output: Tensor = net(*inputs)
            return output

    def onnx(session: Any) -> np.ndarray[Any, Any]:
        output: np.ndarray[Any, Any] = session.run(None, feeds)[0]
        return output

    wanted = eager().numpy()

    def in_turns(session: Any) -> Ratio:
        return compare(lambda: rate_of(lambda: onnx(session), seconds), lambda: rate_of(eager, seconds), blocks)

    ratios = [in_turns(session) for session in (exact, int8)]
    errors = [float(np.abs(onnx(session) - wanted).max()) for session in (exact, int8)]
    return Outcome(name, ratios[0], ratios[1], errors[0], errors[1])


def main(arguments: Sequence[str]) -> None:
    """Measure and print. Whole pictures are reckoned from the nets' own times at the model's default steps."""
    from bench.machine import describe
    from models.cascade import Cascade
    from models.checkpoint import read_json

    parser = argparse.ArgumentParser(prog="python -m bench.onnx_runtime", description=__doc__)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    plan = parser.parse_args(arguments)
    cascade = Cascade.load(MODEL, threads=1)
    inputs = recorded_inputs(cascade)
    print(describe())  # noqa: T201
    defaults = read_json(MODEL / "model_index.json")["unclip"]["defaults"]
    steps = {"prior": defaults["prior_steps"], "decoder": defaults["steps"], "upsample_256": defaults["upsample_steps"]}
    whole: dict[str, float] = {}
    for name, net in nets(cascade).items():
        found = measure(name, net, inputs[name], plan.blocks, plan.seconds)
        for arm, ratio in (("eager", 1.0), ("fp32", found.quicker.median), ("int8", found.quicker_int8.median)):
            whole[arm] = whole.get(arm, 0.0) + steps[name] / (found.quicker.second * ratio)
        shapes = ", ".join("×".join(map(str, each.shape)) for each in inputs[name])
        print(f"{name} ({shapes})")  # noqa: T201
        print(f"  fp32 over eager: {found.quicker}; eager {found.quicker.second:.1f} calls/s; largest error {found.error:.2g}")  # noqa: T201
        print(f"  int8 matrix products over eager: {found.quicker_int8}; largest error {found.error_int8:.2g}")  # noqa: T201
    for arm in ("fp32", "int8"):
        print(f"nets of a default picture, {arm} over eager: {whole['eager'] / whole[arm]:.2f}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
