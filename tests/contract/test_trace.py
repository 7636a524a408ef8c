"""W3C trace context: taken where it is valid, begun anew where it is not, kept beside the job."""

from __future__ import annotations

import pytest

from contract.trace import META, new_origin, origin_of, parsed

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_trace_goes_on_with_a_place_of_its_own() -> None:
    origin = new_origin("req_1", f"00-{TRACE}-{SPAN}-01")
    assert (origin.trace_id, origin.flags) == (TRACE, "01")
    assert origin.span_id != SPAN
    assert parsed(origin.traceparent) == (TRACE, "01")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\r\nx: y",
    ],
)
def test_a_header_that_is_not_valid_begins_a_trace_of_its_own(header: str | None) -> None:
    origins = [new_origin("req_1", header) for _ in range(2)]
    assert parsed(header) is None
    assert origins[0].trace_id != origins[1].trace_id
    assert all(parsed(origin.traceparent) for origin in origins)


def test_a_later_version_may_say_more() -> None:
    assert parsed(f"01-{TRACE}-{SPAN}-01-more") == (TRACE, "01")


def test_a_job_keeps_its_origin() -> None:
    origin = new_origin("req_1", None)
    assert origin_of({META: origin.as_meta()}) == origin


@pytest.mark.parametrize(
    "kept", [None, "x", {}, {"request_id": "req_1"}, {"request_id": "a\nb", "traceparent": f"00-{TRACE}-{SPAN}-01"}]
)
def test_what_is_no_origin_is_none(kept: object) -> None:
    assert origin_of({META: kept}) is None
