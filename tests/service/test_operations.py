"""Jobs of every operation: what is asked for, on which pictures, and whose."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from redis import Redis
from starlette.testclient import TestClient

from contract.queue import JobQueue
from contract.settings import Settings
from contract.spec import AnySpec
from contract.store import ImageStore, new_upload_id
from service.app import create_app
from tests.contract.listeners import Listener
from tests.service.painter import Painter
from tests.service.uploads.pictures import file_of, halves, hole

PATH = "/v1/jobs"
JOB = "0" * 32


@pytest.fixture
def plain(settings: Settings) -> Settings:
    return settings.model_copy(update={"picture_filter": False, "outbound_allowed_networks": "127.0.0.2"})


@pytest.fixture
def client(plain: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(plain)) as client:
        yield client


@pytest.fixture
def picture(redis: Redis, plain: Settings) -> str:
    """The id of an upload, kept as the service keeps one."""
    upload_id = new_upload_id()
    ImageStore.open(plain).put(upload_id, file_of(halves()))
    redis.set(f"unclip:upload:{upload_id}", json.dumps({"key": "local", "width": 64, "height": 64, "mask_id": None}))
    return upload_id


@pytest.fixture
def output(client: TestClient, painter: Painter) -> str:
    """The id of a picture that an earlier job drew."""
    job_id = client.post(PATH, json={"operation": "generate", "prompt": "a red apple"}).json()["id"]
    painter.succeed(painter.start())
    return f"{job_id}-0"


def submit(client: TestClient, operation: str, **fields: Any) -> Response:
    return client.post(PATH, json={"operation": operation, **fields})


def spec_of(client: TestClient, queue: JobQueue, operation: str, **fields: Any) -> AnySpec:
    reply = submit(client, operation, **fields)
    assert reply.status_code == 202, reply.text
    return queue.fetch(reply.json()["id"]).spec


def refusal(client: TestClient, operation: str, **fields: Any) -> tuple[int, str, str | None]:
    reply = submit(client, operation, **fields)
    error = reply.json()["error"]
    return reply.status_code, error["code"], error["param"]


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def test_variations_of_an_upload(client: TestClient, queue: JobQueue, picture: str) -> None:
    spec = spec_of(client, queue, "vary", image=picture, n=3, eta=0.25, inversion="noise", strength=0.5, seed=5)
    assert (spec.operation, spec.source.id, spec.n, spec.eta, spec.inversion, spec.strength) == (
        *("vary", picture, 3, 0.25, "noise", 0.5),
    )
    assert (spec.size, spec.steps, spec.guidance_scale, spec.inversion_steps) == ("256x256", 50, 1.0, 50)


def test_what_is_asked_for_stands_before_what_an_operation_would_take(
    client: TestClient, queue: JobQueue, picture: str
) -> None:
    spec = spec_of(client, queue, "vary", image=picture, steps=7, guidance_scale=2.5)
    assert (spec.steps, spec.guidance_scale) == (7, 2.5)
    assert spec_of(client, queue, "upscale", image=picture).steps == 20


def test_a_way_between_a_picture_and_a_prompt(client: TestClient, queue: JobQueue, picture: str) -> None:
    sources = [{"image": picture}, {"prompt": "  a green frog "}]
    spec = spec_of(client, queue, "interpolate", sources=sources, frames=5, animation="gif")
    assert [source.kind for source in spec.sources] == ["image", "prompt"]
    assert (spec.sources[1].prompt, spec.frames, spec.pictures, spec.animation) == ("a green frog", 5, 5, "gif")


def test_a_blend(client: TestClient, queue: JobQueue, picture: str) -> None:
    sources = [{"image": picture}, {"prompt": "a frog"}, {"prompt": "a cat"}]
    spec = spec_of(client, queue, "interpolate", sources=sources, weights=[1, 2.5, 0], n=2)
    assert (spec.weights, spec.pictures) == ((1.0, 2.5, 0.0), 2)


def test_an_edit_by_words(client: TestClient, queue: JobQueue, picture: str) -> None:
    spec = spec_of(client, queue, "edit", image=picture, prompt="a green apple", source_prompt="a red apple", theta=0.5)
    assert (spec.prompt, spec.source_prompt, spec.theta, spec.words) == (
        *("a green apple", "a red apple", 0.5, ("a green apple", "a red apple")),
    )
    assert (spec.guidance_scale, spec.steps, spec.prior_steps) == (8.0, 50, 10)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"mask": data_url(file_of(hole()))}, "image"),
        ({"mask_boxes": [[0, 0, 0.5, 0.5]]}, "boxes"),
        ({"mask_prompt": "the hat"}, "prompt"),
    ],
    ids=["image", "boxes", "prompt"],
)
def test_painting_a_part_anew(client: TestClient, queue: JobQueue, picture: str, fields: dict[str, Any], kind: str) -> None:
    spec = spec_of(client, queue, "inpaint", image=picture, prompt="a hat", guidance_mode="oscillating", **fields)
    assert (spec.mask.kind, spec.source.id, spec.guidance_mode) == (kind, picture, "oscillating")


def test_a_picture_s_transparency_is_its_mask(client: TestClient, queue: JobQueue) -> None:
    upload = client.post("/v1/uploads", files={"image": file_of(hole())}).json()
    assert spec_of(client, queue, "inpaint", image=upload["id"], prompt="a hat").mask.id == upload["mask"]


def test_a_transparent_upload_is_a_mask_for_another_picture(client: TestClient, queue: JobQueue, picture: str) -> None:
    upload = client.post("/v1/uploads", files={"image": file_of(hole())}).json()
    by_transparency = spec_of(client, queue, "inpaint", image=picture, prompt="a hat", mask=upload["id"])
    by_white = spec_of(client, queue, "inpaint", image=picture, prompt="a hat", mask=upload["id"], mask_paints="white")
    assert (by_transparency.mask.id, by_white.mask.id) == (upload["mask"], upload["id"])


def test_an_upscale_and_a_latent_and_back(client: TestClient, queue: JobQueue, picture: str) -> None:
    assert spec_of(client, queue, "upscale", image=picture, size="1024x1024").size_px == 1024
    assert spec_of(client, queue, "encode", image=picture, inversion_steps=20).inversion_steps == 20


def test_a_latent_is_an_encode_job(client: TestClient, queue: JobQueue, picture: str) -> None:
    reply = client.post("/v1/latents", json={"image": picture, "inversion_steps": 9})
    assert (reply.status_code, reply.headers["location"]) == (202, f"http://testserver/v1/jobs/{reply.json()['id']}")
    spec = queue.fetch(reply.json()["id"]).spec
    assert (spec.operation, spec.source.id, spec.inversion_steps) == ("encode", picture, 9)


def test_all_settings_of_a_drawing_reach_the_spec(client: TestClient, queue: JobQueue) -> None:
    wanted = {
        "conditioning": "tokens",
        "stop_at": "decoder",
        "prior_candidates": 4,
        "guidance_mode": "interval",
        "previews": True,
        "metadata": False,
        "output_format": "webp",
        "output_compression": 60,
    }
    spec = spec_of(client, queue, "generate", prompt="a red apple", guidance_bounds=[1, 12], **wanted)
    assert {name: getattr(spec, name) for name in wanted} == wanted
    assert spec.guidance_bounds == (1.0, 12.0)


def test_an_earlier_output_is_named_by_id_or_address(client: TestClient, queue: JobQueue, output: str) -> None:
    for name in (output, f"http://testserver/v1/images/{output}"):
        assert spec_of(client, queue, "vary", image=name).source.id == output


def test_a_data_url_is_kept(client: TestClient, queue: JobQueue, plain: Settings) -> None:
    spec = spec_of(client, queue, "vary", image=data_url(file_of(halves())))
    assert ImageStore.open(plain).get(spec.source.id).content_type == "image/png"


def test_an_address_is_fetched(client: TestClient, queue: JobQueue, plain: Settings) -> None:
    data = file_of(halves())
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
    with Listener("127.0.0.2", (reply,)).listening() as server:
        spec = spec_of(client, queue, "vary", image=f"http://127.0.0.2:{server.port}/a.png")
    assert ImageStore.open(plain).get(spec.source.id).content_type == "image/png"


def test_a_private_address_is_not_called(client: TestClient, queue: JobQueue) -> None:
    with Listener("127.0.0.1").listening() as server:
        for scheme in ("http", "https"):
            found = refusal(client, "vary", image=f"{scheme}://127.0.0.1:{server.port}/a.png")
            assert found == (400, "url_refused", "image")
    assert (server.connections, queue.depth()) == (0, 0)


@pytest.mark.parametrize(
    ("operation", "fields", "wanted"),
    [
        ("vary", {}, (400, "invalid_value", "image")),
        ("vary", {"image": "PICTURE", "latent": f"lat_{JOB}-0"}, (400, "invalid_value", "image")),
        ("vary", {"image": "PICTURE", "eta": 1.1}, (400, "invalid_value", "eta")),
        ("vary", {"image": "PICTURE", "prompt": "a cat"}, (400, "unknown_parameter", "prompt")),
        ("vary", {"image": "PICTURE", "n": 11}, (400, "invalid_value", "n")),
        ("vary", {"image": f"up_{JOB}"}, (404, "image_not_found", "image")),
        ("vary", {"image": f"{JOB}-0"}, (404, "image_not_found", "image")),
        ("vary", {"image": "../../etc/passwd"}, (404, "image_not_found", "image")),
        ("vary", {"image": "data:image/png,abc"}, (400, "invalid_image", "image")),
        ("vary", {"image": "data:image/png;base64,%%%"}, (400, "invalid_image", "image")),
        ("vary", {"image": "data:image/png;base64,AAAA"}, (400, "invalid_image", "image")),
        ("vary", {"image": "http://example.com/a.png"}, (400, "url_refused", "image")),
        ("vary", {"latent": f"lat_{JOB}-0"}, (404, "image_not_found", "latent")),
        ("resume", {"latent": "PICTURE"}, (404, "image_not_found", "latent")),
        ("resume", {}, (400, "invalid_value", "latent")),
        ("interpolate", {"sources": [{"image": "PICTURE"}]}, (400, "invalid_value", "sources")),
        ("interpolate", {"sources": [{"image": "PICTURE"}, {}]}, (400, "invalid_value", "sources")),
        ("interpolate", {"sources": [{"prompt": "a"}, {"prompt": "b", "latent": "c"}]}, (400, "invalid_value", "sources")),
        ("interpolate", {"sources": [{"prompt": "a"}, {"promt": "b"}]}, (400, "unknown_parameter", "promt")),
        ("interpolate", {"sources": [{"prompt": "a"}, {"prompt": "b"}], "weights": [1]}, (400, "invalid_value", "weights")),
        ("interpolate", {"sources": [{"prompt": "a"}, {"prompt": "b"}], "weights": [0, 0]}, (400, "invalid_value", "weights")),
        ("interpolate", {"sources": [{"prompt": "a"}, {"prompt": ""}]}, (400, "prompt_empty", "sources.1.prompt")),
        ("interpolate", {"sources": [{"prompt": "a"}, {"prompt": "b"}], "frames": 61}, (400, "invalid_value", "frames")),
        ("edit", {"image": "PICTURE"}, (400, "invalid_value", "prompt")),
        ("edit", {"image": "PICTURE", "prompt": "a", "source_prompt": " "}, (400, "prompt_empty", "source_prompt")),
        ("inpaint", {"image": "PICTURE", "prompt": "a hat"}, (400, "invalid_mask", "mask")),
        (
            "inpaint",
            {"image": "PICTURE", "prompt": "a", "mask_boxes": [[0.5, 0, 0.5, 1]]},
            (400, "invalid_value", "mask_boxes"),
        ),
        ("inpaint", {"image": "PICTURE", "prompt": "a", "mask_boxes": [[0, 0, 1]]}, (400, "invalid_value", "mask_boxes.0")),
        (
            "inpaint",
            {"image": "PICTURE", "prompt": "a", "mask_prompt": "b", "mask": "PICTURE"},
            (400, "invalid_value", "mask"),
        ),
        ("inpaint", {"image": "PICTURE", "prompt": "a", "mask": data_url(file_of(halves()))}, (400, "invalid_mask", "mask")),
        ("inpaint", {"image": "PICTURE", "prompt": "a", "mask": data_url(file_of(hole(32)))}, (400, "invalid_mask", "mask")),
        ("upscale", {}, (400, "invalid_value", "image")),
        ("dance", {"image": "PICTURE"}, (400, "invalid_value", "operation")),
    ],
    ids=lambda case: str(case)[:60],
)
def test_a_wrong_request_is_refused(
    client: TestClient, queue: JobQueue, picture: str, operation: str, fields: dict[str, Any], wanted: tuple[int, str, str]
) -> None:
    sent = json.loads(json.dumps(fields).replace('"PICTURE"', json.dumps(picture)))
    assert refusal(client, operation, **sent) == wanted
    assert queue.depth() == 0


@pytest.mark.parametrize(
    ("operation", "fields", "param"),
    [
        ("edit", {"prompt": "hardcore porn"}, "prompt"),
        ("edit", {"prompt": "a", "source_prompt": "hardcore porn"}, "source_prompt"),
        ("inpaint", {"prompt": "a", "mask_prompt": "hardcore porn"}, "mask_prompt"),
    ],
)
def test_all_words_pass_the_filter_before_any_picture_is_read(
    client: TestClient, redis: Redis, operation: str, fields: dict[str, Any], param: str
) -> None:
    found = refusal(client, operation, image=data_url(file_of(halves())), **fields)
    assert found == (400, "moderation_blocked", param)
    assert redis.keys("unclip:upload:*") == []


def test_a_prompt_among_sources_passes_the_filter(client: TestClient) -> None:
    sources = [{"prompt": "a cat"}, {"prompt": "hardcore porn"}]
    assert refusal(client, "interpolate", sources=sources) == (400, "moderation_blocked", "sources.1.prompt")


def test_what_the_model_has_no_part_for_is_a_501_that_names_it(plain: Settings, model_dir: Path, queue: JobQueue) -> None:
    index = json.loads((model_dir / "model_index.json").read_text())
    index["unclip"]["operations"] = ["generate", "vary"]
    (model_dir / "model_index.json").write_text(json.dumps(index))
    with TestClient(create_app(plain)) as client:
        reply = submit(client, "inpaint", image=f"up_{JOB}", prompt="a hat")
    assert (reply.status_code, reply.json()["error"]["code"]) == (501, "operation_not_offered")
    assert "inpainting channels" in reply.json()["error"]["message"]
    assert reply.headers["x-should-retry"] == "false"
    assert queue.depth() == 0
