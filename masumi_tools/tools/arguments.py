"""What language models really send as a tool's arguments, read into the input of a service, without guessing.

Known shapes: the object itself; JSON or Python text of it, fenced, with prose around it, encoded twice;
wrapped once or more in input_data, params, kwargs and the like, or as a whole function call; fields beside
the wrapper; a list of key and value; keys in other case or with other separators; nulls. Whatever could
mean two things is refused with the field's name, because money follows.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec, arg_names, check
from masumi_tools.inputs.check import near
from masumi_tools.inputs.describe import need, type_words
from masumi_tools.inputs.fields import FREE_TEXT, loose_key
from masumi_tools.inputs.lenient import NotJson, has_json_start, read_json
from masumi_tools.inputs.values import Unfit, kind_word
from masumi_tools.text import plain_text
from masumi_tools.tools.repair import repair

_MOST_LAYERS: Final = 6
_WRAPPERS: Final = frozenset(
    loose_key(word)
    for word in (
        "input_data", "input", "inputs", "params", "parameters", "kwargs", "args", "arguments", "properties",
        "values", "data", "payload", "body", "fields", "request", "tool_input", "action_input", "json",
    )
)  # fmt: skip
# Under these a plain text is the whole input, as if it had come alone.
_TEXT_WRAPPERS: Final = frozenset({"inputdata", "input", "toolinput", "actioninput"})
# A call written out whole; inside is one of the wrappers.
_CALLS: Final = frozenset({"function", "functioncall", "toolcall", "toolcalls"})
# What stands beside the arguments in a call or in an echoed schema, and is no argument.
_BESIDE: Final = frozenset(
    {
        "name", "tool", "toolname", "function", "action", "id", "callid", "type", "title", "description",
        "required", "schema", "additionalproperties",
    }
)  # fmt: skip
_HOLD_NO_OBJECT: Final = frozenset({"text", "number", "boolean", "choice", "moment", "file"})
_ASSIGNMENT: Final = re.compile(r"\s*[\w.-]{1,60}\s*(?:=|:=)\s*\S")
_CALL: Final = re.compile(r"\s*[A-Za-z_][\w.]{0,60}\(.*\)\s*", re.DOTALL)
_KEYED: Final = re.compile(r"\s*[\"']?([\w -]{1,60}?)[\"']?\s*:\s")
_SCRATCH: Final = re.compile(
    r"\s*(?:thought|action|action input|observation|final answer)\s*:", re.IGNORECASE
)
_MARKED_UP: Final = re.compile(r"\{[^{}]*:[^{}]*\}|\"\"\"|'''|^\s*(?:<\w|```)")


class Reader:
    """`read_arguments` for one service; the call that it has just read is not read again.

    A framework shows the arguments of one call to its tool twice before the hire reads them.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self._fields = _Fields(spec)
        self._last: tuple[str, dict[str, Any], list[str]] | None = None

    def __call__(self, payload: object, notes: list[str] | None = None) -> dict[str, Any]:
        """The input for the service; errors and `notes` as those of `read_arguments`."""
        written = _written(payload)
        last = self._last
        if last is None or written is None or last[0] != written:
            said: list[str] = []
            found = self._fields.read(payload, said)
            last = (written or "", found, said)
            self._last = last if written is not None else None
        if notes is not None:
            notes += last[2]
        return copy.deepcopy(last[1])


def _written(payload: object) -> str | None:
    """The payload as JSON, in which 1, 1.0 and true differ; None for what is not JSON."""
    try:
        return json.dumps(payload)
    except (TypeError, ValueError, RecursionError):
        return None


def read_arguments(spec: InputSpec, payload: object, notes: list[str] | None = None) -> dict[str, Any]:
    """The input for the service from what a model sent; InputError with `field_errors` by field id otherwise.

    `payload` is the arguments of the call or the value of its input argument: object, list, text, null.
    Keys may be ids, argument names of `args_model` or differ in case and separators only. Unknown keys are
    refused. The values are checked like by `inputs.check`; the error's text says which fields are wanted.
    Nothing was sent when it raises. `notes` takes a sentence for each word that was read as nothing.
    """
    return _Fields(spec).read(payload, notes)


def _explained(spec: InputSpec, errors: dict[str, list[str]], empty: bool) -> dict[str, list[str]]:
    """The errors in the schema's order, each missing field with what was given instead."""
    unknown = [name for name in errors if spec.field(name) is None]
    order = [field.id for field in spec.fields if field.id in errors] + unknown
    shown = ", ".join(plain_text(name, 40) for name in unknown[:3])
    instead = f"; {shown} {'is' if len(unknown) == 1 else 'are'} unknown" if unknown else ""
    instead = "; no arguments were given" if empty else instead
    return {
        name: [text + (instead if text == "is required" else "") for text in errors[name]] for name in order
    }


class _Fields:
    """The fields of one spec, with all the names that they may come under."""

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self.by_id = {field.id: field for field in reversed(spec.fields)}
        self.fields = [field for field in spec.fields if field.kind != "note"]
        self.notes = {field.id for field in spec.fields if field.kind == "note"}
        self.exact = {field.id: field.id for field in self.fields} | arg_names(spec.asked)
        self.loose = [
            _index((loose_key(field.id), field.id) for field in self.fields),
            _index((loose_key(field.id.rsplit(":", 1)[-1]), field.id) for field in self.fields),
            _index((loose_key(field.name), field.id) for field in self.fields),
        ]

    def read(self, payload: object, notes: list[str] | None) -> dict[str, Any]:
        """As `read_arguments`."""
        given = self.object_of(payload, 0)
        if self.spec.refusal or self.spec.open_ended:
            return check(self.spec, given)
        values, errors = self.by_field(given)
        repaired: dict[str, Any] = {}
        for field_id, value in values.items():
            field = self.by_id.get(field_id)
            try:
                clean = value if field is None else repair(field, value)
            except Unfit as error:
                errors[field_id] = [str(error)]
                continue
            if notes is not None and clean is None and field and isinstance(value, str) and value.strip():
                notes.append(
                    f"{plain_text(field_id, 60)} was left out: {plain_text(value, 20)} was read as nothing."
                )
            if clean is not None or (field is not None and field.nullable):
                repaired[field_id] = clean
        try:
            found = check(self.spec, repaired)
        except InputError as error:
            errors = {**{k: v for k, v in error.field_errors.items() if k not in errors}, **errors}
            found = {}
        if errors:
            raise self.refusal(_explained(self.spec, errors, not given))
        return found

    def refusal(self, errors: Mapping[str, list[str]]) -> InputError:
        """The error with a text that a model can act on."""
        words = "; ".join(f"{plain_text(name, 60)}: {texts[0]}" for name, texts in list(errors.items())[:10])
        wanted = ", ".join(
            f"{field.id} ({type_words(field)}, {need(field)})" for field in self.spec.asked[:30]
        )
        fields = "the service's input fields" if self.spec.open_ended else wanted or "no fields"
        return InputError(
            f"Invalid input; nothing was sent: {words}. "
            f"Send an object with {fields}. Correct the input before you call again.",
            field_errors=errors,
        )

    def no_object(self, sentence: str, first: str | None = None) -> InputError:
        """The refusal of a whole payload: it stands at every field that is needed."""
        fields = self.spec.required or self.spec.asked[:1]
        ids = [field.id for field in fields]
        if first is not None and (found := self.resolve(first)[:1]):
            ids = [found[0], *(name for name in ids if name != found[0])]
        return self.refusal({name: [sentence] for name in ids or [""]})

    def needed(self, given: str) -> InputError:
        names = ", ".join(plain_text(field.id, 40) for field in (self.spec.required or self.spec.asked)[:5])
        fields = f" with the field{'s' if ',' in names else ''} {names}" if names else ""
        return self.no_object(f"an object{fields} is expected, but {given}")

    def resolve(self, key: str) -> list[str]:
        """The ids that a key can mean: none, one, or several that cannot be told apart."""
        if key in self.exact:
            return [self.exact[key]]
        folded = loose_key(key)
        return next((index[folded] for index in self.loose if folded and folded in index), [])

    def object_of(self, payload: object, layer: int) -> dict[str, Any]:
        """The object of fields in a payload of any shape."""
        if layer > _MOST_LAYERS:
            raise self.needed("it is nested too deeply")
        if payload is None:
            return {}
        if isinstance(payload, str):
            return self.from_text(payload, layer)
        if isinstance(payload, list | tuple):
            return self.from_list(list(payload), layer)
        if not isinstance(payload, Mapping):
            raise self.needed(f"{kind_word(payload)} was given")
        return self.from_object({str(key): value for key, value in payload.items()}, layer)

    def from_text(self, text: str, layer: int) -> dict[str, Any]:
        if not text.strip():
            return {}
        try:
            value = read_json(text).value
        except NotJson as error:
            if error.fault == "no JSON":
                return self.from_sentence(text)
            raise self.no_object(error.sentence, error.inside) from None
        if isinstance(value, str) and not (has_json_start(value) or value.startswith('"')):
            raise self.needed("text was given")
        return self.object_of(value, layer + 1)

    def from_sentence(self, text: str) -> dict[str, Any]:
        """Plain text: the value of the one required text field, when it can be nothing else."""
        required = self.spec.required
        keyed = _KEYED.match(text)
        if self.resolve(text.strip()):
            raise self.no_object("only the name of a field was given, without a value")
        if (
            len(required) != 1
            or required[0].type not in FREE_TEXT - {"password"}
            or any(shape.match(text) for shape in (_ASSIGNMENT, _SCRATCH))
            or _CALL.fullmatch(text)
            or _MARKED_UP.search(text)
            or (keyed and self.resolve(keyed[1]))
        ):
            raise self.needed("text was given")
        return {required[0].id: text}

    def from_list(self, items: list[Any], layer: int) -> dict[str, Any]:
        if not items:
            return {}
        pairs = [_pair(item) for item in items]
        if all(pair is not None for pair in pairs):
            return self.from_pairs([pair for pair in pairs if pair is not None])
        if all(isinstance(item, Mapping) for item in items):
            if any(item != items[0] for item in items):
                raise self.no_object("two different objects were given")
            return self.object_of(items[0], layer + 1)
        if all(isinstance(item, str) and self.resolve(item) for item in items):
            raise self.no_object("names of fields were given without values")
        raise self.needed("a list was given")

    def from_pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """A list of key and value, as old documents show it; a key that comes again makes a list."""
        found: dict[str, Any] = {}
        repeated: set[str] = set()
        for key, value in pairs:
            if key not in found:
                found[key] = value
            elif key in repeated:
                found[key].append(value)
            else:
                found[key] = [found[key], value]
                repeated.add(key)
        return found

    def from_object(self, given: dict[str, Any], layer: int) -> dict[str, Any]:
        """The fields of an object, out of the wrappers that models put around them."""
        wrapped = [key for key, value in given.items() if self.is_wrapper(key, value, given)]
        if not wrapped:
            return given
        beside = {key: value for key, value in given.items() if key not in wrapped}
        kept = {key: value for key, value in beside.items() if self.resolve(key) or value is not None}
        if all(loose_key(key) in _BESIDE for key in beside) and loose_key(wrapped[0]) != "inputdata":
            for key in filter(self.resolve, beside):
                raise self.refusal(
                    {
                        self.resolve(key)[0]: [
                            f"{key} is ambiguous: put the fields at the top level, without a wrapper"
                        ]
                    }
                )
            kept = {}
        for key in wrapped:
            for name, value in self.object_of(given[key], layer + 1).items():
                if name in kept and kept[name] != value:
                    raise self.refusal({name: ["is given twice with different values"]})
                kept[name] = value
        return kept

    def is_wrapper(self, key: str, value: Any, given: dict[str, Any]) -> bool:
        """Whether a key holds the input and is no field: by its name, and by what stands in it."""
        folded, ids = loose_key(key), self.resolve(key)
        alone = value if isinstance(value, Mapping) and len(given) == 1 else {}
        only_fields = bool(alone) and all(self.resolve(str(name)) for name in alone)
        if ids:  # a field of a wrapper's name, which cannot hold an object itself
            field = self.by_id.get(ids[0])
            return only_fields and folded in _WRAPPERS and field is not None and field.kind in _HOLD_NO_OBJECT
        if folded in _CALLS:
            return isinstance(value, Mapping | list)
        if folded not in _WRAPPERS:
            return only_fields  # any other name around the whole, such as the tool's own
        if isinstance(value, str) and value.strip():
            return has_json_start(value) or folded in _TEXT_WRAPPERS
        return value is None or isinstance(value, Mapping | list | str)

    def by_field(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """The values by field id, and what is wrong with keys."""
        values: dict[str, Any] = {}
        errors: dict[str, list[str]] = {}
        for key, value in given.items():
            ids = self.resolve(key)
            if len(ids) == 1:
                if ids[0] in values and values[ids[0]] != value:
                    errors[ids[0]] = ["is given twice with different values"]
                values[ids[0]] = value
            elif ids:
                errors[key] = [f"could be {' or '.join(ids[:4])}"]
            elif value is not None and key not in self.notes:
                errors[key] = ["unknown field"]
        missing = [field.id for field in self.spec.asked if field.id not in values]
        for key in [key for key, texts in errors.items() if texts == ["unknown field"]][:20]:
            if meant := near(key, missing):
                errors[key] = [f"unknown field, did you mean {meant}?"]
        return values, errors


def _index(pairs: Any) -> dict[str, list[str]]:
    index: dict[str, list[str]] = {}
    for folded, field_id in pairs:
        if folded and field_id not in index.setdefault(folded, []):
            index[folded].append(field_id)
    return index


def _pair(item: Any) -> tuple[str, Any] | None:
    """The key and value of {"key", "value"} or {"name" | "id" | "field", "value"}; None for anything else."""
    if not isinstance(item, Mapping) or len(item) != 2 or "value" not in item:
        return None
    key = next((item[word] for word in ("key", "id", "name", "field") if word in item), None)
    return (key, item["value"]) if isinstance(key, str) else None
