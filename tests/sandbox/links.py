"""Links of a recorded corpus: how a request's value follows from an earlier step of its story."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from masumi_tools.sandbox.chain import lz
from masumi_tools.sandbox.timetext import iso, read_js

Lookup = Callable[[str], Any]
"""``"step:path"`` or ``"fixtures:path"`` -> value."""

_PART = re.compile(r"([ab])\[(\d)\]")


def walk(value: Any, path: str) -> Any:
    """The value at ``data.Purchases[1].id``; KeyError or IndexError when there is none."""
    for name in re.findall(r"[^.\[\]]+", path):
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def put(value: Any, path: str, new: Any) -> None:
    """Set the value at ``path``, whose parent must be there."""
    parent, _, last = path.rpartition(".")
    holder = walk(value, parent) if parent else value
    place = re.fullmatch(r"([^\[]*)\[(\d+)\]", last)
    if place is None:
        holder[last] = new
    elif place.group(1):
        holder[place.group(1)][int(place.group(2))] = new
    else:
        holder[int(place.group(2))] = new


def resolve(link: str | Mapping[str, Any], lookup: Lookup) -> Any:
    """The value that a link gives; ValueError for a ``how`` that nobody described."""
    if isinstance(link, str):
        return lookup(link)
    how = link["how"]
    if how == "compose":
        return _compose(link, lookup)
    return _derive(how, lookup(link["from"]), link)


def _derive(how: str, value: Any, link: Mapping[str, Any]) -> Any:
    match how:
        case "upper":
            return value.upper()
        case "upper-at":
            index = int(link["index"])
            return value[:index] + value[index].upper() + value[index + 1 :]
        case "tail-upper":
            cut = len(value) - int(link["length"])
            return value[:cut] + value[cut:].upper()
        case "wrap":
            return f"{link.get('prefix', '')}{value}{link.get('suffix', '')}"
        case "prefix":
            return value[: int(link["length"])]
        case "overwrite-tail":
            return value[: len(value) - len(link["tail"])] + link["tail"]
        case "replace":
            return value.replace(link["old"], link["new"])
        case "add":
            return str(_ms(value) + int(link["ms"]))
        case "iso-add":
            return iso(_ms(value) + int(link["ms"]))
        case "as-number":
            return int(value)
        case "as-iso":
            return iso(_ms(value))
        case "as-hex":
            return hex(int(value))
        case "as-seconds":
            return str(_ms(value) // 1000)
    raise ValueError(f"unknown link {how!r}")


def _ms(value: str | int) -> int:
    if isinstance(value, int) or value.isdigit():
        return int(value)
    found = read_js(value)
    if found is None:
        raise ValueError(f"no time: {value!r}")
    return found


def _compose(link: Mapping[str, Any], lookup: Lookup) -> str:
    """An identifier from the parts of others: ``a`` and ``b`` name them, some field tells what is put together.

    What it tells is a list or a dot-separated text of ``a[0]``, ``b[1]`` and words that stand for themselves.
    """
    ends: Any = link.get("from", link)
    names = ends if isinstance(ends, Mapping) else {"a": ends} if isinstance(ends, str) else _by_letter(ends)
    pieces = {end: _pieces(lookup(names[end])) for end in "ab" if end in names}
    told = next(v for k, v in link.items() if k not in ("how", "a", "b", "from") and "[" in str(v))
    taken = []
    for word in told.split(".") if isinstance(told, str) else told:
        part = _PART.fullmatch(word)
        taken.append(pieces[part[1]][int(part[2])] if part else str(word))
    return lz.compress(".".join(taken)).hex()


def _by_letter(places: Sequence[str]) -> dict[str, str]:
    return dict(zip("ab", places, strict=False))


def _pieces(text: str) -> list[str]:
    """The dot-separated parts of an identifier that decodes."""
    plain = lz.decompress(bytes.fromhex(text))
    if not plain:
        raise ValueError("not an identifier")
    return plain.split(".")
