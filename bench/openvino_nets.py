"""How much quicker OpenVINO draws on a CPU: the nets of the cascade eager and compiled, in turns, on one thread.

    python -m bench.openvino_nets [--blocks 9] [--seconds 1.0] [--precision float32]

The shapes and the clock are those of `bench.onnx_runtime`; docs/adr/0016 tells what came out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bench.machine import describe
from bench.onnx_runtime import MODEL, nets, rate_of, recorded_inputs
from bench.ratios import compare
from models.cascade import Cascade
from models.checkpoint import read_json
from models.compiled import Compiler, Graphs


def main(arguments: Sequence[str]) -> None:
    """Measure and print. Whole pictures are reckoned from the nets' own times at the model's default steps."""
    parser = argparse.ArgumentParser(prog="python -m bench.openvino_nets", description=__doc__)
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    plan = parser.parse_args(arguments)
    cascade = Cascade.load(MODEL, threads=1)
    given = recorded_inputs(cascade)
    defaults = read_json(MODEL / "model_index.json")["unclip"]["defaults"]
    steps = {"prior": defaults["prior_steps"], "decoder": defaults["steps"], "upsample_256": defaults["upsample_steps"]}
    print(describe())  # noqa: T201
    eager_seconds, median_seconds, worse_seconds = 0.0, 0.0, 0.0
    for name, net in nets(cascade).items():
        inputs = given[name]
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            graphs = Graphs(Compiler(Path(folder), "bench"), net, name, plan.precision)
            error = float((graphs(*inputs) - net(*inputs)).abs().max())
            ratio = compare(partial(rate, graphs, inputs, plan.seconds), partial(rate, net, inputs, plan.seconds), plan.blocks)
        eager_seconds += steps[name] / ratio.second
        median_seconds += steps[name] / (ratio.second * ratio.median)
        worse_seconds += steps[name] / (ratio.second * ratio.low)
        print(f"{name}: {plan.precision} over eager {ratio}; eager {ratio.second:.1f} calls/s; largest error {error:.2g}")  # noqa: T201
    reckoned = f"{eager_seconds / median_seconds:.2f}, with the worse ends {eager_seconds / worse_seconds:.2f}"
    print(f"nets of a default picture, compiled over eager: {reckoned}")  # noqa: T201


def rate(call: Callable[..., Tensor], inputs: Sequence[Tensor], seconds: float) -> float:
    """Calls a second of CPU time."""
    return rate_of(lambda: call(*inputs), seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
