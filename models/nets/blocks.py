"""The parts of an ADM UNet: scale-shift residual blocks, attention with added text keys (Dhariwal and Nichol 2021; GLIDE)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class ResnetBlock(nn.Module):
    """A residual block whose second norm is scaled and shifted by the timestep embedding; may halve or double resolution."""

    def __init__(self, in_channels: int, out_channels: int, time_dim: int, groups: int, resample: str | None = None) -> None:
        super().__init__()
        self.resample = resample
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=EPSILON)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_dim, 2 * out_channels)
        self.norm2 = nn.GroupNorm(groups, out_channels, eps=EPSILON)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x: (B, in, H, W). time: (B, time_dim). Returns (B, out, H', W'); H' is H, H / 2 or 2 H."""
        hidden = self._resampled(nn.functional.silu(self.norm1(x)))
        shortcut = self._resampled(x)
        hidden = self.conv1(hidden)
        scale, shift = self.time_emb_proj(nn.functional.silu(time))[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm2(hidden) * (1 + scale) + shift
        hidden = self.conv2(nn.functional.silu(hidden))
        out: Tensor = hidden + (shortcut if self.conv_shortcut is None else self.conv_shortcut(shortcut))
        return out

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return nn.functional.avg_pool2d(x, 2)
        if self.resample == "up":
            return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return x


class AddedKVAttention(nn.Module):
    """Self-attention over pixels whose keys and values are preceded by those of the context tokens (Nichol et al. 2021)."""

    def __init__(self, channels: int, head_dim: int, context_dim: int, groups: int) -> None:
        super().__init__()
        self.heads = channels // head_dim
        self.group_norm = nn.GroupNorm(groups, channels, eps=EPSILON)
        self.to_q, self.to_k, self.to_v = (
            nn.Linear(channels, channels),
            nn.Linear(channels, channels),
            nn.Linear(channels, channels),
        )
        self.add_k_proj, self.add_v_proj = nn.Linear(context_dim, channels), nn.Linear(context_dim, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor, context: Tensor, context_mask: Tensor) -> Tensor:
        """x: (B, C, H, W). context: (B, L, context_dim). context_mask: (B, L) bool, True = attend. Returns (B, C, H, W)."""
        pixels = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, H W, C)
        q = self._heads(self.to_q(pixels))
        k = self._heads(torch.cat([self.add_k_proj(context), self.to_k(pixels)], dim=1))
        v = self._heads(torch.cat([self.add_v_proj(context), self.to_v(pixels)], dim=1))
        mask = nn.functional.pad(context_mask, (0, pixels.shape[1]), value=True)[:, None, None]  # (B, 1, 1, L + H W)
        attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        merged: Tensor = self.to_out[0](attended.transpose(1, 2).flatten(2))
        return x + merged.transpose(1, 2).reshape(x.shape)

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (B, heads, S, head_dim)
