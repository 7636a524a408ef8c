"""What callers are told of pictures that were drawn and kept back."""

from __future__ import annotations

from starlette.testclient import TestClient

from tests.service.painter import Painter

KEPT_BACK = {"index": 1, "categories": ["sexual"], "scores": {"sexual": 0.93}}
ALL_KEPT_BACK = {
    "code": "moderation_blocked",
    "message": "the picture filter kept back every picture",
    "blocked": [KEPT_BACK | {"index": 0, "scores": {"sexual": 0.85}}, KEPT_BACK],
}


def test_one_of_three_blocked_leaves_the_others_in_openai_s_reply(client: TestClient, painter: Painter) -> None:
    with painter.at_work(blocked=[1]):
        body = client.post("/v1/images/generations", json={"prompt": "a red apple", "n": 3, "seed": 7}).json()

    assert [image["seed"] for image in body["data"]] == [7, 9]
    assert body["blocked"] == [KEPT_BACK]
    assert [warning["code"] for warning in body["warnings"]] == ["pictures_blocked"]


def test_a_reply_without_blocked_pictures_does_not_speak_of_them(client: TestClient, painter: Painter) -> None:
    with painter.at_work():
        assert "blocked" not in client.post("/v1/images/generations", json={"prompt": "a red apple"}).json()


def test_the_job_tells_which_pictures_were_blocked(client: TestClient, painter: Painter) -> None:
    job = client.post("/v1/jobs", json={"operation": "generate", "prompt": "a red apple", "n": 2}).json()
    painter.succeed(painter.start(), blocked=[1])

    told = client.get(f"/v1/jobs/{job['id']}").json()
    assert (told["status"], told["blocked"]) == ("succeeded", [KEPT_BACK])
    assert [image["index"] for image in told["images"]] == [0]


def test_all_blocked_is_a_refusal_with_the_highest_scores(client: TestClient, painter: Painter) -> None:
    with painter.at_work("fail", error=ALL_KEPT_BACK):
        response = client.post("/v1/images/generations", json={"prompt": "a red apple", "n": 2})

    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"]) == (400, "image_generation_user_error", "moderation_blocked")
    assert error["moderation_details"] == {"moderation_stage": "output", "categories": ["sexual"], "scores": {"sexual": 0.93}}


def test_a_job_all_of_which_was_blocked_has_failed_and_says_why(client: TestClient, painter: Painter) -> None:
    job = client.post("/v1/jobs", json={"operation": "generate", "prompt": "a red apple"}).json()
    painter.fail(painter.start(), ALL_KEPT_BACK)

    told = client.get(f"/v1/jobs/{job['id']}").json()
    assert (told["status"], told["error"]["code"]) == ("failed", "moderation_blocked")
    assert told["error"]["moderation_details"]["moderation_stage"] == "output"
