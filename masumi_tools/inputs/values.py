"""Is this one value right for this one field? Each function gives the clean value or raises `Unfit`.

Strict: nothing is guessed. Text is no number and no boolean (protocol I4); a choice may also be a list
of positions, as some marketplaces send it, and comes out as the value meant (B1).
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from masumi_tools.errors import InputError
from masumi_tools.inputs.fields import InputField, Scalar, as_word, counted
from masumi_tools.inputs.pattern import fits
from masumi_tools.proof.hashing import JsonValue, normalise
from masumi_tools.text import plain_text

_EMAIL: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
)
_TEL: Final = re.compile(r"[0-9() +-]*[0-9][0-9() +-]*")
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?")
_MONTH: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_WEEK: Final = re.compile(r"([0-9]{4})-W([0-9]{2})")
_NUL: Final = re.compile(r"\x00")
_CONTROL: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]"
)  # all but tab and ends of lines
_ZONE: Final = re.compile(r"(?:Z|[+-][0-9]{2}:[0-9]{2})$")


class Unfit(ValueError):
    """The value does not fit the field; the text is the sentence for `field_errors`."""


def fit(field: InputField, value: object) -> JsonValue:
    """The clean value of a given, non-null value; Unfit with the sentence otherwise."""
    try:
        plain = normalise(value)
    except InputError as error:
        raise Unfit(
            next((text for texts in error.field_errors.values() for text in texts), str(error))
        ) from None
    return _FITS[field.kind](field, plain)


def is_blank(value: object) -> bool:
    """Whether a text says nothing; sellers count it as missing (protocol I2)."""
    return isinstance(value, str) and not value.strip()


def kind_word(value: object) -> str:
    """What a value is, in the words of a sentence: "a number was given"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list | tuple) else "an object"


def _text(field: InputField, value: JsonValue) -> JsonValue:
    if field.type == "hidden" and field.fixed is not None:
        if value != field.fixed:
            raise Unfit("is a hidden field whose value the service has fixed")
        return value
    if not isinstance(value, str):
        raise Unfit(f"{kind_word(value)} was given where text is expected")
    if found := (_CONTROL if field.type != "textarea" else _NUL).search(value):
        raise Unfit(f"contains the control character {_control_name(found[0])} at position {found.start()}")
    for word in (field.type, *field.formats):
        rule = _FORMATS.get(word)
        if rule and not rule[0](value):
            raise Unfit(rule[1])
    if not fits(field.pattern, value):
        raise Unfit(f"does not match the pattern {plain_text(field.pattern, 100)}")
    _in_length(field, value)
    return value


def _in_length(field: InputField, value: str) -> None:
    low, high = field.minimum, field.maximum
    if isinstance(low, Decimal) and len(value) < low:
        raise Unfit(f"is too short: {counted(len(value), 'character')}, needs at least {low}")
    if isinstance(high, Decimal) and len(value) > high:
        raise Unfit(f"is too long: {counted(len(value), 'character')}, at most {high} are allowed")


def _control_name(char: str) -> str:
    number = f"U+{ord(char):04X}"
    return f"NUL ({number})" if char == "\0" else number


def _is_url(text: str) -> bool:
    if re.search(r"[\s\x00-\x20<>\"]", text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


_FORMATS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "url": (_is_url, "is not an http or https URL"),
    "email": (_EMAIL.fullmatch, "is not an e-mail address"),
    "tel-pattern": (_TEL.fullmatch, "is not a telephone number: digits, spaces, + - ( ) only"),
    "color": (_COLOR.fullmatch, "is not a colour such as #1a2b3c"),
    "nonempty": (str.strip, "is blank"),
    "integer": (re.compile(r"-?[0-9]+").fullmatch, "is not a whole number"),
}


def _number(field: InputField, value: JsonValue) -> JsonValue:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"is not a number: {kind_word(value)} was given")
    if field.integer and isinstance(value, float):
        raise Unfit("is not a whole number")
    exact = Decimal(str(value))
    for bound, wrong, words in (
        (field.minimum, exact.__lt__, "at least"),
        (field.maximum, exact.__gt__, "at most"),
        (field.above, exact.__le__, "more than"),
        (field.below, exact.__ge__, "less than"),
    ):
        if isinstance(bound, Decimal) and wrong(bound):
            raise Unfit(f"must be {words} {bound}")
    if field.step:
        start = field.minimum if isinstance(field.minimum, Decimal) else Decimal(0)
        if (exact - start) % field.step:
            raise Unfit(f"must go in steps of {field.step}" + (f" from {start}" if start else ""))
    return value


def _boolean(field: InputField, value: JsonValue) -> JsonValue:
    if field.values and not isinstance(value, bool):  # checkboxes with choices
        return _choice(field, value)
    if not isinstance(value, bool):
        raise Unfit(f"must be true or false, {kind_word(value)} was given")
    return value


def _choice(field: InputField, value: JsonValue) -> JsonValue:
    low = field.minimum if isinstance(field.minimum, Decimal) else Decimal(1)
    if not isinstance(value, list):
        if field.type == "multiselect":
            raise Unfit(f"{kind_word(value)} was given where a list of choices is expected")
        if low > 1:
            raise Unfit(f"has 1 choice, needs at least {low}")
        return _one_choice(field, value)
    if field.type == "enum":
        raise Unfit("a list was given where one choice is expected")
    if field.type == "radio" and (len(value) != 1 or not _are_positions(field, value)):
        raise Unfit("takes one choice and no list")
    if not value and (low > 0 or field.required):
        raise Unfit("needs at least one choice")
    if len(value) < low:
        raise Unfit(f"has {counted(len(value), 'choice')}, needs at least {low}")
    if isinstance(field.maximum, Decimal) and len(value) > field.maximum:
        most = "only one choice is" if field.maximum == 1 else f"at most {field.maximum} choices are"
        raise Unfit(f"has {counted(len(value), 'choice')}, {most} allowed")
    chosen = _by_position(field, value) if _are_positions(field, value) else value
    kept: list[JsonValue] = [_one_choice(field, item) for item in chosen]
    if len(set(map(repr, kept))) < len(kept):
        raise Unfit("names one choice twice")
    return kept[0] if field.type == "radio" else kept


def _one_choice(field: InputField, value: JsonValue) -> Scalar:
    if not isinstance(value, str | int | float):
        raise Unfit(f"{kind_word(value)} was given where a choice is expected")
    if not field.choices:
        if isinstance(value, str) and not is_blank(value):
            return value
        raise Unfit(f"{kind_word(value)} was given where text is expected")
    for known in field.choices:
        if (type(known) is type(value) and known == value) or (
            # choices that are numbers are served as text by MIP-003
            not isinstance(known, str) and isinstance(value, str) and as_word(known) == value
        ):
            return known
    given = f'"{plain_text(value, 40)}" is' if isinstance(value, str) else f"{kind_word(value)} is"
    raise Unfit(f"{given} not one of the choices: {choice_words(field)}")


def choice_words(field: InputField, most: int = 20) -> str:
    """The choices as a list for a sentence, cut after `most`."""
    words = [plain_text(as_word(value), 60) for value in field.choices[:most]]
    more = len(field.choices) - len(words)
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _are_positions(field: InputField, value: list[JsonValue]) -> bool:
    """Whether a list holds positions of choices and not choices; both at once cannot be told apart."""
    if (
        not value
        or not field.values
        or any(isinstance(item, bool) or not isinstance(item, int) for item in value)
    ):
        return False
    return not any(isinstance(known, int) and not isinstance(known, bool) for known in field.values)


def _by_position(field: InputField, positions: list[JsonValue]) -> list[JsonValue]:
    chosen: list[JsonValue] = []
    for position in positions:
        if not isinstance(position, int) or not 0 <= position < len(field.values):
            raise Unfit(f"has no choice at position {position}: they go from 0 to {len(field.values) - 1}")
        known = field.values[position]
        if known == "":
            raise Unfit(f"the choice at position {position} is the empty one")
        if str(position) in field.values and known != str(position):
            raise Unfit(f"{position} could be the choice or its position: give the choice as text")
        chosen.append(known)
    return chosen


def _moment(field: InputField, value: JsonValue) -> JsonValue:
    if not isinstance(value, str):
        raise Unfit(f"{kind_word(value)} was given where a {field.type} is expected")
    read = _MOMENTS[field.type]
    found = read(value)
    if found is None:
        raise Unfit(f"is not a {field.type} of the form {MOMENT_FORMS[field.type]}")
    for bound, later, words in ((field.minimum, False, "not before"), (field.maximum, True, "not after")):
        limit = _bound(field, bound) if isinstance(bound, str) else None
        if limit is not None and found != limit and (found > limit) is later:
            raise Unfit(f"must be {words} {bound}")
    return value


def _bound(field: InputField, text: str) -> Any:
    limit = _MOMENTS[field.type](text)
    if limit is None and field.type in ("datetime", "datetime-local") and (day := _date(text)):
        return datetime.combine(day, time())
    return limit


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def _time(text: str) -> time | None:
    try:
        return time.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        return None


def _wall(text: str) -> datetime | None:
    """A date and a time without zone."""
    day, mark, clock = text.partition("T")
    first, second = _date(day), _time(clock)
    return datetime.combine(first, second) if mark and first and second is not None else None


def _zoned(text: str) -> datetime | None:
    """A date and a time, with a zone or without; only compared within one schema's own limits."""
    return _wall(_ZONE.sub("", text))


def _month(text: str) -> str | None:
    return text if _MONTH.fullmatch(text) else None


def _week(text: str) -> date | None:
    match = _WEEK.fullmatch(text)
    try:
        return date.fromisocalendar(int(match[1]), int(match[2]), 1) if match else None
    except ValueError:
        return None


_MOMENTS: Final[Mapping[str, Callable[[str], Any]]] = {
    "date": _date,
    "time": _time,
    "datetime-local": _wall,
    "datetime": _zoned,
    "month": _month,
    "week": _week,
}
MOMENT_FORMS: Final[Mapping[str, str]] = {
    "date": "2026-01-31",
    "time": "13:45",
    "datetime-local": "2026-01-31T13:45",
    "datetime": "2026-01-31T13:45:00Z",
    "month": "2026-01",
    "week": "2026-W05",
}


def _file(field: InputField, value: JsonValue) -> JsonValue:
    files = value if isinstance(value, list) else [value]
    low, high = field.minimum, field.maximum
    if isinstance(high, Decimal) and len(files) > high:
        raise Unfit(f"has {counted(len(files), 'file')}, at most {high} are allowed")
    if not isinstance(high, Decimal) and len(files) > 1 and not field.multiple:
        raise Unfit("takes one file")
    if (isinstance(low, Decimal) and len(files) < low) or (not files and field.required):
        raise Unfit(f"has {counted(len(files), 'file')}, needs at least {low or 1}")
    for item in files:
        if not isinstance(item, str):
            raise Unfit(f"{kind_word(item)} was given where the URL of a file is expected")
        if field.output_format == "base64":
            continue
        if not _is_url(item):
            raise Unfit("is not the http or https URL of a file")
        if not _accepted(field, item):
            raise Unfit(f"is not a kind of file that is accepted: {', '.join(field.accept[:20])}")
    return value if field.many or not isinstance(value, list) or not value else value[0]


def _accepted(field: InputField, url: str) -> bool:
    """Whether the name in a URL fits the accept list; a name without an ending cannot be told."""
    name = urlsplit(url).path.rsplit("/", 1)[-1].lower()
    if not field.accept or "." not in name:
        return True
    kind = mimetypes.guess_type(name)[0] or ""
    return any(
        name.endswith(rule)
        if rule.startswith(".")
        else rule in ("*", "*/*", kind) or kind.startswith(rule.rstrip("*"))
        for rule in field.accept
    )


def _object(field: InputField, value: JsonValue) -> JsonValue:
    if not field.parts:
        if isinstance(value, dict | list):
            return value
        raise Unfit(f"{kind_word(value)} was given where an object is expected")
    if not isinstance(value, dict):
        raise Unfit(f"{kind_word(value)} was given where an object is expected")
    clean = dict(value)
    for part in field.parts:
        given = value.get(part.id)
        if given is None and part.required and not part.needed and part.id not in value:
            given = part.default
        if given is not None:
            clean[part.id] = _fit_part(part, given)
        elif part.required and not (part.nullable and part.id in value):
            raise Unfit(f"its field {part.id} is required")
        elif not part.required:
            clean.pop(part.id, None)
    return clean


def _fit_part(part: InputField, given: JsonValue) -> JsonValue:
    try:
        return fit(part, given)
    except Unfit as error:
        raise Unfit(f"its field {part.id} {error}") from None


def _list(field: InputField, value: JsonValue) -> JsonValue:
    if not isinstance(value, list):
        raise Unfit(f"{kind_word(value)} was given where a list is expected")
    if isinstance(field.minimum, Decimal) and len(value) < field.minimum:
        raise Unfit(f"has {len(value)} entries, needs at least {field.minimum}")
    if isinstance(field.maximum, Decimal) and len(value) > field.maximum:
        raise Unfit(f"has {len(value)} entries, at most {field.maximum} are allowed")
    if field.item is None:
        return value
    clean: list[JsonValue] = []
    for number, item in enumerate(value, 1):
        try:
            clean.append(fit(field.item, item))
        except Unfit as error:
            raise Unfit(f"its entry {number} {error}") from None
    return clean


def _any(field: InputField, value: JsonValue) -> JsonValue:
    if isinstance(value, dict | list) or value is None:
        raise Unfit(f"{kind_word(value)} was given where a single value is expected")
    return value


_FITS: Final[dict[str, Callable[[InputField, JsonValue], JsonValue]]] = {
    "text": _text,
    "number": _number,
    "boolean": _boolean,
    "choice": _choice,
    "moment": _moment,
    "file": _file,
    "object": _object,
    "list": _list,
    "note": _any,
    "any": _any,
}
