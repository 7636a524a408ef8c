"""Nets on a GPU: bucketed batches, each bucket one CUDA graph over buffers that stay where they are.

At batch 1 a small UNet spends its time on launching kernels; a graph launches all of them at once. Two modes:
`fast` computes in bfloat16 and pads to the next of `FAST_BUCKETS`; kernels differ by batch size, so pixels differ in their
last bits by who shares a call. `strict` computes in float32 and pads every call to `STRICT_BUCKET` lanes: one shape, hence one
set of kernels, and a row's numbers do not depend on its company. Nothing is tuned by the clock in either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

CudaMode = Literal["fast", "strict"]
FAST_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
STRICT_BUCKET = 8
WARM_UP_CALLS = 3
Forward = Callable[..., Tensor]
Net = TypeVar("Net", bound=nn.Module)


class Bucketed:
    """A net's forward pass over any number of lanes, run in buckets of fixed size.

    Inputs are tensors whose first axis is the lane, or None. Lanes beyond the largest bucket go in further calls; a bucket that
    is not full is padded with its last lane. `call`: what runs one full bucket, as `Graphs` or the net itself.
    """

    def __init__(self, call: Forward, buckets: Sequence[int]) -> None:
        self.call, self.buckets = call, tuple(sorted(buckets))

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """Return the net's output of every lane, float32."""
        lanes = next(len(each) for each in inputs if each is not None)
        parts = [self._part(inputs, start, min(start + self.buckets[-1], lanes)) for start in range(0, lanes, self.buckets[-1])]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _part(self, inputs: Sequence[Tensor | None], start: int, end: int) -> Tensor:
        bucket = next(size for size in self.buckets if size >= end - start)
        padded = [None if each is None else pad(each[start:end], bucket) for each in inputs]
        return self.call(*padded)[: end - start].float()


def pad(lanes: Tensor, bucket: int) -> Tensor:
    """Repeat the last lane until there are `bucket` of them."""
    missing = bucket - len(lanes)
    return lanes if missing == 0 else torch.cat([lanes, lanes[-1:].expand(missing, *lanes.shape[1:])])


@dataclass
class Captured:
    """One graph: replaying it computes `output` from what lies in `inputs`."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor | None]
    output: Tensor


class Graphs:
    """A forward pass captured as a CUDA graph for each shape of its inputs, when that shape first comes."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._captured: dict[tuple[Any, ...], Captured] = {}
        self._pool: Any = None

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """Return the output, a copy of the graph's own buffer."""
        key = tuple(None if each is None else (each.shape, each.dtype) for each in inputs)
        if key not in self._captured:
            self._captured[key] = self._capture(inputs)
        captured = self._captured[key]
        for buffer, each in zip(captured.inputs, inputs, strict=True):
            if buffer is not None and each is not None:
                buffer.copy_(each, non_blocking=True)
        captured.graph.replay()
        return captured.output.clone()

    def _capture(self, inputs: Sequence[Tensor | None]) -> Captured:
        """Capture one shape. What a first call sets up (workspaces, kernels) must be there before, hence the warm-up."""
        buffers = [None if each is None else each.clone() for each in inputs]
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP_CALLS):
                self._forward(*buffers)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            output = self._forward(*buffers)
        self._pool = self._pool or graph.pool()
        return Captured(graph, buffers, output)


def quickened(net: Net, device: str, mode: CudaMode) -> Net:
    """Have a net that lies on a GPU run as this module says, whoever calls it; on another device it stays as it is."""
    kind = torch.device(device).type
    if kind == "cuda":
        net.forward = Bucketed(Graphs(narrowed(net, kind, mode)), buckets(mode))
    return net


def buckets(mode: CudaMode) -> tuple[int, ...]:
    """How many lanes a call may have."""
    return (STRICT_BUCKET,) if mode == "strict" else FAST_BUCKETS


def narrowed(net: nn.Module, kind: str, mode: CudaMode) -> Forward:
    """Return a net's forward pass in its mode's precision.

    `fast` turns the weights of convolutions and linear layers to bfloat16. What is sensitive (normalisations, embeddings of
    time) stays float32, as autocast has it.
    """
    forward: Forward = net.forward
    if mode == "fast":
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(torch.bfloat16)

    def run(*inputs: Tensor | None) -> Tensor:
        with precision(kind, mode):
            return forward(*inputs)

    return run


def precision(kind: str, mode: CudaMode) -> AbstractContextManager[object]:
    """The context in which a mode computes. Autocast keeps no copies of weights: within a graph they would be stale."""
    if mode == "strict":
        return nullcontext()
    return torch.autocast(kind, dtype=torch.bfloat16, cache_enabled=False)


def settle_kernels(mode: CudaMode, environ: MutableMapping[str, str] = os.environ) -> None:
    """Fix, for the whole process and before its first call on a GPU, what picks kernels: never a stopwatch."""
    torch.backends.cudnn.benchmark = False
    if mode == "strict":
        environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may pick by the stream it runs on
        torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = mode == "fast"
