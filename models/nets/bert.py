"""BERT's encoder (Devlin et al. 2018), with transformers' parameter names; the frozen sentence tower of CLIP is one.

Ours, because transformers' own pulls torch.distributed and torch._dynamo into the process: seconds of every worker's start for
six layers. A test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from models.errors import CheckpointError


@dataclass(frozen=True)
class BertConfig:
    """Shape of a `Bert`; field names are transformers'."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    @classmethod
    def of_json(cls, config: Mapping[str, Any]) -> BertConfig:
        """Read a transformers config; what this net does not do is refused. Raises CheckpointError."""
        for key, wanted in {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}.items():
            if config.get(key, wanted) != wanted:
                raise CheckpointError(f"text_encoder: {key} is {config[key]!r}; only {wanted!r} is supported")
        try:
            return cls(**{field.name: config[field.name] for field in fields(cls) if field.name in config})
        except TypeError as error:
            raise CheckpointError(f"text_encoder: config.json lacks a field: {error}") from error


class Bert(nn.Module):
    """Token ids to token states, attending both ways."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))})

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids: (B, L) int64. mask: (B, L) bool, True = token. Returns (B, L, hidden_size)."""
        states: Tensor = self.embeddings(ids)
        visible = mask[:, None, None]  # (B, 1, 1, L)
        for layer in self.encoder["layer"].children():
            states = layer(states, visible)
        return states


class BertEmbeddings(nn.Module):
    """Word, position and type (always the first) embeddings, summed and normed."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (B, L). Returns (B, L, hidden_size)."""
        positions = self.position_embeddings.weight[: ids.shape[1]]
        embedded: Tensor = self.LayerNorm(self.word_embeddings(ids) + positions + self.token_type_embeddings.weight[0])
        return embedded


class BertLayer(nn.Module):
    """Post-norm self-attention and feed-forward."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.heads = config.num_attention_heads
        projections = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": projections, "output": DenseNorm(width, width, eps)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, config.intermediate_size)})
        self.output = DenseNorm(config.intermediate_size, width, eps)

    def forward(self, states: Tensor, visible: Tensor) -> Tensor:
        """states: (B, L, width). visible: (B, 1, 1, L) bool."""
        q, k, v = (
            project(states).reshape(*states.shape[:2], self.heads, -1).transpose(1, 2)
            for project in self.attention["self"].children()
        )  # each (B, heads, L, width / heads)
        attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        states = self.attention["output"](attended.transpose(1, 2).flatten(2), states)
        widened = nn.functional.gelu(self.intermediate["dense"](states))
        out: Tensor = self.output(widened, states)
        return out


class DenseNorm(nn.Module):
    """A linear layer, the residual, and the norm after both."""

    def __init__(self, in_dim: int, out_dim: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(in_dim, out_dim)
        self.LayerNorm = nn.LayerNorm(out_dim, eps=eps)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """hidden: (..., in_dim). residual: (..., out_dim)."""
        normed: Tensor = self.LayerNorm(self.dense(hidden) + residual)
        return normed


def sentence_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the states of real tokens. states: (B, L, W). mask: (B, L) bool. Returns (B, W)."""
    weights = mask[..., None].to(states.dtype)
    mean: Tensor = (states * weights).sum(1) / weights.sum(1)
    return mean
