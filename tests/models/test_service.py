"""Availability, provide_input and demo: protocol S1, S6 and S7."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.models import JobState, read_ack, read_availability, read_demo


@pytest.mark.parametrize(
    ("status", "body", "available"),
    [
        (200, {"status": "available", "type": "masumi-agent", "message": "ok"}, True),
        (200, {"status": "available"}, True),
        (200, {"status": "Online", "uptime": 5}, True),
        (200, {"available": True, "current_load": 0}, True),
        (200, {"status": "success", "data": {"status": "available"}}, True),
        (200, {"status": "unavailable", "message": "queue is down"}, False),
        (200, {"available": False}, False),
        (200, {"status": "error", "message": "no"}, False),
        (200, {"status": "success", "data": {"available": False}}, False),
        (503, {"status": "unavailable"}, False),
        (404, {"error": "AGENT_NOT_FOUND"}, False),
        (500, None, False),
        (200, {"type": "masumi-agent"}, None),
        (200, {"status": "philosophising"}, None),
        (200, "<html></html>", None),
        (200, None, None),
        (429, {}, None),
        (405, None, None),
        (302, None, None),
    ],
)
def test_availability(status: int, body: Any, available: bool | None) -> None:
    read = read_availability(body, status)
    assert read.available is available
    assert available is True or read.why


@pytest.mark.parametrize(
    ("status", "body", "accepted"),
    [
        (200, {"input_hash": "ab" * 32, "signature": ""}, True),
        (200, {"inputHash": "ab" * 32}, True),
        (201, {"input_hash": "x", "status": "failed", "error": "the work went wrong"}, True),
        (200, {"status": "success"}, True),
        (200, {"status": "input_received"}, True),
        (200, {"status": "awaiting_input"}, True),
        (200, {"message": "Additional input provided, resuming processing"}, True),
        (200, {"success": True}, True),
        (201, {"status": "error", "input_hash": None}, False),
        (200, {"message": "Job is not awaiting input"}, False),
        (200, {"success": False}, False),
        (200, {"error": "x"}, False),
        (400, {"detail": "Job is not awaiting input (current status: running)"}, False),
        (403, {"error": "HITL_TOKEN_REQUIRED", "message": "a token"}, False),
        (409, {"error": "Job is not awaiting input"}, False),
        (500, {"detail": "Job j is not awaiting input. Current status: completed"}, False),
        (501, {"detail": "not implemented"}, False),
        (200, {"accepted": True}, None),
        (200, {}, None),
        (200, "OK", None),
        (307, None, None),
        (408, {}, None),
        (500, "<html></html>", None),
        (502, {"detail": "Bad gateway"}, None),
        (504, None, None),
    ],
)
def test_whether_the_input_was_taken(status: int, body: Any, accepted: bool | None) -> None:
    assert read_ack(body, status).accepted is accepted


def test_an_ack_names_state_and_code_where_the_service_does() -> None:
    assert read_ack({"input_hash": "x", "status": "completed"}).state is JobState.COMPLETED
    assert read_ack({"error": "HITL_TOKEN_REQUIRED", "message": "a token"}, 403).code == "HITL_TOKEN_REQUIRED"


def test_a_demo_is_read_and_anything_else_is_none() -> None:
    demo = read_demo({"input": {"text": "a"}, "output": {"result": "A"}})
    assert demo is not None and (demo.input_data, demo.output) == ({"text": "a"}, "A")
    assert read_demo({"input": {"input_data": {"text": "a"}}, "output": {"result": "A"}}) == demo
    for status, body in (
        (501, {"detail": "none"}),
        (404, None),
        (200, {}),
        (200, "x"),
        (200, {"output": "A"}),
    ):
        assert read_demo(body, status) is None
