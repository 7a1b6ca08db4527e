"""Times as the node writes and reads them: ISO texts, JavaScript dates, decimal milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache

MINUTE = 60_000
HOUR = 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STRICT = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z?))?")
_LOOSE = re.compile(
    r"([+-]\d{6}|\d{4})(?:-(\d\d)(?:-(\d\d))?)?"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(Z|[+-]\d\d:?\d\d)?)?"
)
_WORDS = ("%b %d %Y", "%b %d, %Y", "%d %b %Y", "%Y/%m/%d", "%m/%d/%Y", "%Y/%m/%d %H:%M:%S")


@lru_cache(maxsize=8192)
def iso(ms: int) -> str:
    """``2026-11-25T02:24:35.284Z`` for unix milliseconds."""
    whole = _EPOCH + timedelta(milliseconds=ms)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def http_date(ms: int) -> str:
    """The ``Date`` header at unix milliseconds: whole seconds, as every HTTP server says it."""
    return _second(ms // 1000)


def read_strict(text: str) -> int | None:
    """Unix ms of the forms that the node's schema takes: date, date-time with ``Z`` or without zone (UTC).

    No offset, not even ``+00:00``. None for anything else (protocol N3).
    """
    match = _STRICT.fullmatch(text)
    if match is None or not _is_day(*match.groups()[:3]):
        return None
    return _ms(*match.groups())


def read_js(text: str) -> int | None:
    """Unix ms of what ``new Date(text)`` reads: ISO forms with any offset and the common written dates."""
    text = text.strip()
    match = _LOOSE.fullmatch(text)
    if match is not None and len(match.group(1)) == 4:
        return _ms(*match.groups())
    for form in _WORDS:
        try:
            return _unix(datetime.strptime(text, form).replace(tzinfo=UTC))
        except ValueError:
            continue
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    return _unix(found if found.tzinfo else found.replace(tzinfo=UTC))


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        datetime(int(year), int(month), int(day), tzinfo=UTC)
    except ValueError:
        return False
    return True


def _ms(
    year: str,
    month: str | None,
    day: str | None,
    hour: str | None,
    minute: str | None,
    second: str | None,
    fraction: str | None,
    zone: str | None,
) -> int | None:
    try:
        clock = int(hour or 0), int(minute or 0), int(second or 0)
        whole = datetime(int(year), int(month or 1), 1, *clock, tzinfo=UTC)
    except ValueError:
        return None
    days = int(day or 1)
    if not 1 <= days <= 31:
        return None
    whole += timedelta(days=days - 1)  # JavaScript reads 30 February as 2 March
    shift = 0
    if zone and zone != "Z":
        digits = zone[1:].replace(":", "")
        shift = (int(digits[:2]) * 60 + int(digits[2:])) * MINUTE * (-1 if zone[0] == "-" else 1)
    return _unix(whole) + int(((fraction or "") + "000")[:3]) - shift


def _unix(when: datetime) -> int:
    return (when - _EPOCH) // timedelta(milliseconds=1)
