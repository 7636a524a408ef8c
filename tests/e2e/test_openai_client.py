"""Programs written with the official OpenAI client work by a change of `base_url` alone."""

from __future__ import annotations

import asyncio
import base64
import io
import os
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import torch
from openai import AsyncOpenAI, OpenAI
from openai.types import Image as GeneratedImage
from PIL import Image

from contract.settings import BUNDLED_MODEL
from models.cascade import Cascade
from models.inpainting import Inpainting
from models.origin import Source, Stay
from models.row import DONE, DrawRequest, Row
from models.setting_out import admit_from, origin_of
from tests.e2e.conftest import FEW_STEPS, Stack

PROMPT = "a red apple"
BAD_REQUESTS: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": ""}, "prompt_empty", "prompt"),
    ({"prompt": "a" * 1001}, "prompt_too_long", "prompt"),
    ({"n": 11}, "invalid_value", "n"),
    ({"size": "1792x1024"}, "unsupported_size", "size"),
    ({"model": "dall-e-3"}, "model_not_found", "model"),
    ({"output_format": "svg"}, "unsupported_parameter", "output_format"),
    ({"extra_body": {"seeed": 7}}, "unknown_parameter", "seeed"),
    ({"extra_body": {"steps": 0}}, "invalid_value", "steps"),
]


def generate(client: OpenAI, seed: int = 7, **fields: Any) -> openai.types.ImagesResponse:
    """Draw quickly; name what matters."""
    extra = {"seed": seed, **FEW_STEPS}
    reply: openai.types.ImagesResponse = client.images.generate(
        **{"prompt": PROMPT, "size": "256x256", "extra_body": extra, **fields}
    )
    return reply


def pictures(reply: openai.types.ImagesResponse) -> list[GeneratedImage]:
    assert reply.data is not None
    return reply.data


def pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


def of_base64(picture: GeneratedImage) -> np.ndarray:
    assert picture.b64_json is not None
    return pixels(base64.b64decode(picture.b64_json))


def test_a_picture_by_url(client: OpenAI) -> None:
    (picture,) = pictures(generate(client))
    assert picture.url is not None
    reply = httpx.get(picture.url)
    assert (reply.status_code, reply.headers["content-type"], pixels(reply.content).shape) == (200, "image/png", (256, 256, 3))


def test_a_picture_by_base64(client: OpenAI) -> None:
    (picture,) = pictures(generate(client, response_format="b64_json"))
    assert picture.url is None
    assert of_base64(picture).shape == (256, 256, 3)


def test_the_size_that_dall_e_2_drew_when_asked_for_none(client: OpenAI) -> None:
    reply = generate(client, size=openai.omit, response_format="b64_json")
    (picture,) = pictures(reply)
    assert (reply.size, of_base64(picture).shape) == ("1024x1024", (1024, 1024, 3))


def test_two_pictures_with_two_seeds(client: OpenAI) -> None:
    first, second = pictures(generate(client, n=2, response_format="b64_json"))
    assert [picture.model_extra["seed"] for picture in (first, second)] == [7, 8]  # type: ignore[index]
    assert not np.array_equal(of_base64(first), of_base64(second))


def test_the_same_seed_twice_gives_the_same_pixels(client: OpenAI) -> None:
    (once,), (again,) = (pictures(generate(client, response_format="b64_json")) for _ in range(2))
    np.testing.assert_array_equal(of_base64(once), of_base64(again))


def test_the_second_picture_can_be_drawn_again_alone(client: OpenAI) -> None:
    _, second = pictures(generate(client, n=2, response_format="b64_json"))
    (alone,) = pictures(generate(client, seed=8, response_format="b64_json"))
    np.testing.assert_array_equal(of_base64(second), of_base64(alone))


def test_the_same_seed_in_a_crowd_gives_the_same_pixels(client: OpenAI, stack: Stack) -> None:
    (alone,) = pictures(generate(client, response_format="b64_json"))

    async def crowd() -> list[openai.types.ImagesResponse]:
        async with AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="unused", max_retries=0, timeout=60) as at_once:
            calls = [
                at_once.images.generate(
                    prompt=PROMPT if seed == 7 else "a cat",
                    size="256x256",
                    response_format="b64_json",
                    extra_body={"seed": seed, **FEW_STEPS, "steps": steps},
                )
                for seed, steps in ((1, 3), (7, 2), (9, 4))
            ]
            return await asyncio.gather(*calls)

    (crowded,) = pictures(asyncio.run(crowd())[1])
    np.testing.assert_array_equal(of_base64(alone), of_base64(crowded))


def test_what_the_service_adds_reaches_the_caller(client: OpenAI) -> None:
    reply = generate(client)
    assert reply._request_id
    assert {"job_id", "native_size", "model"} <= set(reply.model_extra or {})


def test_the_models_are_listed(client: OpenAI) -> None:
    (model,) = client.models.list()
    assert (model.object, model.owned_by) == ("model", "unclip")


@pytest.mark.parametrize(("fields", "code", "param"), BAD_REQUESTS, ids=lambda case: repr(case)[:40])
def test_a_bad_request_carries_code_type_param_and_id(client: OpenAI, fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(**{"prompt": PROMPT, **fields})
    error = caught.value
    assert (error.code, error.type, error.param) == (code, "invalid_request_error", param)
    assert error.request_id


def test_a_blocked_prompt_carries_its_categories(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="hardcore porn")
    error = caught.value
    assert (error.code, error.type, error.param) == ("moderation_blocked", "image_generation_user_error", "prompt")
    details = error.body["moderation_details"]  # type: ignore[index]
    assert (details["moderation_stage"], details["categories"], details["scores"]["sexual"]) == ("input", ["sexual"], 1.0)
    assert error.request_id


def test_an_unknown_job_is_the_client_s_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.get(f"/jobs/{'0' * 32}", cast_to=object)
    assert (caught.value.code, caught.value.param) == ("job_not_found", "id")
    assert caught.value.request_id


def test_an_operation_that_is_not_offered_is_the_client_s_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="default", input="a red apple")
    assert caught.value.code == "route_not_found"


def test_a_stream_shows_the_picture_while_it_is_drawn(client: OpenAI) -> None:
    extra = {"seed": 7, **FEW_STEPS, "steps": 6}
    events = list(client.images.generate(prompt=PROMPT, size="256x256", stream=True, partial_images=3, extra_body=extra))
    *early, last = events
    assert 1 <= len(early) <= 3
    assert {event.type for event in early} == {"image_generation.partial_image"}
    assert [event.partial_image_index for event in early] == list(range(len(early)))
    assert all(pixels(base64.b64decode(event.b64_json)).shape == (64, 64, 3) for event in early)
    assert (last.type, pixels(base64.b64decode(last.b64_json)).shape) == ("image_generation.completed", (256, 256, 3))


def picture_file() -> bytes:
    file, shades = io.BytesIO(), np.linspace(0, 255, 256, dtype=np.uint8)
    picture = np.full((256, 256, 3), (200, 30, 40), dtype=np.uint8)
    picture[..., 2] = shades
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def transparent_where(mask: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.dstack([np.zeros((*mask.shape, 3), dtype=np.uint8), np.where(mask, 0, 255).astype(np.uint8)])).save(
        file, "PNG"
    )
    return file.getvalue()


@pytest.fixture(scope="module")
def cascade() -> Iterator[Cascade]:
    """The model that is served, here, on as many threads: on the direct path."""
    before = torch.get_num_threads()
    yield Cascade.load(BUNDLED_MODEL, threads=os.cpu_count() or 1)
    torch.set_num_threads(before)


def run_to_end(cascade: Cascade, row: Row) -> np.ndarray:
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
        assert row.failure is None
    return cascade.picture(row)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_variations_are_the_pixels_of_the_direct_path(client: OpenAI, cascade: Cascade) -> None:
    few = {"steps": 2, "upsample_steps": 2, "inversion_steps": 2, "eta": 0.5}
    reply = client.images.create_variation(
        image=picture_file(), n=2, size="256x256", response_format="b64_json", extra_body={"seed": 7, **few}
    )
    request = DrawRequest("", 8, guidance_scale=1.0, prior_steps=1, prior_guidance_scale=1.0, **few)
    alone = admit_from(cascade, request, origin_of(cascade, [Source(picture=pixels(picture_file()))], seed=7), Stay())
    first, second = (of_base64(picture) for picture in pictures(reply))
    np.testing.assert_array_equal(second, run_to_end(cascade, alone))
    assert not np.array_equal(first, second)


def test_a_part_painted_anew_is_the_pixels_of_the_direct_path(client: OpenAI, cascade: Cascade) -> None:
    few = {**FEW_STEPS, "guidance_scale": 2.0, "prior_guidance_scale": 2.0}
    mask, picture = np.zeros((256, 256), dtype=bool), pixels(picture_file())
    mask[64:192, 64:192] = True
    reply = client.images.edit(
        image=picture_file(),
        mask=transparent_where(mask),
        prompt=PROMPT,
        size="256x256",
        response_format="b64_json",
        extra_body={"seed": 7, **few},
    )
    (painted,) = (of_base64(one) for one in pictures(reply))
    np.testing.assert_array_equal(painted[~mask], picture[~mask])
    row = cascade.admit(DrawRequest(PROMPT, 7, inpainting=Inpainting(picture, mask), **few))
    np.testing.assert_array_equal(painted, run_to_end(cascade, row))


def test_an_edit_by_words(client: OpenAI) -> None:
    extra = {"seed": 7, "inversion_steps": 2, "steps": 2, "upsample_steps": 2, "source_prompt": "a red square"}
    reply = client.images.edit(image=picture_file(), prompt="a blue square", size="256x256", extra_body=extra)
    (picture,) = pictures(reply)
    assert picture.url is not None
    assert pixels(httpx.get(picture.url).content).shape == (256, 256, 3)


def test_a_body_over_the_limit_is_a_413(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.images.generate(prompt="a" * 2**21)
    assert (caught.value.status_code, caught.value.code) == (413, "body_too_large")
