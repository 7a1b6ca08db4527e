"""A service's question as a form that a host can show its user: flat, each value one plain type.

A question that does not fit such a form is None here: it stays text, and the model passes it on.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from masumi_tools.hire.receipt import Receipt
from masumi_tools.inputs import InputField, describe_field, read_input_schema
from masumi_tools.inputs.fields import as_word
from masumi_tools.text import plain_text
from masumi_tools.tools.wording import named

MOST_FIELDS: Final = 20
_MOST_CHOICES: Final = 100
_MOST_WORDS: Final = 500
# The formats that the forms of MCP know; a moment of another kind is text, described by its form.
_FORMATS: Final = {"email": "email", "url": "uri", "date": "date"}
_NEVER_ASKED: Final = frozenset({"password"})  # MCP forbids to ask for secrets in a form


def form_of(receipt: Receipt) -> dict[str, Any] | None:
    """The JSON Schema of the form for the question of a hire; None where it does not fit one."""
    spec = read_input_schema(receipt.question)
    if spec.refusal or spec.open_ended or spec.wire == "text" or not 0 < len(spec.asked) <= MOST_FIELDS:
        return None
    shown = {field.id: _shown(field) for field in spec.asked}
    if None in shown.values():
        return None
    return {"type": "object", "properties": shown, "required": [field.id for field in spec.required]}


def form_words(receipt: Receipt) -> str:
    """What stands above the form: who asks, where the answer goes, and what the service notes beside it."""
    spec = read_input_schema(receipt.question)
    notes = [field.description for field in spec.fields if field.kind == "note" and field.description]
    says = f' It says: "{plain_text(" ".join(notes[:5]), _MOST_WORDS)}"' if notes else ""
    return (
        f"{named(receipt.service)} works for you and asks a question (hire_id {receipt.hire_id}). "
        "What you enter is sent to that service. Never enter a password or a key. "
        f"The words of the fields are the service's own.{says}"
    )


def _shown(field: InputField) -> dict[str, Any] | None:
    kind = _type(field)
    if kind is None:
        return None
    title = plain_text(field.name or field.id, 100)
    return {**kind, "title": title, "description": plain_text(describe_field(field), _MOST_WORDS)}


def _type(field: InputField) -> dict[str, Any] | None:
    """The plain type of one field; None for files, lists, objects, secrets and whatever is not known."""
    if field.type in _NEVER_ASKED:
        return None
    if field.kind == "boolean":
        return {"type": "boolean"}
    if field.kind == "number":
        bounds = {"minimum": field.minimum, "maximum": field.maximum}
        return {"type": "integer" if field.integer else "number", **_numbers(bounds, field.integer)}
    if field.kind == "choice" and field.choices:
        return _choice(field)
    if field.kind in ("text", "moment", "choice"):
        bounds = {"minLength": field.minimum, "maxLength": field.maximum} if field.kind == "text" else {}
        known = _FORMATS.get(field.type) or next((_FORMATS[f] for f in field.formats if f in _FORMATS), None)
        return {"type": "string", **_numbers(bounds, True), **({"format": known} if known else {})}
    return None


def _choice(field: InputField) -> dict[str, Any] | None:
    if field.many or len(field.choices) > _MOST_CHOICES:
        return None
    if isinstance(field.minimum, Decimal) and field.minimum > 1:
        return None
    if not all(isinstance(value, str) for value in field.choices):
        return None
    values = [as_word(value) for value in field.choices]
    words = dict(zip(map(as_word, field.values), field.labels, strict=False))
    return {"type": "string", "enum": values, "enumNames": [words.get(value, value) for value in values]}


def _numbers(bounds: dict[str, Any], whole: bool) -> dict[str, int | float]:
    """The bounds that are numbers, as JSON has them."""
    found = {name: value for name, value in bounds.items() if isinstance(value, Decimal)}
    return {name: int(value) if whole else float(value) for name, value in found.items()}
