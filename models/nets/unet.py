"""One ADM/GLIDE UNet for the decoder and the upsamplers, with diffusers' parameter names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.nets.blocks import EPSILON, AddedKVAttention, ResnetBlock
from models.nets.embeddings import TimestepMLP, sinusoidal


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a `UNet`.

    in_channels and out_channels count picture channels, before pixel-unshuffle. attention: per level, from high to low
    resolution. class_embed_type: "identity" adds a ready vector to the timestep embedding (the decoder's z_i), "timestep"
    embeds a number (an upsampler's augmentation level), None neither. patch_size: pixel-unshuffle factor, 1 for ADM proper.
    residual: input channels 3 to 5, an upsampler's enlarged picture, are added to the output; the net learns what they lack.
    """

    in_channels: int
    out_channels: int
    block_out_channels: tuple[int, ...]
    layers_per_block: int
    attention: tuple[bool, ...]
    mid_attention: bool
    attention_head_dim: int
    cross_attention_dim: int
    class_embed_type: str | None
    norm_num_groups: int = 32
    patch_size: int = 1
    residual: bool = False

    @property
    def time_embed_dim(self) -> int:
        """Width of the timestep embedding."""
        return 4 * self.block_out_channels[0]


class UNet(nn.Module):
    """Noise (or x_0, or v) from a noisy picture, its timestep and its conditioning."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        channels, patch = config.block_out_channels, config.patch_size**2
        time_dim = config.time_embed_dim
        self.conv_in = nn.Conv2d(config.in_channels * patch, channels[0], 3, padding=1)
        self.time_embedding = TimestepMLP(channels[0], time_dim)
        if config.class_embed_type == "timestep":
            self.class_embedding = TimestepMLP(channels[0], time_dim)
        last = len(channels) - 1
        self.down_blocks = nn.ModuleList(
            DownBlock(config, channels[max(level - 1, 0)], level, resample=level < last) for level in range(last + 1)
        )
        self.mid_block = MidBlock(config)
        self.up_blocks = nn.ModuleList(UpBlock(config, level, resample=level > 0) for level in range(last, -1, -1))
        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, channels[0], eps=EPSILON)
        self.conv_out = nn.Conv2d(channels[0], config.out_channels * patch, 3, padding=1)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        in_time: Tensor | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """Predict for every row at its own timestep.

        x: (B, in, H, W). timesteps: (B,), in training steps. in_time: (B, time_embed_dim) for "identity", (B,) levels for
        "timestep". context: (B, L, cross_attention_dim), context_mask: (B, L) bool; needed where there is attention.
        Returns (B, out, H, W).
        """
        time = self._time(timesteps, in_time, x.dtype)
        hidden = self.conv_in(nn.functional.pixel_unshuffle(x, self.config.patch_size))
        skips = [hidden]
        for down in self.down_blocks:
            hidden = down(hidden, time, context, context_mask, skips)
        hidden = self.mid_block(hidden, time, context, context_mask)
        for up in self.up_blocks:
            hidden = up(hidden, time, context, context_mask, skips)
        hidden = self.conv_out(nn.functional.silu(self.conv_norm_out(hidden)))
        out: Tensor = nn.functional.pixel_shuffle(hidden, self.config.patch_size)
        return out + x[:, 3:6] if self.config.residual else out

    def _time(self, timesteps: Tensor, in_time: Tensor | None, dtype: torch.dtype) -> Tensor:
        width = self.config.block_out_channels[0]
        time: Tensor = self.time_embedding(sinusoidal(timesteps, width).to(dtype))
        if self.config.class_embed_type is None:
            return time
        if in_time is None:
            raise ValueError(f"a UNet with class_embed_type={self.config.class_embed_type!r} needs in_time")
        if self.config.class_embed_type == "timestep":
            in_time = self.class_embedding(sinusoidal(in_time, width).to(dtype))
        return time + in_time


class _Attentive(nn.Module):
    """Residual blocks, each followed by attention where the level has it."""

    resnets: nn.ModuleList
    attentions: nn.ModuleList

    def _layer(self, index: int, x: Tensor, time: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor:
        hidden: Tensor = self.resnets[index](x, time)
        return self.attentions[index](hidden, context, mask) if index < len(self.attentions) else hidden


def _attentions(config: UNetConfig, channels: int, count: int) -> nn.ModuleList:
    head, cross, groups = config.attention_head_dim, config.cross_attention_dim, config.norm_num_groups
    return nn.ModuleList(AddedKVAttention(channels, head, cross, groups) for _ in range(count))


class DownBlock(_Attentive):
    """One level on the way down; every hidden state is kept for the way up."""

    def __init__(self, config: UNetConfig, in_channels: int, level: int, *, resample: bool) -> None:
        super().__init__()
        out, time_dim, groups = config.block_out_channels[level], config.time_embed_dim, config.norm_num_groups
        self.resnets = nn.ModuleList(
            ResnetBlock(in_channels if layer == 0 else out, out, time_dim, groups) for layer in range(config.layers_per_block)
        )
        self.attentions = _attentions(config, out, config.layers_per_block if config.attention[level] else 0)
        self.downsamplers = nn.ModuleList([ResnetBlock(out, out, time_dim, groups, "down")] if resample else [])

    def forward(self, x: Tensor, time: Tensor, context: Tensor | None, mask: Tensor | None, skips: list[Tensor]) -> Tensor:
        """Appends its hidden states to `skips` and returns the last."""
        for index in range(len(self.resnets)):
            x = self._layer(index, x, time, context, mask)
            skips.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x, time)
            skips.append(x)
        return x


class MidBlock(_Attentive):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        channels, time_dim, groups = config.block_out_channels[-1], config.time_embed_dim, config.norm_num_groups
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, time_dim, groups) for _ in range(2))
        self.attentions = _attentions(config, channels, 1 if config.mid_attention else 0)

    def forward(self, x: Tensor, time: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor:
        """x: (B, C, H, W) at the lowest resolution."""
        return self._layer(1, self._layer(0, x, time, context, mask), time, context, mask)


class UpBlock(_Attentive):
    """One level on the way up; takes the kept hidden states back, last first."""

    def __init__(self, config: UNetConfig, level: int, *, resample: bool) -> None:
        super().__init__()
        channels = config.block_out_channels
        out, time_dim, groups = channels[level], config.time_embed_dim, config.norm_num_groups
        below = channels[min(level + 1, len(channels) - 1)]  # what arrives from the level below
        above = channels[max(level - 1, 0)]  # the last skip was made by the level above's downsampler
        layers = config.layers_per_block + 1
        self.resnets = nn.ModuleList(
            ResnetBlock((below if layer == 0 else out) + (above if layer == layers - 1 else out), out, time_dim, groups)
            for layer in range(layers)
        )
        self.attentions = _attentions(config, out, layers if config.attention[level] else 0)
        self.upsamplers = nn.ModuleList([ResnetBlock(out, out, time_dim, groups, "up")] if resample else [])

    def forward(self, x: Tensor, time: Tensor, context: Tensor | None, mask: Tensor | None, skips: list[Tensor]) -> Tensor:
        """Pops its hidden states off `skips`."""
        for index in range(len(self.resnets)):
            x = self._layer(index, torch.cat([x, skips.pop()], dim=1), time, context, mask)
        for upsampler in self.upsamplers:
            x = upsampler(x, time)
        return x
