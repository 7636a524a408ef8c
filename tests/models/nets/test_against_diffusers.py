"""Our nets against diffusers' on small random Karlo-shaped configs: the same parameter names, the same outputs."""

import pytest
import torch
from diffusers import PriorTransformer, UNet2DConditionModel, UNet2DModel
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

from models.checkpoint import load_strict
from models.nets.prior import PriorConfig
from models.nets.prior import PriorTransformer as OurPrior
from models.nets.text_proj import TextProjConfig, TextProjection
from models.nets.unet import UNet, UNetConfig

TOLERANCE = 1e-5
CHANNELS = (32, 64, 96, 128)  # Karlo: 320, 640, 960, 1280


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def numbers(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomised(reference):
    """Every parameter drawn anew, so that none is left at a zero or a one that would hide it."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in reference.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        is_gain = "norm" in name and name.endswith("weight")
        parameter.copy_(1 + 0.1 * drawn if is_gain else drawn / max(parameter[0].numel(), 16) ** 0.5)
    return reference.eval()


def ours_with_weights_of(reference, net):
    load_strict(net, reference.state_dict(), "reference")
    return net.eval()


def assert_equal_outputs(mine, expected):
    assert mine.shape == expected.shape
    assert expected.std() > 0.1  # not equal for want of anything to compare
    assert (mine - expected).abs().max() <= TOLERANCE


def test_prior_equals_prior_transformer():
    shape = {"embedding_dim": 24, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 3, "num_embeddings": 11}
    reference = randomised(PriorTransformer(**shape, additional_embeddings=4, dropout=0.0))
    net = ours_with_weights_of(reference, OurPrior(PriorConfig(**shape)))
    z_t, timesteps, text, tokens = numbers(3, 4, 24), torch.tensor([999, 500, 1, 0]), numbers(4, 4, 24), numbers(5, 4, 11, 24)
    lengths = torch.tensor([11, 5, 2, 1])
    mask = torch.arange(11)[None] < lengths[:, None]
    expected = reference(z_t, timesteps, text, tokens, attention_mask=mask).predicted_image_embedding
    assert_equal_outputs(net(z_t, timesteps, text, tokens, mask), expected)


def test_denormalising_equals_post_process_latents():
    shape = {"embedding_dim": 24, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1, "num_embeddings": 11}
    reference = randomised(PriorTransformer(**shape))
    net = ours_with_weights_of(reference, OurPrior(PriorConfig(**shape)))
    z = numbers(3, 4, 24)
    assert_equal_outputs(net.denormalise(z), reference.post_process_latents(z))


DECODER = UNetConfig(
    in_channels=3,
    out_channels=6,
    block_out_channels=CHANNELS,
    layers_per_block=3,
    attention=(False, True, True, True),
    mid_attention=True,
    attention_head_dim=16,
    cross_attention_dim=40,
    class_embed_type="identity",
    norm_num_groups=16,
)


def reference_decoder():
    return randomised(
        UNet2DConditionModel(
            sample_size=16,
            in_channels=3,
            out_channels=6,
            block_out_channels=CHANNELS,
            layers_per_block=3,
            down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
            attention_head_dim=16,
            cross_attention_dim=40,
            class_embed_type="identity",
            norm_num_groups=16,
            resnet_time_scale_shift="scale_shift",
        )
    )


def test_decoder_equals_unet_2d_condition_model():
    reference = reference_decoder()
    net = ours_with_weights_of(reference, UNet(DECODER))
    x, timesteps = numbers(3, 3, 3, 16, 16), torch.tensor([999, 400, 0])
    in_time, context = numbers(4, 3, 128), numbers(5, 3, 9, 40)
    mask = torch.arange(9)[None] < torch.tensor([9, 6, 4])[:, None]
    expected = reference(x, timesteps, context, class_labels=in_time, attention_mask=mask).sample
    assert_equal_outputs(net(x, timesteps, in_time, context, mask), expected)


@pytest.mark.parametrize("class_embed_type", [None, "timestep"])  # Karlo's has none; "timestep" tells an augmentation level
def test_super_resolution_equals_unet_2d_model(class_embed_type):
    reference = randomised(
        UNet2DModel(
            sample_size=32,
            in_channels=6,
            out_channels=3,
            block_out_channels=CHANNELS,
            layers_per_block=3,
            down_block_types=("ResnetDownsampleBlock2D",) * 4,
            up_block_types=("ResnetUpsampleBlock2D",) * 4,
            add_attention=False,
            class_embed_type=class_embed_type,
            norm_num_groups=16,
            resnet_time_scale_shift="scale_shift",
            flip_sin_to_cos=True,
            freq_shift=0,
        )
    )
    config = UNetConfig(
        in_channels=6,
        out_channels=3,
        block_out_channels=CHANNELS,
        layers_per_block=3,
        attention=(False,) * 4,
        mid_attention=False,
        attention_head_dim=8,
        cross_attention_dim=1,
        class_embed_type=class_embed_type,
        norm_num_groups=16,
    )
    net = ours_with_weights_of(reference, UNet(config))
    x, timesteps = numbers(3, 2, 6, 32, 32), torch.tensor([999, 7])
    level = torch.tensor([250, 0]) if class_embed_type else None
    assert_equal_outputs(net(x, timesteps, level), reference(x, timesteps, class_labels=level).sample)


def published(kind):
    """A net of karlo-v1-alpha, by its published config, without memory for its weights: diffusers' and ours."""
    channels, down, up = (320, 640, 960, 1280), "ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"
    scale_shift = {"block_out_channels": channels, "layers_per_block": 3, "resnet_time_scale_shift": "scale_shift"}
    if kind == "prior":
        shape = {
            "embedding_dim": 768,
            "num_attention_heads": 32,
            "attention_head_dim": 64,
            "num_layers": 20,
            "num_embeddings": 77,
        }
        return PriorTransformer(**shape), OurPrior(PriorConfig(**shape))
    if kind == "text_proj":
        shape = {"clip_embeddings_dim": 768, "time_embed_dim": 1280, "cross_attention_dim": 1536}
        return UnCLIPTextProjModel(**shape), TextProjection(TextProjConfig(**shape))
    if kind == "super_res":
        reference = UNet2DModel(
            in_channels=6,
            out_channels=3,
            down_block_types=(down,) * 4,
            up_block_types=(up,) * 4,
            add_attention=False,
            **scale_shift,
        )
        return reference, UNet(UNetConfig(6, 3, channels, 3, (False,) * 4, False, 8, 1, None))
    reference = UNet2DConditionModel(
        in_channels=3,
        out_channels=6,
        down_block_types=(down, *["SimpleCrossAttnDownBlock2D"] * 3),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * 3, up),
        attention_head_dim=64,
        cross_attention_dim=1536,
        class_embed_type="identity",
        **scale_shift,
    )
    return reference, UNet(UNetConfig(3, 6, channels, 3, (False, True, True, True), True, 64, 1536, "identity"))


@pytest.mark.parametrize("kind", ["prior", "text_proj", "decoder", "super_res"])
def test_names_and_shapes_are_those_of_karlo_at_its_full_size(kind):
    with torch.device("meta"):
        reference, net = published(kind)
    assert {name: tensor.shape for name, tensor in net.state_dict().items()} == {
        name: tensor.shape for name, tensor in reference.state_dict().items()
    }


def test_text_projection_equals_unclip_text_proj_model():
    shape = {"clip_embeddings_dim": 24, "time_embed_dim": 128, "cross_attention_dim": 40}
    reference = randomised(UnCLIPTextProjModel(**shape))
    net = ours_with_weights_of(reference, TextProjection(TextProjConfig(**shape)))
    z_i, text, tokens = numbers(3, 3, 24), numbers(4, 3, 24), numbers(5, 3, 7, 24)
    context, in_time = reference(
        image_embeddings=z_i, prompt_embeds=text, text_encoder_hidden_states=tokens, do_classifier_free_guidance=False
    )
    mine_in_time, mine_context = net(z_i, text, tokens)
    assert_equal_outputs(mine_in_time, in_time)
    assert_equal_outputs(mine_context, context)


def test_a_dropped_image_embedding_equals_unclip_text_proj_models():
    shape = {"clip_embeddings_dim": 24, "time_embed_dim": 128, "cross_attention_dim": 40}
    reference = randomised(UnCLIPTextProjModel(**shape))
    net = ours_with_weights_of(reference, TextProjection(TextProjConfig(**shape)))
    z_i, text, tokens = numbers(3, 2, 24), numbers(4, 4, 24), numbers(5, 4, 7, 24)
    context, in_time = reference(  # with guidance the reference puts its learned embedding before the given ones
        image_embeddings=z_i, prompt_embeds=text, text_encoder_hidden_states=tokens, do_classifier_free_guidance=True
    )
    mine_in_time, mine_context = net(torch.cat([net.without_image(2), z_i]), text, tokens)
    assert_equal_outputs(mine_in_time, in_time)
    assert_equal_outputs(mine_context, context)
