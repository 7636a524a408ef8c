"""The diffusion prior's network: a causal transformer from caption to CLIP image embedding (DALL·E 2, §2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.nets.embeddings import TimestepMLP, sinusoidal


@dataclass(frozen=True)
class PriorConfig:
    """Shape of a `PriorTransformer`; field names are diffusers'."""

    embedding_dim: int
    num_attention_heads: int
    attention_head_dim: int
    num_layers: int
    num_embeddings: int
    additional_embeddings: int = 4

    @property
    def inner_dim(self) -> int:
        """Width of the residual stream."""
        return self.num_attention_heads * self.attention_head_dim


class PriorTransformer(nn.Module):
    """Predicts the unnoised z_i from [caption tokens, z_t, timestep, noised z_i, learned query], attending causally.

    `clip_mean` and `clip_std` carry the normalisation in which z_i is diffused; `denormalise` undoes it.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        inner, dim = config.inner_dim, config.embedding_dim
        length = config.num_embeddings + config.additional_embeddings
        self.time_embedding = TimestepMLP(inner, inner)
        self.proj_in = nn.Linear(dim, inner)
        self.embedding_proj = nn.Linear(dim, inner)
        self.encoder_hidden_states_proj = nn.Linear(dim, inner)
        self.positional_embedding = nn.Parameter(torch.zeros(1, length, inner))
        self.prd_embedding = nn.Parameter(torch.zeros(1, 1, inner))
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(inner, config.num_attention_heads) for _ in range(config.num_layers)
        )
        self.norm_out = nn.LayerNorm(inner)
        self.proj_to_clip_embeddings = nn.Linear(inner, dim)
        self.clip_mean = nn.Parameter(torch.zeros(1, dim), requires_grad=False)
        self.clip_std = nn.Parameter(torch.ones(1, dim), requires_grad=False)

    def forward(self, z_t: Tensor, timesteps: Tensor, text_embeds: Tensor, text_tokens: Tensor, text_mask: Tensor) -> Tensor:
        """Predict the normalised x_0.

        z_t: (B, D) noised z_i. timesteps: (B,). text_embeds: (B, D). text_tokens: (B, L, D), L at most `num_embeddings`:
        padding that no row needs may be left off. text_mask: (B, L) bool, True = token. Returns (B, D).
        """
        time = self.time_embedding(sinusoidal(timesteps, self.config.inner_dim).to(z_t.dtype))
        parts = [
            self.encoder_hidden_states_proj(text_tokens),
            self.embedding_proj(text_embeds)[:, None],
            time[:, None],
            self.proj_in(z_t)[:, None],
            self.prd_embedding.to(z_t.dtype).expand(len(z_t), -1, -1),
        ]
        positions = self.positional_embedding.to(z_t.dtype)
        text, own = positions[:, : text_tokens.shape[1]], positions[:, self.config.num_embeddings :]
        hidden = torch.cat(parts, dim=1) + torch.cat([text, own], dim=1)  # (B, L + 4, inner)
        visible = self.visible(text_mask)
        for block in self.transformer_blocks:
            hidden = block(hidden, visible)
        predicted: Tensor = self.proj_to_clip_embeddings(self.norm_out(hidden[:, -1]))
        return predicted

    def visible(self, text_mask: Tensor) -> Tensor:
        """Which positions each position may see: itself and earlier ones that are not padding. (B, 1, S, S) bool."""
        extra = text_mask.new_ones(len(text_mask), self.config.additional_embeddings)
        keys = torch.cat([text_mask, extra], dim=1)  # (B, S)
        length = keys.shape[1]
        diagonal = torch.eye(length, dtype=torch.bool, device=keys.device)
        causal = torch.ones(length, length, dtype=torch.bool, device=keys.device).tril()
        # A padded first position would see nothing and turn into NaN; it may see itself, and nobody else sees it.
        return ((keys[:, None, :] & causal) | diagonal)[:, None]

    def normalise(self, z_i: Tensor) -> Tensor:
        """z_i (B, D) as CLIP gives it, to the space that is diffused."""
        return (z_i - self.clip_mean) / self.clip_std

    def denormalise(self, z: Tensor) -> Tensor:
        """The diffused space (B, D) back to z_i as CLIP gives it."""
        return z * self.clip_std + self.clip_mean


@dataclass(frozen=True)
class Past:
    """What one attention layer has met in earlier calls, for a net that reads on where it stopped.

    kept: (B, 2, heads, S, dim / heads), keys and values by position. at: (B, N) int64, the positions of this call's.
    """

    kept: Tensor
    at: Tensor

    def extended(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep this call's keys and values too, each (B, heads, N, dim / heads). Returns all S of both."""
        places = self.at[:, None, :, None].expand_as(keys)
        return self.kept[:, 0].scatter_(2, places, keys), self.kept[:, 1].scatter_(2, places, values)


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and a GELU feed-forward, four times as wide."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn1 = SelfAttention(dim, heads)
        self.norm3 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim)

    def forward(self, hidden: Tensor, visible: Tensor, past: Past | None = None) -> Tensor:
        """hidden: (B, N, dim). visible: (B, 1, N, S) bool, S being N unless there is a past."""
        hidden = hidden + self.attn1(self.norm1(hidden), visible, past)
        out: Tensor = hidden + self.ff(self.norm3(hidden))
        return out


class SelfAttention(nn.Module):
    """Multi-head self-attention with biases throughout."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])

    def forward(self, hidden: Tensor, visible: Tensor, past: Past | None = None) -> Tensor:
        """hidden: (B, N, dim). visible: (B, 1, N, S) bool, S being N unless there is a past."""
        q, k, v = (
            project(hidden).reshape(*hidden.shape[:2], self.heads, -1).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )  # each (B, heads, N, dim / heads)
        if past is not None:
            k, v = past.extended(k, v)
        attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        merged: Tensor = self.to_out[0](attended.transpose(1, 2).flatten(2))
        return merged


class FeedForward(nn.Module):
    """Linear, GELU, linear; `net` keeps diffusers' indices 0 and 2."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GELUProjection(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim)])

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden: (..., dim)."""
        for layer in self.net:
            hidden = layer(hidden)
        return hidden


class GELUProjection(nn.Module):
    """A linear layer followed by the exact GELU."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_dim, out_dim)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden: (..., in_dim). Returns (..., out_dim)."""
        return nn.functional.gelu(self.proj(hidden))
