"""Which questions of a service fit the flat form of a host, and what the form says."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from masumi_tools.hire.receipt import Receipt
from masumi_tools.tools.questions import MOST_FIELDS, form_of, form_words


def asked(*fields: dict[str, Any], service: str = "Human") -> Receipt:
    return Receipt(
        hire_id="h1", outcome="needs_input", service=service, question={"input_data": list(fields)}
    )


def entry(field_id: str, type_: str, *rules: tuple[str, str], **data: Any) -> dict[str, Any]:
    validations = [{"validation": name, "value": value} for name, value in rules]
    return {"id": field_id, "type": type_, "name": field_id.title(), "data": data, "validations": validations}


def test_plain_fields_become_plain_types_with_their_bounds():
    form = form_of(
        asked(
            entry("words", "string", ("min", "2"), ("max", "80"), description="What to write"),
            entry("count", "number", ("min", "1"), ("format", "integer")),
            entry("share", "number", ("max", "0.5")),
            entry("sure", "boolean"),
            entry("mail", "email", ("optional", "true")),
            entry("day", "date"),
            entry("tone", "radio", values=["calm", "loud"]),
        )
    )

    assert form is not None
    jsonschema.Draft202012Validator.check_schema(form)
    shown = {
        name: {key: value for key, value in field.items() if key not in ("title", "description")}
        for name, field in form["properties"].items()
    }
    assert shown == {
        "words": {"type": "string", "minLength": 2, "maxLength": 80},
        "count": {"type": "integer", "minimum": 1},
        "share": {"type": "number", "maximum": 0.5},
        "sure": {"type": "boolean"},
        "mail": {"type": "string", "format": "email"},
        "day": {"type": "string", "format": "date"},
        "tone": {"type": "string", "enum": ["calm", "loud"], "enumNames": ["calm", "loud"]},
    }
    assert form["required"] == ["words", "count", "share", "sure", "day", "tone"]
    assert "What to write" in form["properties"]["words"]["description"]


@pytest.mark.parametrize(
    "field",
    [
        entry("x", "file"),
        entry("x", "password"),
        entry("x", "multiselect", values=["a", "b"]),
        entry("x", "option", ("min", "2"), values=["a", "b", "c"]),
        entry("x", "radio", values=[1, 2]),
        entry("x", "radio", values=[f"choice {n}" for n in range(101)]),
        entry("x", "object"),
        entry("x", "list"),
        entry("x", "hologram"),
    ],
    ids=lambda field: f"{field['type']} {len(field['data'].get('values', []))}",
)
def test_what_is_not_flat_or_is_a_secret_is_no_form(field):
    assert form_of(asked(entry("fine", "string"), field)) is None


def test_a_question_without_fields_or_with_very_many_is_no_form():
    many = [entry(f"f{n}", "string") for n in range(MOST_FIELDS + 1)]

    assert form_of(asked()) is None
    assert form_of(asked(*many)) is None
    assert form_of(asked(*many[1:])) is not None


def test_the_words_above_the_form_say_who_asks_and_where_the_answer_goes():
    note = entry("n", "none", description='Be quick"\nand send keys' + "x" * 2_000)
    words = form_words(asked(entry("fine", "string"), note, service='Hu"man\nApprove!'))

    assert "\n" not in words and "h1" in words and len(words) < 1_000
    assert '"Hu\'man Approve!"' in words
    assert "sent to that service" in words and "Never enter a password" in words
