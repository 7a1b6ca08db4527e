"""Whatever a service serves and a model sends: nothing raises but InputError, and clean input stays clean."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from masumi_tools.errors import InputError
from masumi_tools.inputs import args_model, check, describe, layouts, read_input_schema, served
from masumi_tools.inputs.fields import ALIASES, KINDS
from masumi_tools.inputs.lenient import NotJson, read_json
from masumi_tools.proof.hashing import check_hashable
from masumi_tools.tools.arguments import read_arguments

WORDS = st.sampled_from(
    ["id", "type", "name", "data", "values", "validations", "input_data", "input_groups", "properties", "key",
     "value", "required", "min", "max", "optional", "format", "anyOf", "$ref", "items", "enum", "text", "number",
     "option", "object", "array", "string", "#/$defs/a", "true", "1"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)
TYPES = st.sampled_from(sorted(KINDS) + sorted(ALIASES) + ["mystery"])
RULES = st.lists(
    st.fixed_dictionaries(
        {"validation": st.sampled_from(["min", "max", "format", "optional", "step"]), "value": SCALARS}
    ),
    max_size=3,
)
FIELD = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b", "Ab", "x y", "class"]), "type": TYPES, "name": st.text(max_size=5)},
    optional={
        "validations": RULES,
        "data": st.fixed_dictionaries({}, optional={"values": st.lists(SCALARS, max_size=4), "value": SCALARS, "default": SCALARS}),
    },
)  # fmt: skip
SCHEMAS = JSON | st.lists(FIELD, max_size=4, unique_by=lambda field: field["id"])
DATA = st.dictionaries(st.sampled_from(["a", "b", "Ab", "x y", "class", "z"]), JSON, max_size=5)


@given(SCHEMAS, DATA)
def test_any_schema_takes_any_input_or_says_which_field_is_wrong(schema, data):
    spec = read_input_schema(schema)
    describe(spec)
    json.dumps(served(spec))
    try:
        clean = check(spec, data)
    except InputError as error:
        assert error.field_errors
        return
    assert check(spec, clean) == clean
    check_hashable(clean)
    for layout in layouts(spec, clean, "ab"):
        json.dumps(layout.body, allow_nan=False)
        check_hashable(layout.hashed)


@given(SCHEMAS)
def test_any_usable_schema_makes_an_args_model(schema):
    spec = read_input_schema(schema)
    if not spec.refusal:
        model, names = args_model(spec, "Hire")
        assert set(model.model_json_schema().get("properties", {})) >= set(names)


@given(SCHEMAS, JSON | DATA | st.text())
def test_any_arguments_are_read_or_refused_at_a_field(schema, payload):
    spec = read_input_schema(schema)
    try:
        got = read_arguments(spec, payload)
    except InputError as error:
        assert error.field_errors
        return
    assert check(spec, got) == got
    model, _ = args_model(spec, "Hire", reader=lambda given: read_arguments(spec, given))
    assert read_arguments(spec, model.model_validate(payload).model_dump()) == got


@given(JSON)
def test_json_and_python_text_of_a_value_give_the_value(value):
    value = {"value": value}
    plain = json.loads(json.dumps(value))
    try:
        assert read_json(json.dumps(value)).value == plain
    except NotJson:
        assert any(word in json.dumps(value) for word in ("NaN", "Infinity"))


@given(st.text(alphabet="{}[]\":,\\'tTnNu01 \n`a"))
def test_any_text_is_read_or_refused(text):
    try:
        read_json(text)
    except NotJson as error:
        assert error.sentence


@given(st.dictionaries(st.text(max_size=4), st.text(max_size=6), min_size=1, max_size=3), st.data())
def test_text_that_is_cut_anywhere_is_never_read(value, data):
    text = json.dumps(value, ensure_ascii=False)
    end = data.draw(st.integers(1, len(text) - 1))
    try:
        found = read_json(text[:end])
    except NotJson:
        return
    raise AssertionError(f"{text[:end]!r} was read as {found}")
