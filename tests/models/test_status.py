"""GET /status: state words, results, error texts and questions, one sample for each dialect of protocol S5."""

from __future__ import annotations

from typing import Any

import pytest

from masumi_tools.models import JobState, read_status

FIELDS = [{"id": "answer", "name": "Answer", "type": "string"}]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("awaiting_payment", JobState.AWAITING_PAYMENT),
        ("awaiting payment", JobState.AWAITING_PAYMENT),
        ("Awaiting-Payment", JobState.AWAITING_PAYMENT),
        ("payment_pending", JobState.AWAITING_PAYMENT),
        ("pending", JobState.PENDING),
        ("queued", JobState.PENDING),
        ("running", JobState.RUNNING),
        ("processing", JobState.RUNNING),
        ("started", JobState.RUNNING),
        ("working", JobState.RUNNING),
        ("in progress", JobState.RUNNING),
        ("input_received", JobState.RUNNING),
        ("awaiting_input", JobState.AWAITING_INPUT),
        ("awaitingInput", JobState.AWAITING_INPUT),
        ("input-required", JobState.AWAITING_INPUT),
        ("waiting_for_input", JobState.AWAITING_INPUT),
        (" Completed ", JobState.COMPLETED),
        ("Success", JobState.COMPLETED),
        ("finished", JobState.COMPLETED),
        ("failed", JobState.FAILED),
        ("error", JobState.FAILED),
        ("payment_failed", JobState.FAILED),
        ("payment_timeout", JobState.FAILED),
        ("canceled", JobState.FAILED),
        ("refunded", JobState.REFUNDED),
        ("unknown", JobState.UNKNOWN),
        ("philosophising", JobState.UNKNOWN),
    ],
)
def test_status_words(word: str, state: JobState) -> None:
    read = read_status({"job_id": "j", "status": word, "result": "text"})
    assert (read.state, read.word) == (state, word)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("done", "done"),
        (" line1\nline2\t\"q\" \\ ", " line1\nline2\t\"q\" \\ "),
        ("", ""),
        ("null", "null"),
        ('{"a": 1}', '{"a": 1}'),
        ({"text": "ü"}, '{"text": "ü"}'),
        ([1, {"a": None}], '[1, {"a": null}]'),
        ({"raw": "the text", "pydantic": None, "json_dict": None, "tasks_output": [], "token_usage": {}}, "the text"),
        ({"Markdown": {"body": "# Title"}}, "# Title"),
        ({"final_result": {"Markdown": {"body": "# Title"}}}, "# Title"),
        ({"raw": "only a word that the answer uses"}, '{"raw": "only a word that the answer uses"}'),
        (7, "7"),
        (None, None),
    ],
)  # fmt: skip
def test_the_result_is_exact_text_and_json_for_the_rest(result: Any, text: str | None) -> None:
    read = read_status({"status": "completed", "result": result})
    assert (read.state, read.result, read.result_value) == (JobState.COMPLETED, text, result)


@pytest.mark.parametrize("result", [None, "", "  ", "null", "None", "[object Object]"])
def test_a_result_that_says_nothing_is_no_answer(result: Any) -> None:
    read = read_status({"status": "completed", "result": result})
    assert read.state is JobState.COMPLETED and not read.has_answer and read.notes


def test_the_mirrored_output_is_read_where_there_is_no_result() -> None:
    assert read_status({"status": "completed", "output": "text"}).result == "text"
    assert read_status({"status": "completed", "result": "a", "output": "b"}).result == "a"
    assert read_status({"success": True, "result": "text"}).result == "text"
    assert read_status({"status": "finished", "data": {"text": "t"}}).result == '{"text": "t"}'


def test_an_answer_that_says_itself_that_it_failed_is_marked() -> None:
    read = read_status(
        {"status": "completed", "result": {"success": False, "error": "no model key"}, "error": None}
    )
    assert read.state is JobState.COMPLETED and read.error is None
    assert read.notes == ("the result itself says that it failed: no model key",)


@pytest.mark.parametrize("state", ["awaiting_payment", "running", "awaiting_input", "queued", "nonsense"])
def test_a_sentence_in_result_before_the_end_is_progress_and_no_result(state: str) -> None:
    read = read_status({"status": state, "result": "The agent is now working on your task"})
    assert read.result is None and not read.has_answer
    assert read.progress == "The agent is now working on your task"


@pytest.mark.parametrize(
    ("said", "progress"),
    [
        ({"message": "step 2"}, "step 2"),
        ({"message": "step 2", "result": "step 2"}, "step 2"),
        ({"progress": 0.3}, "30 %"),
        ({"progress": 45}, "45 %"),
        ({"progress": "half"}, "half"),
        ({"progress": {"current_step": "cleaning", "percentage": 45}}, "cleaning, 45 %"),
        ({"progress": None, "payment_status": "error"}, None),
    ],
)
def test_progress(said: dict[str, Any], progress: str | None) -> None:
    assert read_status({"status": "running", **said}).progress == progress


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"status": "failed", "error": "Payment timed out", "result": None}, "Payment timed out"),
        ({"status": "failed", "message": "no luck"}, "no luck"),
        ({"status": "failed", "Message": "no luck"}, "no luck"),
        ({"status": "failed", "result": "agent not found"}, "agent not found"),
        ({"status": "failed", "error": "PROCESSING_ERROR", "message": "cannot parse"}, "cannot parse"),
        ({"status": "failed", "error": "PROCESSING_ERROR"}, "PROCESSING_ERROR"),
        ({"status": "failed", "error": {"message": "deep"}}, "deep"),
        ({"status": "failed", "errors": [{"message": "one"}, "two"]}, "one; two"),
        ({"status": "failed", "result": {"error": "inside"}}, "inside"),
        ({"job_id": 1, "status": "error", "error": "Timeout"}, "Timeout"),
        ({"status": "failed", "result": None}, None),
        ({"status": "failed", "error": "", "message": ""}, None),
    ],
)
def test_the_error_text_wherever_it_stands(body: Any, error: str | None) -> None:
    read = read_status(body)
    assert (read.state, read.error, read.result) == (JobState.FAILED, error, None)


def test_refunded_is_the_last_word_with_its_reason() -> None:
    read = read_status({"status": "refunded", "error": "terminal state", "message": "terminal state"})
    assert read.state is JobState.REFUNDED and read.state.final and read.error == "terminal state"


@pytest.mark.parametrize(
    ("said", "schema"),
    [
        ({"input_schema": {"input_data": FIELDS}}, {"input_data": FIELDS}),
        ({"input_schema": {"input_groups": [{"id": "g", "input_data": FIELDS}]}},
         {"input_groups": [{"id": "g", "input_data": FIELDS}]}),
        ({"input_schema": FIELDS}, FIELDS),
        ({"input_schema": [{"lock_id": "l", "input_data": FIELDS}]}, [{"lock_id": "l", "input_data": FIELDS}]),
        ({"input_data": FIELDS}, {"input_data": FIELDS}),
        ({"input_groups": [{"input_data": FIELDS}]}, {"input_groups": [{"input_data": FIELDS}]}),
        ({"input_schema": None, "input_data": None}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_what_is_asked_for_wherever_it_stands(said: dict[str, Any], schema: Any) -> None:
    assert read_status({"status": "awaiting_input", **said}).input_schema == schema


def test_a_question_is_asked_only_while_the_job_waits_for_input() -> None:
    assert read_status({"status": "running", "input_schema": FIELDS}).input_schema is None


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (404, {"detail": "Job not found"}, JobState.NOT_FOUND),
        (410, None, JobState.NOT_FOUND),
        (500, {"detail": "Internal server error"}, JobState.ERROR),
        (429, {"error": "RATE_LIMITED"}, JobState.ERROR),
        (422, {"detail": []}, JobState.ERROR),
        (307, None, JobState.ERROR),
        (200, "<html>hello</html>", JobState.ERROR),
        (200, None, JobState.ERROR),
        (200, [], JobState.ERROR),
        (200, {"error": "missing_job_id", "message": "job_id is required"}, JobState.ERROR),
        (200, {"status": "error", "error": {"message": "token missing"}}, JobState.ERROR),
        (200, {"status": "error", "message": "no such job", "code": "NOT_FOUND"}, JobState.ERROR),
        (200, {"status": None, "result": "text"}, JobState.UNKNOWN),
        (200, {"status": "success", "data": {}}, JobState.UNKNOWN),
    ],
)
def test_answers_that_say_nothing_of_the_job_are_no_end(status: int, body: Any, state: JobState) -> None:
    read = read_status(body, status)
    assert (read.state, read.result) == (state, None) and not read.state.final


@pytest.mark.parametrize(
    "body",
    [
        {"status": "success", "data": {"status": "running"}},
        {"status": "success", "data": {"status": "success", "data": {"status": "running"}}},
        {"success": True, "data": {"job_id": "j", "status": "running", "result": None}},
        {"job": {"id": "j", "status": "running"}},
        [{"json": {"status": "running"}}],
        '{"status": "running"}',
    ],
)
def test_wrapped_bodies_speak_of_the_job_inside(body: Any) -> None:
    assert read_status(body).state is JobState.RUNNING


def test_an_envelope_with_the_result_inside_is_completed() -> None:
    read = read_status({"status": "success", "data": {"result": "text"}})
    assert (read.state, read.result) == (JobState.COMPLETED, "text")


def test_a_status_word_inside_the_result_is_not_the_jobs() -> None:
    read = read_status({"status": "running", "result": {"status": "completed", "data": {"status": "failed"}}})
    assert read.state is JobState.RUNNING


def test_ids() -> None:
    read = read_status({"id": "state-1", "job_id": 42, "status": "running"})
    assert (read.status_id, read.job_id) == ("state-1", "42")


@pytest.mark.parametrize(
    "body", [[], [[]], 7, {"status": {}}, {"status": ["a", "b"]}, {"result": {"raw": {}}}]
)
def test_strange_bodies_never_raise(body: Any) -> None:
    for status in (200, 404, 500):
        assert read_status(body, status).result is None


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("running (step 2 of 5)", JobState.RUNNING),
        ("processing: page 3", JobState.RUNNING),
        ("completed successfully", JobState.COMPLETED),
        ("awaiting_payment_confirmation", JobState.AWAITING_PAYMENT),
        ("failed: quota", JobState.FAILED),
        ("completed with errors", JobState.UNKNOWN),
        ("finished, pending review", JobState.UNKNOWN),
        ("running out of words", JobState.RUNNING),
        ("success pending", JobState.UNKNOWN),
        ("runningish", JobState.UNKNOWN),
    ],
)
def test_a_word_that_begins_with_a_known_one_means_it_unless_it_is_taken_back(
    word: str, state: JobState
) -> None:
    assert read_status({"status": word, "result": "x"}).state is state


@pytest.mark.parametrize(
    ("error", "state"),
    [
        ("Job not found", JobState.NOT_FOUND),
        ("not found", JobState.NOT_FOUND),
        ("Unknown job id abc", JobState.NOT_FOUND),
        ("The task 12 does not exist (any more)", JobState.NOT_FOUND),
        ("the page was not found", JobState.FAILED),
        ("File not found: input.pdf", JobState.FAILED),
    ],
)
def test_a_service_that_does_not_know_the_job_says_nothing_of_it(error: str, state: JobState) -> None:
    assert read_status({"status": "failed", "error": error}).state is state
