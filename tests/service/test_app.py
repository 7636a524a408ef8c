"""What holds for every reply: the id, the error shape, the declared errors, the pages that describe them."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from openai.resources.images import Images
from starlette.testclient import TestClient
from starlette.types import Message
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from contract import errors as tree
from contract.errors import ModelError, SettingsWrong, UnclipError
from contract.queue import JobQueue
from contract.settings import Settings
from service.app import create_app
from service.drawing import DrawingRequest
from service.errors import EXAMPLES
from service.jobs.requests import JobRequest
from service.openai.edit_schemas import EditRequest, VariationRequest
from service.openai.fields import REFUSED
from service.openai.schemas import GenerationRequest
from service.resources import Resources

ROOT = Path(__file__).resolve().parents[2]
JOBS = [kind.__name__ for kind in get_args(get_args(JobRequest)[0])]


@pytest.fixture
def openapi(client: TestClient) -> dict[str, Any]:
    schema: dict[str, Any] = client.get("/openapi.json").json()
    return schema


def operations(openapi: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in openapi["paths"].values() for operation in path.values()]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/nowhere", "/docs"])
def test_every_reply_has_an_id_of_its_own(client: TestClient, path: str) -> None:
    ids = [client.get(path).headers["x-request-id"] for _ in range(2)]
    assert all(re.fullmatch(r"req_[0-9a-f]{32}", request_id) for request_id in ids)
    assert ids[0] != ids[1]


def test_a_caller_s_own_id_is_kept(client: TestClient) -> None:
    assert client.get("/healthz", headers={"x-request-id": "trace-1"}).headers["x-request-id"] == "trace-1"


@pytest.mark.parametrize("request_id", ["two words", "x" * 129, "", "a\tb", "ä"])
def test_a_caller_s_id_that_could_do_harm_is_replaced(client: TestClient, request_id: str) -> None:
    headers = {b"x-request-id": request_id.encode("utf-8")}
    assert client.get("/healthz", headers=headers).headers["x-request-id"].startswith("req_")


def test_a_fault_nobody_foresaw_is_a_500_in_the_same_shape(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_queue: JobQueue, _job_id: str) -> None:
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr(JobQueue, "fetch", stumble)
    with capture_logs(processors=[merge_contextvars]) as lines:
        response = client.get(f"/v1/jobs/{'0' * 32}")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in response.text
    assert [line["log_level"] for line in lines] == ["error", "info"]
    assert {line["request_id"] for line in lines} == {response.headers["x-request-id"]}


def test_every_error_that_leaves_has_an_example() -> None:
    kinds = [kind for kind in vars(tree).values() if isinstance(kind, type) and issubclass(kind, UnclipError)]
    leaves = {kind for kind in kinds if not kind.__subclasses__()}
    # Of no route in particular: a path, a verb, a fault, a key's id; and two that only stop a process at its start.
    of_no_route = {tree.RouteNotFound, tree.MethodNotAllowed, tree.InternalError, tree.KeyNotFound}
    assert leaves - set(EXAMPLES) == {*of_no_route, SettingsWrong, ModelError}


def test_no_reply_is_declared_that_is_never_sent(openapi: dict[str, Any]) -> None:
    # FastAPI declares a 422 of its own shape; the one there is, is ours.
    declared = [operation["responses"]["422"] for operation in operations(openapi) if "422" in operation["responses"]]
    assert {code for reply in declared for code in reply["content"]["application/json"]["examples"]} == {
        "idempotency_key_reused"
    }
    assert not {"HTTPValidationError", "ValidationError"} & set(openapi["components"]["schemas"])


def test_declared_errors_come_with_examples_of_their_status(openapi: dict[str, Any]) -> None:
    status_of = {type(example).code: str(example.status) for example in EXAMPLES.values()}
    declared = [
        (status, code)
        for operation in operations(openapi)
        for status, reply in operation["responses"].items()
        if status.isdecimal() and int(status) >= 400
        for code in reply["content"]["application/json"]["examples"]
    ]
    assert declared
    assert all(status_of[code] == status for status, code in declared)


def test_every_route_but_the_simplest_declares_its_errors(openapi: dict[str, Any]) -> None:
    silent = {operation["operationId"] for operation in operations(openapi) if "default" not in operation["responses"]}
    assert silent == {"tell_alive"}


def test_the_issue_s_routes_are_there(openapi: dict[str, Any]) -> None:
    assert {(path, verb) for path, verbs in openapi["paths"].items() for verb in verbs} >= {
        ("/v1/images/generations", "post"),
        ("/v1/jobs", "post"),
        ("/v1/jobs/{job_id}", "get"),
        ("/v1/jobs/{job_id}/events", "get"),
        ("/v1/jobs/{job_id}/retry", "post"),
        ("/v1/jobs/{job_id}/cancel", "post"),
        ("/v1/images/{image_id}", "get"),
        ("/v1/models", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }


def test_every_request_field_is_described(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]
    fields = [field for name in ("GenerationRequest", *JOBS) for field in schemas[name]["properties"].values()]
    assert all(field.get("description") for field in fields)


@pytest.mark.parametrize("request_model", [GenerationRequest, *get_args(get_args(JobRequest)[0])])
def test_the_example_of_a_request_is_one(request_model: type[DrawingRequest], openapi: dict[str, Any]) -> None:
    (example,) = openapi["components"]["schemas"][request_model.__name__]["examples"]
    assert request_model.model_validate(example)


def test_a_header_that_is_read_by_hand_is_declared_as_the_others_are(openapi: dict[str, Any]) -> None:
    declared = [
        openapi["paths"][path]["post"]["parameters"][-1] for path in ("/v1/jobs", "/v1/latents", "/v1/jobs/{job_id}/retry")
    ]
    assert declared[0] == declared[1] == declared[2]
    assert declared[0]["name"] == "idempotency-key"


def test_request_schemas_are_closed(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]
    assert all(schemas[name]["additionalProperties"] is False for name in ("GenerationRequest", *JOBS))


def test_the_docs_page_is_served_without_the_internet(client: TestClient) -> None:
    response = client.get("/docs")
    assert response.status_code == 200
    assert "/openapi.json" in response.text
    assert re.findall(r"https?://[^\"' ]+", response.text) == []
    parts = re.findall(r'(?:src|href)="(/[^"]+)"', response.text)
    assert parts
    assert all(client.get(part).status_code == 200 for part in parts)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/jobs", "/nowhere", "/healthz", "/docs"])
def test_head_is_get_without_the_body(client: TestClient, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize(
    ("method", "known"),
    [(Images.generate, GenerationRequest), (Images.edit, EditRequest), (Images.create_variation, VariationRequest)],
    ids=["generate", "edit", "create_variation"],
)
def test_every_field_of_the_sdk_is_known(method: Any, known: type[DrawingRequest]) -> None:
    of_the_sdk = inspect.signature(method).parameters
    not_of_the_body = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
    assert set(of_the_sdk) - not_of_the_body <= set(known.model_fields)


def test_every_refused_field_is_a_known_one() -> None:
    assert set(REFUSED) <= set(GenerationRequest.model_fields)


def test_a_caller_who_hangs_up_ends_the_wait_and_not_the_job(settings: Settings, queue: JobQueue) -> None:
    app, sent = create_app(settings), []
    body = json.dumps({"prompt": "a red apple"}).encode()
    incoming: list[Message] = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return incoming.pop(0) if len(incoming) > 1 else incoming[0]

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/images/generations",
        "raw_path": b"/v1/images/generations",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    asyncio.run(asyncio.wait_for(app(scope, receive, send), timeout=5))
    assert sent[0]["status"] == 499
    assert queue.depth() == 1


def test_a_model_folder_that_cannot_be_read_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="UNCLIP_MODEL_DIR"):
        create_app(settings.model_copy(update={"model_dir": tmp_path / "nowhere"}))


def test_settings_without_a_queue_stop_the_start(settings: Settings) -> None:
    with pytest.raises(SettingsWrong, match="UNCLIP_REDIS_URL"):
        Resources.build(settings.model_copy(update={"redis_url": None}))


def test_the_service_holds_no_torch() -> None:
    heavy = ("torch", "torchvision", "open_clip", "transformers", "diffusers", "workers", "models", "training")
    script = f"import sys, service.main, service.app; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
