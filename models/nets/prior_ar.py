"""The autoregressive prior's network: a causal transformer from caption to the codes of z_i (DALL·E 2, §2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.clip.text import TextFeatures
from models.nets.codes import EmbeddingCodes, fixed
from models.nets.prior import Past, TransformerBlock


@dataclass(frozen=True)
class PriorARConfig:
    """Shape of a `PriorAR`. num_embeddings: caption tokens. components: how many codes a z_i has, of `buckets` values each.

    dot_buckets: values of the dot-product token.
    """

    embedding_dim: int
    num_attention_heads: int
    attention_head_dim: int
    num_layers: int
    num_embeddings: int
    components: int
    buckets: int
    dot_buckets: int

    @property
    def inner_dim(self) -> int:
        """Width of the residual stream."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def length(self) -> int:
        """Positions: the caption's, one for z_t, one for the dot product, one for each code but the last; nobody reads that."""
        return self.num_embeddings + 1 + self.components


class PriorAR(nn.Module):
    """Predicts each code of z_i from [caption tokens, z_t, quantised z_i · z_t, the codes before it], attending causally.

    The dot product and the codes are tokens of one vocabulary: codes from 0, dot products from `buckets`, and last the one that
    stands for a dropped dot product. Beyond the paper, a position is told z_t's own coordinate along the component that it
    predicts: one function for all positions, where to find it in z_t would be another one for each.
    """

    def __init__(self, config: PriorARConfig) -> None:
        super().__init__()
        self.config = config
        inner, dim = config.inner_dim, config.embedding_dim
        self.codes = EmbeddingCodes(dim, config.components, config.buckets)
        self.dot_edges = fixed(torch.linspace(-1, 1, config.dot_buckets + 1)[1:-1].clone())
        self.encoder_hidden_states_proj = nn.Linear(dim, inner)
        self.embedding_proj = nn.Linear(dim, inner)
        self.coordinate_proj = nn.Linear(1, inner)
        self.token_embedding = nn.Embedding(config.buckets + config.dot_buckets + 1, inner)
        self.positional_embedding = nn.Parameter(torch.zeros(1, config.length, inner))
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(inner, config.num_attention_heads) for _ in range(config.num_layers)
        )
        self.norm_out = nn.LayerNorm(inner)
        self.proj_to_codes = nn.Linear(inner, config.buckets)

    @property
    def no_dot(self) -> int:
        """The token in place of a dropped dot product."""
        return self.config.buckets + self.config.dot_buckets

    def dot_tokens(self, z_i: Tensor, z_t: Tensor) -> Tensor:
        """The token of each row's z_i · z_t / D. z_i, z_t: (B, D). Returns (B,) int64."""
        return self.config.buckets + torch.bucketize((z_i * z_t).mean(dim=-1), self.dot_edges)

    def high_dot(self, chance: Tensor) -> Tensor:
        """A token of the top half of the dot products seen in training. chance: (B,) in [0, 1). Returns (B,) int64."""
        lower = self.config.dot_buckets // 2
        return self.config.buckets + lower + (chance * (self.config.dot_buckets - lower)).long()

    def forward(self, text: TextFeatures, tokens: Tensor) -> Tensor:
        """Predict every code of a z_i from those before it, all at once, as training does.

        text: of B captions with at most `num_embeddings` tokens; padding that no row needs may be left off. tokens: (B, K)
        int64, the dot product and all codes but the last. Returns logits (B, K, buckets).
        """
        told = self.coordinate_proj(self.codes.coordinates(text.embeds)[..., None])
        hidden = torch.cat([self._prefix(text), self.token_embedding(tokens) + told], dim=1)
        places = torch.arange(hidden.shape[1], device=hidden.device)[None]
        visible = causal(self._seen(text, hidden.shape[1]), places)
        hidden = hidden + self._positions(text, hidden.shape[1])
        for block in self.transformer_blocks:
            hidden = block(hidden, visible)
        logits: Tensor = self.proj_to_codes(self.norm_out(hidden[:, -tokens.shape[1] :]))
        return logits

    def read(self, text: TextFeatures) -> tuple[Tensor, Tensor, Tensor]:
        """Read the captions, before the first `step`.

        Returns what the layers keep, (B, layers, 2, heads, S, head_dim), which of the S positions count, (B, S) bool, and the
        coordinates of z_t, (B, K).
        """
        config, rows = self.config, len(text.embeds)
        kept = text.embeds.new_zeros(
            rows, config.num_layers, 2, config.num_attention_heads, config.length, config.attention_head_dim
        )
        padded = nn.functional.pad(text.tokens, (0, 0, 0, config.num_embeddings - text.tokens.shape[1]))
        mask = nn.functional.pad(text.mask, (0, config.num_embeddings - text.mask.shape[1]))
        text = TextFeatures(text.embeds, padded, mask, text.truncated)
        hidden, seen = self._prefix(text), self._seen(text, config.length)
        at = torch.arange(hidden.shape[1], device=hidden.device).expand(rows, -1)
        self._on(hidden + self._positions(text, hidden.shape[1]), at, kept, seen)
        return kept, seen, self.codes.coordinates(text.embeds)

    def step(self, tokens: Tensor, number: Tensor, kept: Tensor, seen: Tensor, coordinates: Tensor) -> Tensor:
        """Read one token more and predict the code after it; rows may stand at different codes.

        tokens: (B,) int64, the dot product or the last code. number: (B,) int64, of the code to predict, from 0. kept, seen,
        coordinates: as `read` gave them; `kept` is added to. Returns logits (B, buckets).
        """
        at = self.config.num_embeddings + 1 + number[:, None]
        told = self.coordinate_proj(coordinates.gather(1, number[:, None])[..., None])
        hidden = self.token_embedding(tokens[:, None]) + told + self.positional_embedding[0, at]
        logits: Tensor = self.proj_to_codes(self.norm_out(self._on(hidden, at, kept, seen)[:, 0]))
        return logits

    def _on(self, hidden: Tensor, at: Tensor, kept: Tensor, seen: Tensor) -> Tensor:
        visible = causal(seen, at)
        for layer, block in enumerate(self.transformer_blocks):
            hidden = block(hidden, visible, Past(kept[:, layer], at))
        return hidden

    def _prefix(self, text: TextFeatures) -> Tensor:
        return torch.cat([self.encoder_hidden_states_proj(text.tokens), self.embedding_proj(text.embeds)[:, None]], dim=1)

    def _positions(self, text: TextFeatures, length: int) -> Tensor:
        """(1, length, inner): the caption's first ones, and from z_t on those behind the longest caption."""
        caption, positions = text.tokens.shape[1], self.positional_embedding
        rest = positions[:, self.config.num_embeddings : self.config.num_embeddings + length - caption]
        return torch.cat([positions[:, :caption], rest], dim=1)

    def _seen(self, text: TextFeatures, length: int) -> Tensor:
        return nn.functional.pad(text.mask, (0, length - text.mask.shape[1]), value=True)


def causal(seen: Tensor, at: Tensor) -> Tensor:
    """Which of S positions N others may see: themselves, and earlier ones that count. (B, 1, N, S) bool.

    seen: (B, S) bool. at: (B or 1, N) int64, positions of the N.
    """
    positions = torch.arange(seen.shape[1], device=seen.device)
    earlier, own = positions <= at[..., None], positions == at[..., None]
    # A padded position would see nothing and turn into NaN; it may see itself, and nobody else sees it.
    return ((seen[:, None] & earlier) | own)[:, None]
