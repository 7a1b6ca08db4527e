"""One input field and the whole of a service's input, whatever dialect they were served in.

The type words are those of MIP-003 attachment 01, with the aliases that sellers use folded into them
("string" is "text"). A word that nobody knows is kept: such a field takes any single value.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from masumi_tools.proof.hashing import JsonValue
from masumi_tools.text import plain_text

Kind: TypeAlias = Literal[
    "text", "number", "boolean", "choice", "moment", "file", "object", "list", "note", "any"
]
Scalar: TypeAlias = str | int | float | bool

KINDS: Final[dict[str, Kind]] = {
    "text": "text",
    "textarea": "text",
    "search": "text",
    "password": "text",
    "email": "text",
    "url": "text",
    "tel": "text",
    "color": "text",
    "hidden": "text",
    "number": "number",
    "range": "number",
    "boolean": "boolean",
    "checkbox": "boolean",
    "option": "choice",
    "radio": "choice",
    "multiselect": "choice",
    "enum": "choice",  # JSON Schema's: one of the values, never a list
    "date": "moment",
    "datetime-local": "moment",
    "datetime": "moment",
    "time": "moment",
    "month": "moment",
    "week": "moment",
    "file": "file",
    "object": "object",
    "list": "list",
    "none": "note",
    **dict.fromkeys(  # words by which forms call what is only shown
        (
            "note",
            "info",
            "hint",
            "instructions",
            "markdown",
            "html",
            "heading",
            "header",
            "label",
            "divider",
            "separator",
            "paragraph",
            "static",
            "display",
        ),
        "note",
    ),
}

ALIASES: Final[dict[str, str]] = {
    "string": "text",
    "str": "text",
    "multiline": "textarea",
    "longtext": "textarea",
    "phone": "tel",
    "uri": "url",
    "int": "number",
    "integer": "number",
    "float": "number",
    "double": "number",
    "decimal": "number",
    "slider": "range",
    "bool": "boolean",
    "select": "option",
    "dropdown": "option",
    "options": "option",
    "multi-select": "multiselect",
    "multiple-choice": "multiselect",
    "array": "list",
    "dict": "object",
    "json": "object",
}

FREE_TEXT: Final = frozenset({"text", "textarea", "search", "password"})


@dataclass(frozen=True, slots=True)
class InputField:
    """One field of a service's input: what may be sent under `id`, and what it means to people.

    `minimum` and `maximum` count characters of a text, choices of a choice, files of a file, items of a
    list, bound the value of a number (`above` and `below` without the bound itself), and are text for
    dates and times. `values` are what may be sent, `labels` the words for them; values on a text field
    are only hints. `pattern` is one that is quick to run. `filled` says that the default is sent where nothing was given: in
    JSON Schema; in MIP-003's form a default is a hint. `fixed` is the value of a hidden field. `parts` are the fields of an object, `item`
    one entry of a list. `ours` marks a field of our own service: it is served in a
    form of MIP-003's, and whatever that form brings in is read into what the work expects. Texts of the service are foreign: cut to size, without control characters.
    """

    id: str
    type: str = "text"
    name: str = ""
    description: str = ""
    placeholder: str = ""
    required: bool = True
    nullable: bool = False
    values: tuple[Scalar, ...] = ()
    labels: tuple[str, ...] = ()
    minimum: Decimal | str | None = None
    maximum: Decimal | str | None = None
    above: Decimal | None = None
    below: Decimal | None = None
    step: Decimal | None = None
    formats: tuple[str, ...] = ()
    pattern: str = ""
    accept: tuple[str, ...] = ()
    max_size: int | None = None
    output_format: str = ""
    multiple: bool = False
    default: JsonValue = None
    filled: bool = False
    fixed: JsonValue = None
    group: str = ""
    parts: tuple[InputField, ...] = ()
    item: InputField | None = None
    ours: bool = False
    kind: Kind = field(init=False, repr=False, compare=False)
    """What is checked: "any" for a type that nobody knows."""
    asked: bool = field(init=False, repr=False, compare=False)
    """Whether a caller fills it in: no note, and no hidden field whose value is fixed."""

    def __post_init__(self) -> None:
        fixed = self.type == "hidden" and self.fixed is not None
        object.__setattr__(self, "kind", KINDS.get(self.type, "any"))
        object.__setattr__(self, "asked", self.kind != "note" and not fixed)

    @property
    def needed(self) -> bool:
        """Whether the caller has to give it: required, and without a default that is sent in its place."""
        return self.required and not (self.filled and self.default is not None and self.default != "")

    @property
    def integer(self) -> bool:
        """Whether only whole numbers are meant."""
        return "integer" in self.formats

    @property
    def choices(self) -> tuple[Scalar, ...]:
        """The values that may be chosen: without the empty one that a form shows first."""
        return tuple(value for value in self.values if value != "")

    @property
    def many(self) -> bool:
        """Whether the schema says that several values may be given."""
        if self.type in ("radio", "enum"):
            return False
        return (
            self.type == "multiselect"
            or self.multiple
            or (isinstance(self.maximum, Decimal) and self.maximum > 1)
        )

    @property
    def single(self) -> bool:
        """Whether the schema says that only one value may be given."""
        if self.kind == "file":
            return not self.many
        return self.type in ("radio", "enum") or (self.maximum == 1 and not self.many)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a service wants as input, read from any dialect.

    `wire` is the form of the first start_job body: "object" (MIP-003), "kv-list" (list of key and
    value), "text" (input_data is one text). `loose` says that the dialect does not tell how the body
    looks, so another form may be tried once. `fill_notes` says that notes must be sent too. `closed`
    refuses keys that are not declared. `open_ended` means that the schema says nothing about the fields.
    `problems` are sentences about deviations that do no harm; a non-empty `refusal` says why no input can
    be formed: `check` raises it.
    """

    fields: tuple[InputField, ...] = ()
    dialect: str = "mip003"
    wire: Literal["object", "kv-list", "text"] = "object"
    loose: bool = False
    fill_notes: bool = False
    closed: bool = False
    open_ended: bool = False
    problems: tuple[str, ...] = ()
    refusal: str = ""
    asked: tuple[InputField, ...] = field(init=False, repr=False, compare=False)
    """The fields that a caller fills in, in the service's order."""
    required: tuple[InputField, ...] = field(init=False, repr=False, compare=False)
    """The asked fields that must be given."""

    def __post_init__(self) -> None:
        asked = tuple(one for one in self.fields if one.asked)
        object.__setattr__(self, "asked", asked)
        object.__setattr__(self, "required", tuple(one for one in asked if one.needed))

    def field(self, field_id: str) -> InputField | None:
        """The field of this id, or None."""
        return next((one for one in self.fields if one.id == field_id), None)

    def refused(self, sentence: str) -> InputSpec:
        """The same spec with a reason why no input can be formed."""
        return replace(self, refusal=sentence)


def as_word(value: Scalar) -> str:
    """A choice as text, as JSON writes it: true, 3, "x"."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def label_of(value: Scalar) -> str:
    """The word for a choice that has no label of its own."""
    return plain_text(as_word(value), 200)


def loose_key(name: str) -> str:
    """A key without case and separators, for comparing "styleId" with "style_id"."""
    return "".join(char for char in name.casefold() if char.isalnum())


def counted(count: int, word: str) -> str:
    """A count with its noun: "1 field", "2 fields"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
