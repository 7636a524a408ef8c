"""The HTTP client where the service is not as it should be; what it does when all is well is in the tests of `generate`."""

import http.server
import threading
from collections.abc import Iterator

import httpx
import pytest

from unclip.client import UnclipClient, api_error
from unclip.errors import ApiError, ServiceUnreachable

URL = "http://127.0.0.1:8000/v1/jobs"


@pytest.fixture
def other_server(tmp_path) -> Iterator[str]:
    """Somebody else's web server: it answers every path of ours with a page of its own."""
    handler = http.server.SimpleHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_nobody_at_the_address_is_one_typed_error(closed_port):
    with UnclipClient(f"http://127.0.0.1:{closed_port}") as client, pytest.raises(ServiceUnreachable, match="does not answer"):
        client.models()


def test_a_server_that_stays_silent_is_given_up(silent_port):
    with UnclipClient(f"http://127.0.0.1:{silent_port}", timeout_seconds=0.2) as client:
        assert not client.is_alive()


def test_another_web_server_is_not_taken_for_unclip(other_server):
    with UnclipClient(other_server) as client:
        assert not client.is_alive()


def test_an_unknown_job_carries_the_services_code_and_request_id(shared_serve):
    with UnclipClient(shared_serve.url) as client, pytest.raises(ApiError) as caught:
        client.job("0" * 32)

    assert (caught.value.status_code, caught.value.api_code) == (404, "job_not_found")
    assert caught.value.request_id


def test_an_error_page_of_a_proxy_keeps_its_first_words():
    reply = httpx.Response(502, text="<html>\n  Bad   gateway</html>", request=httpx.Request("GET", URL))

    assert str(api_error(reply)) == "<html> Bad gateway</html> (HTTP 502, unknown)"


@pytest.mark.parametrize("body", ["null", "[]", '{"error": "x"}', '{"error": {"message": "x"}}', ""])
def test_an_error_of_another_shape_is_still_an_api_error(body):
    reply = httpx.Response(500, text=body, request=httpx.Request("GET", URL))

    assert api_error(reply).api_code == "unknown"


def test_what_may_be_drawn_is_for_the_service_to_say(shared_serve):
    with UnclipClient(shared_serve.url) as client, pytest.raises(ApiError, match="finite number, not NaN"):
        client.submit({"operation": "generate", "prompt": "a red apple", "guidance_scale": float("nan")})
