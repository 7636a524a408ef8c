"""3 × 3 convolutions by Winograd's minimal filtering, F(4 × 4, 3 × 3), for training in float32 on a CPU (Lavin and Gray 2016).

A tile of 4 × 4 outputs takes 36 multiplications for each pair of channels instead of 144. Where a CPU has no bfloat16,
convolutions are four fifths of a decoder's step, and torch computes them directly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TILE, SPAN, KERNEL = 4, 6, 3
"""Sides of a tile of outputs, of the inputs that it needs, and of the kernel."""

CHUNK = 200_000
"""Numbers of the wider of input and output that are worked on at once, so that what is made of them stays in the cache."""

# Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A (Lavin and Gray 2016, §4.1). A tile is a column here, so the Kronecker product of each matrix
# with itself transforms it, and ⊙, summed over channels, is a product of matrices for each of the 36 places.
B_T = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
G = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))  # times 24
A_T = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def _squared(rows: tuple[tuple[int, ...], ...], scale: int = 1) -> Tensor:
    matrix = torch.tensor(rows, dtype=torch.float64) / scale
    return torch.kron(matrix, matrix).float()


class _Winograd(torch.autograd.Function):
    """The convolution of (B, C, H, W), H and W multiples of four, with (O, C, 3, 3) at padding 1. Returns (B, O, H, W).

    U: (36, C, O), the kernels transformed. Chunk by chunk V: (36, tiles, C), the inputs, and M: (36, tiles, O), the products.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, is_learned: bool) -> Tensor:
        pixels = x.permute(0, 2, 3, 1).contiguous()
        kept: list[Tensor] = []
        y = _convolve(pixels, weight, kept if is_learned else None)
        ctx.save_for_backward(weight, *kept)
        return y.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, None]:
        weight, *kept = ctx.saved_tensors
        out, channels = weight.shape[:2]
        pixels = dy.permute(0, 2, 3, 1).contiguous()
        g_t, a = _squared(G, 24).T, _squared(A_T).T
        dU = pixels.new_zeros(SPAN**2, channels, out)
        for here, V in zip(torch.split(pixels, _rows(pixels, weight)), kept, strict=True):
            dM = (a @ _tiles(here).reshape(TILE**2, -1)).view(SPAN**2, -1, out)
            dU.baddbmm_(V.transpose(1, 2), dM)
        d_weight = (g_t @ dU.view(SPAN**2, -1)).view(KERNEL, KERNEL, channels, out).permute(3, 2, 0, 1)
        if not ctx.needs_input_grad[0]:
            return None, d_weight, None
        # By the turned kernels, a convolution again: the transpose of overlapping spans would be 36 additions of a tile's rows.
        return _convolve(pixels, weight.flip(2, 3).transpose(0, 1)).permute(0, 3, 1, 2), d_weight, None


def _convolve(pixels: Tensor, weight: Tensor, kept: list[Tensor] | None = None) -> Tensor:
    """(B, H, W, C) with (O, C, 3, 3) → (B, H, W, O). kept: where each chunk's V goes, if anywhere."""
    batch, height, width, channels = pixels.shape
    out = len(weight)
    b_t, g, a_t = _squared(B_T), _squared(G, 24), _squared(A_T)
    U = (g @ weight.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)).view(SPAN**2, channels, out)
    y, rows = pixels.new_empty(batch, height, width, out), _rows(pixels, weight)
    for here, there in zip(torch.split(pixels, rows), torch.split(y, rows), strict=True):
        V = (b_t @ _spans(here).reshape(SPAN**2, -1)).view(SPAN**2, -1, channels)
        M = torch.bmm(V, U)
        _tiles(there).copy_((a_t @ M.view(SPAN**2, -1)).view(_tiles(there).shape))
        if kept is not None:
            kept.append(V)
    return y


def _rows(pixels: Tensor, weight: Tensor) -> int:
    """How many pictures are worked on at once."""
    return max(1, CHUNK // (pixels.shape[1] * pixels.shape[2] * max(weight.shape[:2])))


def _tiles(pixels: Tensor) -> Tensor:
    """A view of (B, H, W, C) as (4, 4, B, H / 4, W / 4, C): a pixel's place in its tile, then the tile."""
    batch, height, width, channels = pixels.shape
    return pixels.view(batch, height // TILE, TILE, width // TILE, TILE, channels).permute(2, 4, 0, 1, 3, 5)


def _spans(pixels: Tensor) -> Tensor:
    """(B, H, W, C), with a margin of zeros, as (6, 6, B, H / 4, W / 4, C): what each tile needs, neighbours' overlapping."""
    padded = nn.functional.pad(pixels, (0, 0, 1, 1, 1, 1))
    return padded.unfold(1, SPAN, TILE).unfold(2, SPAN, TILE).permute(4, 5, 0, 1, 2, 3)


class WinogradConv2d(nn.Conv2d):
    """A 3 × 3 convolution with padding 1 in float32 for pictures whose sides are multiples of four; else direct."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, O, H, W), channels-last."""
        is_other = x.dtype != torch.float32 or torch.is_autocast_enabled(x.device.type)
        if is_other or x.shape[2] % TILE or x.shape[3] % TILE:
            return super().forward(x)
        y: Tensor = _Winograd.apply(x, self.weight, torch.is_grad_enabled())
        return y if self.bias is None else y + self.bias[:, None, None]


def use_winograd(net: nn.Module) -> None:
    """Put `WinogradConv2d` in place of every convolution of the net that it fits; parameters and their names stay."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Conv2d and _fits(child):
                module.register_module(name, _like(child))


def _fits(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode)
    return shape == ((KERNEL, KERNEL), (1, 1), (1, 1), (1, 1), 1, "zeros")


def _like(conv: nn.Conv2d) -> WinogradConv2d:
    new = WinogradConv2d(conv.in_channels, conv.out_channels, KERNEL, padding=1, bias=conv.bias is not None, device="meta")
    new.weight, new.bias = conv.weight, conv.bias
    return new
