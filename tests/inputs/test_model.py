"""The args model that a language model fills in: names, types, nulls, and a schema that every provider takes."""

from __future__ import annotations

import json
import re
import warnings

import jsonschema
import pytest
from pydantic import ValidationError

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputField, InputSpec, args_model, check, fields_from_model, read_input_schema
from masumi_tools.tools.arguments import read_arguments
from tests.inputs.samples import NAME, ROWS
from tests.inputs.test_derive import Order
from tests.shared import SHARED

ODD_IDS = [
    "full name",
    "class",
    "2nd",
    "名前",
    "9d9c737c-eb64:reply",
    "schema",
    "model_name",
    "_x",
    "a-b",
    "a_b",
    "args",
    "copy",
]


RULES = {
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "format",
}


def specs():
    """Every usable spec that we know: our samples, our own model, and the recorded ones where they are."""
    rows = list(ROWS)
    if SHARED is not None:
        rows += json.loads((SHARED / "protocol/wild/input-schemas.json").read_text(encoding="utf-8"))
    found = {row["id"]: read_input_schema(row.get("defined_as", row["served_as"])) for row in rows}
    found["own model"] = fields_from_model(Order)
    found["odd ids"] = InputSpec(tuple(InputField(name, name=name) for name in ODD_IDS))
    return {name: spec for name, spec in found.items() if not spec.refusal}


SPECS = specs()


def problems_of(schema, path="$"):
    """What a provider's strict mode refuses in a JSON schema."""
    if isinstance(schema, list):
        for part in schema:
            yield from problems_of(part, path)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        names = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            yield f"{path}: open object"
        if sorted(schema.get("required", [])) != sorted(names):
            yield f"{path}: not all are required"
        for name in names:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
                yield f"{path}: name {name}"
    for key, part in schema.items():
        if key in RULES:
            yield f"{path}: rule {key}"
        if key == "properties":
            for name, inner in part.items():
                if not {"type", "anyOf", "enum", "$ref"} & set(inner):
                    yield f"{path}.{name}: no type"
                yield from problems_of(inner, f"{path}.{name}")
        elif key not in ("enum", "default"):
            yield from problems_of(part, path)


@pytest.mark.parametrize("name", SPECS)
def test_the_schema_is_closed_typed_and_free_of_rules_that_providers_refuse(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, names = args_model(SPECS[name], "Hire")
    schema = model.model_json_schema()

    jsonschema.Draft202012Validator.check_schema(schema)
    assert [fault for fault in problems_of(schema) if not fault.endswith("not all are required")] == []
    if not SPECS[name].open_ended:
        assert list(names.values()) == [field.id for field in SPECS[name].asked]


@pytest.mark.crewai
@pytest.mark.parametrize("name", SPECS)
def test_crewais_strict_exports_take_it(name):
    from crewai.utilities import pydantic_schema_utils as crewai_export

    model, names = args_model(SPECS[name], "Hire")
    native = crewai_export.generate_model_description(model, strip_null_types=False)["json_schema"]["schema"]
    strict = [
        crewai_export.sanitize_tool_params_for_openai_strict(native),
        crewai_export.sanitize_tool_params_for_anthropic_strict(native),
    ]

    for schema in (native, *strict):
        assert list(problems_of(schema)) == []
        assert "$ref" not in json.dumps(schema)
        if names:
            assert list(schema["properties"]) == list(names)


@pytest.mark.parametrize("name", SPECS)
def test_langchains_strict_export_takes_it(name):
    tools = pytest.importorskip("langchain_core.tools")
    export = pytest.importorskip("langchain_core.utils.function_calling").convert_to_openai_tool
    model, names = args_model(SPECS[name], "Hire")
    tool = tools.StructuredTool.from_function(
        func=lambda **given: given, name="hire", description="d", args_schema=model
    )
    schema = export(tool, strict=True)["function"]["parameters"]

    assert schema["additionalProperties"] is False
    assert not names or list(schema["properties"]) == list(names)
    assert all(part.get("description") for part in schema["properties"].values())


def test_ids_that_are_no_names_get_one_and_the_map_leads_back():
    spec = SPECS["odd ids"]
    model, names = args_model(spec, "Hire")

    assert list(names.values()) == ODD_IDS
    assert list(names)[:5] == ["full_name", "class_", "field_2nd", "field_4", "reply"]
    assert len(set(names)) == len(ODD_IDS)
    given = model(**dict.fromkeys(names, "x")).model_dump()
    assert {names[arg]: value for arg, value in given.items()} == dict.fromkeys(ODD_IDS, "x")
    assert read_arguments(spec, given) == dict.fromkeys(ODD_IDS, "x")


def test_optional_fields_may_be_null_or_left_out_and_required_ones_not():
    optional = {**NAME, "id": "note", "validations": [{"validation": "optional", "value": "true"}]}
    model, _ = args_model(read_input_schema([NAME, optional]), "Hire")

    assert (
        model(name="x").model_dump() == model(name="x", note=None).model_dump() == {"name": "x", "note": None}
    )
    for wrong in ({}, {"name": None}, {"name": "x", "other": "y"}, {"name": 5}, {"name": {"a": 1}}):
        with pytest.raises(ValidationError):
            model(**wrong)


def test_types_are_the_ones_of_the_fields():
    kinds = {"t": "text", "n": "number", "b": "boolean", "d": "date", "u": "mystery", "j": "object"}
    fields = [{"id": name, "type": kind, "name": name} for name, kind in kinds.items()]
    fields += [
        {"id": "one", "type": "radio", "name": "One", "data": {"values": ["a", "b"]}},
        {"id": "many", "type": "option", "name": "Many", "data": {"values": ["a", "b"]}, "validations": [{"validation": "max", "value": "2"}]},
        {"id": "whole", "type": "number", "name": "W", "validations": [{"validation": "format", "value": "integer"}]},
    ]  # fmt: skip
    properties = args_model(read_input_schema(fields), "Hire")[0].model_json_schema()["properties"]
    types = {
        name: {k: v for k, v in part.items() if k not in ("title", "description")}
        for name, part in properties.items()
    }

    assert types["t"] == types["d"] == types["j"] == {"type": "string"}
    assert types["n"] == {"type": "number"}
    assert types["whole"] == {"type": "integer"}
    assert types["b"] == {"type": "boolean"}
    assert types["u"] == {"type": "string"}  # smolagents and lean providers want one plain type
    assert types["one"] == {"enum": ["a", "b"], "type": "string"}
    assert types["many"] == {"items": {"enum": ["a", "b"], "type": "string"}, "type": "array"}


def test_notes_and_fixed_values_are_not_asked_for():
    spec = SPECS["notes and hidden fields"]

    assert list(args_model(spec, "Hire")[1].values()) == ["mood"]


def test_an_endless_list_of_choices_is_text_that_check_looks_at():
    fields = [{"id": "x", "type": "option", "name": "X", "data": {"values": [f"v{n}" for n in range(500)]}}]
    spec = read_input_schema(fields)
    model, _ = args_model(spec, "Hire")

    assert "enum" not in json.dumps(model.model_json_schema())
    assert "v49 and 450 more" in model.model_json_schema()["properties"]["x"]["description"]
    with pytest.raises(InputError):
        check(spec, model(x="v500").model_dump())


def test_numbers_are_never_rounded_on_the_way():
    model, _ = args_model(read_input_schema([{"id": "n", "type": "number", "name": "N"}]), "Hire")

    assert model(n=2**53 + 1).n == 2**53 + 1
    assert isinstance(model(n=3).n, int)
    for wrong in (True, "3"):
        with pytest.raises(ValidationError):
            model(n=wrong)


def test_a_reader_sees_whatever_was_sent_and_its_sentence_reaches_the_model():
    spec = read_input_schema(
        [NAME, {"id": "where", "type": "object", "name": "W", "validations": [{"validation": "optional"}]}]
    )
    model, _ = args_model(spec, "Hire", reader=lambda given: read_arguments(spec, given))

    assert model.model_validate('{"input_data": {"NAME": "Ada", "where": {"a": 1}}}').model_dump() == {
        "name": "Ada",
        "where": '{"a": 1}',
    }
    with pytest.raises(ValidationError, match="name: is required; nme is unknown"):
        model.model_validate({"nme": "Ada"})


@pytest.mark.parametrize(("payload", "argument"), [({"mood": ["none"]}, "none"), ({"mood": "GOOD"}, "good")])
def test_what_a_reader_makes_of_a_value_has_the_arguments_type(payload, argument):
    spec = SPECS["notes and hidden fields"]
    model, _ = args_model(spec, "Hire", reader=lambda given: read_arguments(spec, given))

    assert model.model_validate(payload).model_dump() == {"mood": argument}


@pytest.mark.parametrize("single", [True, False])
def test_a_list_of_one_fits_an_argument_for_one_choice_or_several(single):
    rules = [{"validation": "max", "value": "1" if single else "2"}]
    fields = [
        {"id": "x", "type": "option", "name": "X", "data": {"values": ["a", "b"]}, "validations": rules}
    ]
    spec = read_input_schema(fields)
    model, _ = args_model(spec, "Hire", reader=lambda given: read_arguments(spec, given))

    for payload in ({"x": "a"}, {"x": ["a"]}, {"x": '["a"]'}):
        assert model.model_validate(payload).model_dump() == {"x": "a" if single else ["a"]}


def test_a_service_that_does_not_name_its_fields_takes_json_text():
    spec = SPECS["envelope"]
    model, names = args_model(spec, "Hire", reader=lambda given: read_arguments(spec, given))

    assert names == {}
    given = model.model_validate({"input_data": '{"a": 1}'}).model_dump()
    assert given == {"input_data": '{"a": 1}'}
    assert read_arguments(spec, given) == {"a": 1}
