"""How z_i and the caption enter the decoder (DALL·E 2, §2.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TextProjConfig:
    """Shape of a `TextProjection`; field names are diffusers'."""

    clip_embeddings_dim: int
    time_embed_dim: int
    cross_attention_dim: int
    clip_extra_context_tokens: int = 4


class TextProjection(nn.Module):
    """Projects z_i into the timestep embedding and into four context tokens, put before the caption's tokens.

    A dropped z_i is the learned embedding `learned_classifier_free_guidance_embeddings`.
    """

    def __init__(self, config: TextProjConfig) -> None:
        super().__init__()
        self.config = config
        clip, time, cross = config.clip_embeddings_dim, config.time_embed_dim, config.cross_attention_dim
        self.learned_classifier_free_guidance_embeddings = nn.Parameter(torch.zeros(clip))
        self.embedding_proj = nn.Linear(clip, time)
        self.clip_image_embeddings_project_to_time_embeddings = nn.Linear(clip, time)
        self.clip_extra_context_tokens_proj = nn.Linear(clip, config.clip_extra_context_tokens * cross)
        self.encoder_hidden_states_proj = nn.Linear(clip, cross)
        self.text_encoder_hidden_states_norm = nn.LayerNorm(cross)

    def forward(self, z_i: Tensor, text_embeds: Tensor, text_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Project one conditioning per row.

        z_i, text_embeds: (B, clip). text_tokens: (B, L, clip).
        Returns the addition to the timestep embedding (B, time) and the context (B, 4 + L, cross).
        """
        in_time = self.embedding_proj(text_embeds) + self.clip_image_embeddings_project_to_time_embeddings(z_i)
        # diffusers lays the projection out channel-major: (B, cross, 4).
        extra = self.clip_extra_context_tokens_proj(z_i).reshape(len(z_i), -1, self.config.clip_extra_context_tokens).mT
        text = self.text_encoder_hidden_states_norm(self.encoder_hidden_states_proj(text_tokens))
        return in_time, torch.cat([extra, text], dim=1)

    def without_image(self, rows: int) -> Tensor:
        """The learned stand-in for a dropped z_i, (rows, clip)."""
        return self.learned_classifier_free_guidance_embeddings.expand(rows, -1)
