"""`/v1/moderations`: the filters asked outright."""

from __future__ import annotations

import base64
import io

import pytest
from openai.types import ModerationCreateResponse
from PIL import Image
from starlette.testclient import TestClient

from contract.errors import SettingsWrong
from safety.picture_filter import PictureVerdict
from service.app import create_app
from service.moderations.schemas import MAX_CHARACTERS, MAX_TEXTS, OPENAI_CATEGORIES

PATH = "/v1/moderations"


def moderate(client: TestClient, given: object) -> dict:
    response = client.post(PATH, json={"input": given, "model": "omni-moderation-latest"})
    assert response.status_code == 200, response.text
    return response.json()


def picture(colour: str = "red") -> str:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def image(url: str) -> dict:
    return {"type": "image_url", "image_url": {"url": url}}


def test_a_harmless_text_is_not_flagged(client: TestClient) -> None:
    body = moderate(client, "a red apple")
    (result,) = body["results"]

    assert body["id"].startswith("modr-")
    assert not result["flagged"]
    assert not any(result["categories"].values())


def test_the_official_client_s_type_reads_the_reply(client: TestClient) -> None:
    reply = ModerationCreateResponse.model_validate(moderate(client, ["a nude woman", "a red apple"]))

    assert [result.flagged for result in reply.results] == [True, False]
    assert reply.results[0].categories.sexual
    assert reply.results[0].category_scores.sexual == 1.0
    assert not reply.results[0].categories.self_harm


def test_each_of_openai_s_categories_is_told_and_which_were_looked_at(client: TestClient) -> None:
    (result,) = moderate(client, "a red apple")["results"]

    assert set(result["categories"]) == set(result["category_scores"]) == set(OPENAI_CATEGORIES)
    applied = result["category_applied_input_types"]
    assert (applied["sexual"], applied["hate"], applied["harassment"]) == (["text"], ["text"], [])


def test_a_picture_and_a_text_make_one_result(client: TestClient) -> None:
    (result,) = moderate(client, [{"type": "text", "text": "a nazi flag"}, image(picture())])["results"]

    assert [name for name, found in result["categories"].items() if found] == ["hate"]
    assert result["category_applied_input_types"]["sexual"] == ["text", "image"]


def test_a_picture_that_the_filter_refuses_is_flagged_and_not_kept(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = client.app.state.resources

    async def refuse(_png: bytes) -> PictureVerdict:
        return PictureVerdict(0.97, allowed=False)

    monkeypatch.setattr(resources.inputs.filter, "check", refuse)
    (result,) = moderate(client, [image(picture())])["results"]

    assert (result["flagged"], result["category_scores"]["sexual"]) == (True, 0.97)
    assert resources.redis.keys("*upload*") == []


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        (["x"] * (MAX_TEXTS + 1), 400, "invalid_value"),
        ("x" * (MAX_CHARACTERS + 1), 400, "invalid_value"),
        ([], 400, "invalid_value"),
        (7, 400, "invalid_value"),
        ([image("data:image/png;base64,AAAA")], 400, "invalid_image"),
        ([image("http://127.0.0.1/x.png")], 400, "url_refused"),
        ([image("0" * 32 + "-0")], 404, "image_not_found"),
        ([image("nonsense")], 404, "image_not_found"),
        ([image(picture()), image(picture("blue"))], 400, "invalid_value"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(client: TestClient, given: object, status: int, code: str) -> None:
    response = client.post(PATH, json={"input": given})

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_a_filter_that_breaks_lets_nothing_through(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_text: str) -> None:
        raise RuntimeError("no weights")

    monkeypatch.setattr(client.app.state.resources.admission.prompt_filter, "_check", broken)

    for path, body in ((PATH, {"input": "a red apple"}), ("/v1/jobs", {"operation": "generate", "prompt": "a red apple"})):
        response = client.post(path, json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "filter_unavailable")
        assert response.headers["retry-after"]


@pytest.mark.parametrize("setting", [{"prompt_filter_categories": "sexual"}, {"prompt_filter_thresholds": "sexual=2"}])
def test_a_policy_that_cannot_be_followed_stops_the_start(settings, setting: dict) -> None:
    with pytest.raises(SettingsWrong, match="UNCLIP_PROMPT_FILTER"):
        create_app(settings.model_copy(update=setting))
