"""Our own input fields: from models, functions and placeholders, and how they are served."""

from __future__ import annotations

import datetime
import functools
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from masumi_tools.errors import InputError
from masumi_tools.inputs import (
    check,
    fields_from_model,
    fields_from_placeholders,
    fields_from_signature,
    read_input_schema,
    served,
)
from tests.inputs.samples import ROWS
from tests.shared import shared_json


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Opaque: ...


class Place(BaseModel):
    city: str
    zip: str | None = None


class Order(BaseModel):
    topic: str = Field(min_length=3, max_length=20, description="What about")
    depth: int = Field(3, ge=1, le=5)
    share: float = Field(0.5, gt=0, lt=1)
    kind: Literal["short", "long"] = "short"
    level: Literal[1, 2] = 1
    colour: Colour
    tags: list[str] = []
    several: list[Literal["p", "q"]] = Field(default=["p"], max_length=2)
    day: datetime.date
    at: datetime.datetime | None = None
    place: Place | None = None
    flag: bool = False
    anything: Any = None
    full_name: str = Field(alias="full name")


NEEDED = {"topic": "tides", "colour": "red", "day": "2026-01-31", "full name": "Ada"}


def test_a_models_fields_are_what_it_needs():
    spec = fields_from_model(Order)

    assert [field.id for field in spec.required] == ["topic", "colour", "day", "full name"]
    assert Order.model_validate(check(spec, NEEDED)).full_name == "Ada"
    for bad in ({"topic": "x"}, {"depth": 6}, {"depth": 2.5}, {"share": 1}, {"kind": "x"}, {"day": "31.1."}):
        with pytest.raises(InputError) as caught:
            check(spec, NEEDED | bad)
        assert list(caught.value.field_errors) == list(bad)


@pytest.mark.parametrize(
    ("given", "work_gets"),
    [
        ({"tags": "a\nb"}, {"tags": ["a", "b"]}),
        ({"tags": '["a, b"]'}, {"tags": ["a, b"]}),
        ({"tags": ["a"]}, {"tags": ["a"]}),
        ({"place": '{"city": "Rome"}'}, {"place": {"city": "Rome"}}),
        ({"place": {"city": "Rome"}}, {"place": {"city": "Rome"}}),
        ({"kind": ["long"]}, {"kind": "long"}),
        ({"kind": [1]}, {"kind": "long"}),
        ({"level": "2"}, {"level": 2}),
        ({"several": "q"}, {"several": ["q"]}),
        ({"several": [0, 1]}, {"several": ["p", "q"]}),
        ({"depth": "4"}, {"depth": 4}),
        ({"depth": 4.0}, {"depth": 4}),
    ],
)
def test_whatever_the_served_form_brings_in_reaches_the_work_as_it_expects_it(given, work_gets):
    found = check(fields_from_model(Order), NEEDED | given)

    assert {key: found[key] for key in work_gets} == work_gets
    Order.model_validate(found)


@pytest.mark.parametrize(
    "bad", [{"place": "Rome"}, {"place": '{"zip": "1"}'}, {"depth": "many"}, {"tags": [1]}]
)
def test_what_the_work_could_not_use_is_refused(bad):
    with pytest.raises(InputError) as caught:
        check(fields_from_model(Order), NEEDED | bad)
    assert list(caught.value.field_errors) == list(bad)


def test_a_functions_parameters_are_its_fields():
    def work(topic, schema: int = 3, _x: bool = False, *, where: Place | None = None, **more): ...

    spec = fields_from_signature(work)

    assert [(field.id, field.type, field.required) for field in spec.fields] == [
        ("topic", "text", True),
        ("schema", "number", False),
        ("_x", "boolean", False),
        ("where", "object", False),
    ]
    assert check(spec, {"topic": "x", "other": 1}) == {"topic": "x", "other": 1}


def test_a_function_that_takes_no_more_gets_no_more():
    def work(topic: Annotated[str, Field(max_length=3)] = "abc", depth: int = Field(2, ge=1)): ...

    spec = fields_from_signature(work)

    assert check(spec, {}) == {}
    for bad in ({"other": 1}, {"topic": "abcd"}, {"depth": 0}):
        with pytest.raises(InputError):
            check(spec, bad)


def test_a_single_model_parameter_gives_the_models_fields():
    def work(order: Place) -> str: ...

    class Whole:
        def __call__(self, order: Place) -> str: ...

    assert [field.id for field in fields_from_signature(work).fields] == ["city", "zip"]
    assert [field.id for field in fields_from_signature(Whole()).fields] == ["city", "zip"]


def test_partials_and_methods_leave_out_what_is_bound():
    def work(a: str, b: int): ...

    class Shop:
        def work(self, a: str): ...

    assert [field.id for field in fields_from_signature(functools.partial(work, "x")).fields] == ["b"]
    assert [field.id for field in fields_from_signature(Shop().work).fields] == ["a"]


def test_parameters_that_no_form_can_fill_are_named():
    def positional(x, /): ...
    def unknown(x: "Nowhere" = None): ...  # noqa: F821, UP037

    def opaque(x: Opaque): ...

    with pytest.raises(InputError, match="x is positional-only"):
        fields_from_signature(positional)
    with pytest.raises(InputError, match="Nowhere"):
        fields_from_signature(unknown)

    with pytest.raises(InputError, match="opaque cannot be an input"):
        fields_from_signature(opaque)


def test_a_closed_model_is_a_closed_schema():
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        a: str

    with pytest.raises(InputError):
        check(fields_from_model(Strict), {"a": "x", "b": 1})


def test_placeholders_are_text_fields_once_each_in_order():
    spec = fields_from_placeholders(
        ["topic", '"a": 1', "year", "topic", "path_to_cv", "", "x y", "1st", "a-b"]
    )

    assert [field.id for field in spec.fields] == ["topic", "year", "path_to_cv", "a-b"]
    assert {field.type for field in spec.fields} == {"textarea"}
    assert all(field.required for field in spec.fields)
    assert spec.problems == ("path_to_cv: looks like a path; a buyer's path would be read on this machine",)


def test_a_set_of_placeholders_is_always_in_the_same_order():
    assert [field.id for field in fields_from_placeholders({"b", "c", "a"}).fields] == ["a", "b", "c"]


def test_the_placeholders_of_recorded_crews_are_their_fields():
    for crew in shared_json("protocol/wild/crews.json"):
        reported = [*crew["fetch_inputs_would_also_report"], *crew["placeholders"]]
        found = [field.id for field in fields_from_placeholders(reported).fields]
        assert found == crew["placeholders"], crew["id"]


# What the strictest marketplace takes (protocol I3), written down apart from the code that serves.
ALLOWED = {
    "text": {"min", "max", "format", "optional"},
    "textarea": {"min", "max", "format", "optional"},
    "url": {"min", "max", "optional"},
    "number": {"min", "max", "format", "optional"},
    "boolean": {"optional"},
    "option": {"min", "max", "optional"},
    "date": {"min", "max", "optional"},
    "file": {"min", "max", "accept", "optional"},
    "tel": {"min", "max", "optional"},
    "none": {"optional"},
    "hidden": {"optional"},
    "radio": {"optional"},
    "email": {"optional"},
    "range": {"min", "max", "optional"},
}
FORMATS = {"nonempty", "url", "email", "integer"}


def complaints(schema):
    """What the strictest reader would refuse the whole schema for."""
    assert set(schema) == {"input_data"}
    ids = [field["id"] for field in schema["input_data"]]
    if len(set(ids)) < len(ids):
        yield "ids"
    for field in schema["input_data"]:
        rules, data = field.get("validations", []), field.get("data", {})
        if not (
            field["id"] and field["name"] and set(field) <= {"id", "type", "name", "data", "validations"}
        ):
            yield f"{field['id']}: id and name"
        if not {rule["validation"] for rule in rules} <= ALLOWED[field["type"]]:
            yield f"{field['id']}: rules of {field['type']}"
        for rule in rules:
            if not (isinstance(rule["value"], str) and rule["value"]):
                yield f"{field['id']}: rule value"
            if rule["validation"] == "format" and rule["value"] not in FORMATS:
                yield f"{field['id']}: format"
        if field["type"] in ("option", "radio"):
            values = data["values"]
            if not values or len(set(values)) < len(values) or not all(isinstance(v, str) for v in values):
                yield f"{field['id']}: choices"
        if field["type"] == "file" and data.get("outputFormat") != "url":
            yield f"{field['id']}: outputFormat"


@pytest.mark.parametrize("sample", [row for row in ROWS if row["valid_inputs"]], ids=lambda row: row["id"])
def test_any_schema_is_served_as_the_strictest_reader_takes_it(sample):
    spec = read_input_schema(sample.get("defined_as", sample["served_as"]))

    assert list(complaints(served(spec))) == []


def test_our_own_fields_are_served_so_that_a_buyer_reads_the_same():
    spec = fields_from_model(Order)
    shown = served(spec)
    read = read_input_schema(shown)
    by_id = {field["id"]: field for field in shown["input_data"]}

    assert list(complaints(shown)) == []
    assert read.problems == ()
    assert [field.id for field in read.required] == [field.id for field in spec.required]
    sent = check(
        read, NEEDED | {"depth": 2, "kind": "long", "level": "2", "tags": "a\nb", "place": '{"city": "X"}'}
    )
    assert check(spec, sent)["place"] == {"city": "X"}
    assert by_id["share"]["data"]["description"] == "More than 0. Less than 1."
    assert by_id["place"]["data"]["description"].endswith("As JSON text.")
    with pytest.raises(InputError):
        check(read, NEEDED | {"depth": 9})


def test_a_telephone_pattern_is_not_served_since_readers_spell_it_differently():
    rules = [{"validation": "format", "value": "tel-pattern"}]
    shown = served(read_input_schema([{"id": "t", "type": "tel", "name": "T", "validations": rules}]))

    assert "validations" not in shown["input_data"][0]
