"""A whole cascade with chance weights, small enough that a test draws a picture in a tenth of a second."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from models.checkpoint import load_part, save_part, write_manifest
from models.clip.text import TextNet
from models.nets.configs import prior_ar_json, prior_json, text_proj_json, unet_config, unet_json
from models.nets.prior import PriorConfig, PriorTransformer
from models.nets.prior_ar import PriorAR, PriorARConfig
from models.nets.text_proj import TextProjConfig, TextProjection
from models.nets.unet import UNet, UNetConfig
from models.nets.vit import VisionConfig, VisionTransformer
from models.nets.widen import widen_conv_in

DIM, CONTEXT_LENGTH = 16, 12
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
DEFAULTS = {"steps": 3, "guidance_scale": 2.0, "prior_steps": 2, "prior_guidance_scale": 2.0, "upsample_steps": 2}


def write_tiny_model(folder: Path, *, seed: int = 0) -> Path:
    """Write a model folder that `Cascade.load` and `read_model_info` take; same seed, same weights. Returns the folder."""
    torch.manual_seed(seed)
    _write_text(folder)
    _write_nets(folder)
    _write_image_tower(folder)
    shared = {"_class_name": "UnCLIPScheduler", "num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}
    schedulers = {
        "prior_scheduler": {"prediction_type": "sample", "sampler": "dpm_solver_2m", "clip_sample": False},
        "decoder_scheduler": {"prediction_type": "v_prediction", "sampler": "dpm_solver_2m", "clip_sample": True},
        "super_res_scheduler": {
            "prediction_type": "v_prediction", "sampler": "dpm_solver_2m", "clip_sample": True, "augmentation_level": 50
        },
    }  # fmt: skip
    for name, values in schedulers.items():
        _write_json(folder / name / "scheduler_config.json", shared | values)
    about = {
        "format_version": 1, "name": "tiny", "created": 1795305600, "native_sizes": [64, 256],
        "stages": ["prior", "decoder", "upsample_256"], "max_prompt_tokens": CONTEXT_LENGTH, "defaults": DEFAULTS,
    }  # fmt: skip
    _write_json(folder / "model_index.json", {"_class_name": "UnCLIPPipeline", "unclip": about})
    write_manifest(folder)
    return folder


def add_second_upsampler(folder: Path, steps: int) -> Path:
    """Give a model folder the 256 → 1024 stage, with a net for `steps` steps. Returns the folder."""
    torch.manual_seed(1)
    net = UNet(
        UNetConfig(
            in_channels=10, out_channels=3, block_out_channels=(8, 8), layers_per_block=1, attention=(False, False),
            mid_attention=False, attention_head_dim=0, cross_attention_dim=0, class_embed_type=None,
            norm_num_groups=4, patch_size=16, residual=True,
        )
    )  # fmt: skip
    save_part(folder / "super_res_second", unet_json(net.config), net.state_dict())
    scheduler = {
        "_class_name": "UnCLIPScheduler", "num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "sample", "sampler": "dpm_solver_2m", "clip_sample": True, "steps": steps,
    }  # fmt: skip
    _write_json(folder / "super_res_second_scheduler" / "scheduler_config.json", scheduler)
    index = json.loads((folder / "model_index.json").read_text())
    index["unclip"] |= {"native_sizes": [64, 256, 1024], "stages": [*index["unclip"]["stages"], "upsample_1024"]}
    _write_json(folder / "model_index.json", index)
    write_manifest(folder)
    return folder


def add_inpainting(folder: Path) -> Path:
    """Give the decoder and the upsampler of a model folder channels for a picture and a mask, that do something. Returns it."""
    torch.manual_seed(2)
    for part in ("decoder", "super_res_first"):
        config, tensors = load_part(folder / part)
        net = UNet(unet_config(config, part))
        net.load_state_dict(tensors)
        old = net.conv_in.in_channels
        widen_conv_in(net, net.config.in_channels + 4)
        torch.nn.init.normal_(net.conv_in.weight[:, old:], std=0.05)
        save_part(folder / part, unet_json(net.config), net.state_dict())
    write_manifest(folder)
    return folder


def tiny_prior_ar(*, seed: int = 0, length: int = CONTEXT_LENGTH) -> PriorAR:
    """An autoregressive prior of six codes, with chance weights that make its logits differ."""
    torch.manual_seed(seed)
    net = PriorAR(PriorARConfig(DIM, 2, 8, 2, length, components=6, buckets=8, dot_buckets=4))
    for parameter in net.parameters():
        if parameter.requires_grad and parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.7)
    return net.eval()


def add_prior_ar(folder: Path, **drawing: float) -> Path:
    """Give a model folder the autoregressive prior. drawing: temperature, top_p. Returns the folder."""
    net = tiny_prior_ar()
    save_part(folder / "prior_ar", prior_ar_json(net.config) | drawing, net.state_dict())
    index = json.loads((folder / "model_index.json").read_text())
    index["unclip"]["priors"] = ["diffusion", "autoregressive"]
    _write_json(folder / "model_index.json", index)
    write_manifest(folder)
    return folder


def _write_text(folder: Path) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    (folder / "tokenizer").mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    config = {
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "hidden_size": DIM,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 16,
        "embedding_dim": DIM,
        "context_length": CONTEXT_LENGTH,
    }
    save_part(folder / "text_encoder", config, TextNet(config).state_dict(), storage="int8_rows")


def _write_image_tower(folder: Path) -> None:
    vision = {"image_size": 64, "patch_size": 32, "width": 16, "layers": 1, "head_width": 8}
    net = VisionTransformer(VisionConfig.of_json(DIM, vision))
    for parameter in net.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    save_part(folder / "image_encoder", {"embedding_dim": DIM, "vision_cfg": vision}, net.state_dict())


def _write_nets(folder: Path) -> None:
    prior = PriorTransformer(PriorConfig(DIM, 2, 8, 1, CONTEXT_LENGTH))
    decoder = UNet(
        UNetConfig(
            in_channels=3, out_channels=3, block_out_channels=(8, 16), layers_per_block=1, attention=(False, True),
            mid_attention=True, attention_head_dim=8, cross_attention_dim=DIM, class_embed_type="identity",
            norm_num_groups=4, patch_size=4,
        )
    )  # fmt: skip
    upsampler = UNet(
        UNetConfig(
            in_channels=6, out_channels=3, block_out_channels=(8, 8), layers_per_block=1, attention=(False, False),
            mid_attention=False, attention_head_dim=0, cross_attention_dim=0, class_embed_type="timestep",
            norm_num_groups=4, patch_size=8,
        )
    )  # fmt: skip
    text_proj = TextProjection(TextProjConfig(DIM, decoder.config.time_embed_dim, DIM))
    save_part(folder / "prior", prior_json(prior.config), prior.state_dict())
    save_part(folder / "decoder", unet_json(decoder.config), decoder.state_dict())
    save_part(folder / "super_res_first", unet_json(upsampler.config), upsampler.state_dict())
    save_part(folder / "text_proj", text_proj_json(text_proj.config), text_proj.state_dict())


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
