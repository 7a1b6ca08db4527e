"""The blockchainIdentifier as the node makes and reads it (protocol N11)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import lz

_HEX = re.compile("(?:[0-9a-fA-F]{2})+")
_PAIRS = re.compile(r"(?:[0-9a-fA-F]{2})*")
_CACHE_SIZE = 20_000
_known: dict[str, Parts | None] = {}


@dataclass(slots=True, frozen=True)
class Parts:
    """What stands inside an identifier; ``contract`` only in V2."""

    seller_id: str
    purchaser_id: str
    signature: str
    key: str
    contract: str | None = None

    @property
    def agent_identifier(self) -> str:
        return self.seller_id[64:]


@lru_cache(maxsize=_CACHE_SIZE)
def encode(parts: Parts) -> str:
    """The canonical text: lower-case hex of the compressed parts."""
    texts = [parts.seller_id, parts.purchaser_id, parts.signature, parts.key]
    if parts.contract is not None:
        texts.append(parts.contract)
    text = lz.compress(".".join(texts)).hex()
    _keep(text, parts)
    return text


def decode(text: str) -> Parts | None:
    """The parts of any spelling that the node accepts, None when the format is invalid.

    Reads hex like Node's Buffer: up to the first pair that is none. ValueError where the node's code throws.
    """
    if text in _known:
        return _known[text]
    match = _PAIRS.match(text)
    plain = lz.decompress(bytes.fromhex(match.group() if match else ""))
    return _keep(text, _parts(plain))


def _parts(plain: str | None) -> Parts | None:
    pieces = plain.split(".") if plain else []
    if len(pieces) not in (4, 5) or not all(_HEX.fullmatch(piece) for piece in pieces[:2]):
        return None
    if len(pieces) == 5 and (not pieces[4].startswith("addr") or len(pieces[4]) > 250):
        return None
    return Parts(*pieces)


def _keep(text: str, parts: Parts | None) -> Parts | None:
    if len(_known) >= _CACHE_SIZE:
        _known.clear()
    _known[text] = parts
    return parts


def terms_digest(terms: Mapping[str, Any]) -> bytes:
    """The 32 bytes that the selling wallet signs: SHA-256 of the terms as JSON with sorted keys."""
    text = json.dumps(terms, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
