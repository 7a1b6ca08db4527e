"""Identifiers: their parts, their one canonical spelling, and hostile bytes that must be refused in words."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from masumi_tools.errors import IdentifierError
from masumi_tools.proof.identifier import (
    MAX_HEX,
    MAX_TEXT,
    BlockchainIdentifier,
    compress,
    decode,
    decompress,
    encode,
    is_canonical,
    seller_key_hash,
    verify,
)
from tests.core.signing import AGENT, CONTRACT, PURCHASER, TERMS, Seller, terms_of
from tests.shared import shared_json

ROOT = Path(__file__).resolve().parents[2]
WIRE = ROOT / "tests" / "wire"
RECORDED: list[dict[str, Any]] = json.loads((WIRE / "identifiers.json").read_text())["purchases"]
LZ_STRING: list[dict[str, str]] = json.loads((WIRE / "lz-string.json").read_text())["vectors"]
V1 = RECORDED[0]["blockchainIdentifier"]

# One signed identifier in other spellings, which a node takes as other purchases.
RESPELLED = {
    "upper": V1.upper(),
    "mixed": V1[:100] + V1[100:200].upper() + V1[200:],
    "trailing space": V1 + " ",
    "newline": V1 + "\n",
    "zz": V1 + "zz",
    "ffff": V1 + "ffff",
    "zeros": V1 + "0000",
    "one more digit": V1 + "0",
    "without the padding": V1.removesuffix("0000"),
}
BAD = {
    "empty": "",
    "junk": "abcd",
    "not hex": "zzzz",
    "word": "text",
    "leading space": " " + V1,
    "cut": V1[:400],
    "odd number of bytes": V1[:402],
    "odd number of bytes more": V1 + "00",
    "too long": "a" * 8001,
    "a megabyte": "ab" * 500_000,
    "beyond ASCII": "\u0661\u0662\u0663\u0664",
    "three parts": compress("aa.bb.cc").hex(),
    "six parts": encode(["ab" * 60, "bb", "cc", "dd", CONTRACT, "ee"]),
    "empty parts": encode(["", "", "", ""]),
    "no agent": encode(["ab" * 32, PURCHASER, "00", "00"]),
    "seller id no hex": encode(["xy" * 60, PURCHASER, "00", "00"]),
    "purchaser no hex": encode(["ab" * 60, "resume-job-123", "00", "00"]),
    "signature no hex": encode(["ab" * 60, PURCHASER, "0", "00"]),
    "key no hex": encode(["ab" * 60, PURCHASER, "00", "zz"]),
    "contract no address": encode(["ab" * 60, PURCHASER, "00", "00", "stake1uy"]),
    "wide characters": encode(["ab" * 60, PURCHASER, "00", "\u0661\u0662"]),
    "unpacks to too much": compress("a" * (MAX_TEXT + 1)).hex(),
}


@pytest.mark.parametrize("sample", RECORDED, ids=lambda sample: sample["what"])
def test_parts_of_recorded_identifiers(sample: dict[str, Any]) -> None:
    found = decode(sample["blockchainIdentifier"])
    assert found.agent_identifier == sample["agentIdentifier"]
    assert found.purchaser_identifier == sample["identifierFromPurchaser"]
    assert found.source_type == ("Web3CardanoV2" if "V2" in sample["what"] else "Web3CardanoV1")
    assert (found.contract_address is None) == ("V1" in sample["what"])
    assert seller_key_hash(found) == sample["sellerVkey"]
    assert found.canonical == sample["blockchainIdentifier"]
    assert is_canonical(sample["blockchainIdentifier"])


@pytest.mark.parametrize("spelling", RESPELLED)
def test_other_spellings_are_the_same_purchase_and_not_canonical(spelling: str) -> None:
    text = RESPELLED[spelling]
    assert text != V1
    assert decode(text) == decode(V1)
    assert decode(text).canonical == V1
    assert not is_canonical(text)


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_decode_is_an_identifier_error(case: str) -> None:
    with pytest.raises(IdentifierError) as caught:
        decode(BAD[case])
    assert len(str(caught.value)) < 200
    assert caught.value.fault == "service" and caught.value.money == "none"
    assert not is_canonical(BAD[case])


def test_longer_than_the_node_takes_is_not_even_read() -> None:
    with pytest.raises(IdentifierError, match="longer than 8000"):
        decode(V1 + " " * 8000)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = compress("a" * 1_000_000)
    assert len(bomb.hex()) < MAX_HEX
    with pytest.raises(IdentifierError, match=str(MAX_TEXT)):
        decompress(bomb)


@pytest.mark.parametrize("vector", LZ_STRING, ids=lambda vector: vector["text"][:12])
def test_lz_string_as_npm_writes_it(vector: dict[str, str]) -> None:
    assert compress(vector["text"]).hex() == vector["hex"]
    assert decompress(bytes.fromhex(vector["hex"])) == vector["text"]


@given(st.text(st.characters(max_codepoint=0xFFFF), min_size=1, max_size=400) | st.text("ab.", min_size=1))
@example("a" * MAX_TEXT)
def test_compressed_text_comes_back(text: str) -> None:
    assert decompress(compress(text)) == text


@given(st.binary(max_size=400))
def test_any_bytes_are_text_or_an_identifier_error(data: bytes) -> None:
    try:
        text = decompress(data)
    except IdentifierError:
        return
    assert len(text) <= MAX_TEXT


hexes = st.binary(min_size=1, max_size=40).map(bytes.hex)


@given(hexes, hexes, hexes, hexes, st.none() | st.just(CONTRACT))
def test_parts_come_back_from_their_canonical_spelling(
    agent: str, purchaser: str, signature: str, key: str, contract: str | None
) -> None:
    made = BlockchainIdentifier("ab" * 32 + agent, purchaser, signature, key, contract)
    assert decode(made.canonical) == made
    assert is_canonical(made.canonical)
    assert made.agent_identifier == agent
    assert made.canonical == made.canonical.lower()


@given(st.dictionaries(st.integers(0, len(V1) // 2 - 5), st.integers(1, 255), min_size=1, max_size=3))
def test_a_damaged_identifier_never_passes_for_another_purchase(damage: dict[int, int]) -> None:
    raw = bytearray.fromhex(V1)
    for position, bits in damage.items():
        raw[position] ^= bits
    try:
        found = decode(raw.hex())
    except IdentifierError:
        assert not is_canonical(raw.hex())
        return
    right = decode(V1)
    if found == right:
        assert not is_canonical(raw.hex())
    # Only the unprotected header and the key's hints are not under the signature.
    elif verify(found, terms_of(RECORDED[0], dynamic=False), RECORDED[0]["sellerVkey"]) is None:
        assert found == replace(right, signature=found.signature, key=found.key)


CBOR_BOMBS = {
    "deep lists": b"\x81" * 1900 + b"\x00",
    "deep maps": b"\xa1\x00" * 900 + b"\x00",
    "deep tags": b"\xc1" * 1900 + b"\x00",
    "endless list": b"\x9f" * 1900,
    "huge list": b"\x9b\x00\x00\x00\xff\xff\xff\xff\xff",
    "huge bytes": b"\x5b\x00\x00\x00\xff\xff\xff\xff\xff",
    "huge map": b"\xbb\x00\x00\x00\xff\xff\xff\xff\xff",
    "regular expression": b"\xd8\x23\x78\x14" + b"(a*)*" * 4,
    "big number": b"\xc2\x59\x07\x00" + b"\xff" * 0x700,
    "decimal": b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",
    "big float": b"\xc5\x82\x1a\x3b\x9a\xca\x00\x01",
    "fraction": b"\xd8\x1e\x82\x01\x00",
    "list of itself": b"\xd8\x1c\x81\xd8\x1d\x00",
    "mail": b"\xd8\x24\x60",
    "odd keys": b"\xa2\xf9\x7e\x00\x00\x80\x00",
    "bad text": b"\x61\xff",
    "undefined": b"\xf7",
    "nothing": b"",
}


def _hostile(raw: bytes) -> list[BlockchainIdentifier]:
    """Identifiers with these bytes as signature, as protected header and as key."""
    honest = Seller().sign()
    header = cbor2.dumps([raw, {}, b"p" * 32, b"s" * 64]).hex()
    return [
        BlockchainIdentifier(honest.seller_id, PURCHASER, raw.hex(), honest.key),
        BlockchainIdentifier(honest.seller_id, PURCHASER, header, honest.key),
        BlockchainIdentifier(honest.seller_id, PURCHASER, honest.signature, raw.hex()),
    ]


@pytest.mark.parametrize("bomb", CBOR_BOMBS)
def test_cbor_bombs_are_refused_in_words(bomb: str) -> None:
    for hostile in _hostile(CBOR_BOMBS[bomb]):
        assert isinstance(verify(hostile, TERMS, Seller().vkey), str)
    with pytest.raises(IdentifierError, match="Ed25519"):
        seller_key_hash(_hostile(CBOR_BOMBS[bomb])[2])


@given(st.binary(max_size=120))
def test_random_bytes_as_signature_or_key_are_refused_in_words(raw: bytes) -> None:
    for hostile in _hostile(raw):
        assert isinstance(verify(hostile, TERMS, Seller().vkey), str)


cbor_values = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.binary(max_size=64) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.integers(-3, 4) | st.just("address"), inner)
    ),
    max_leaves=10,
)


@given(cbor_values)
def test_well_formed_cbor_of_the_wrong_shape_is_refused_in_words(value: Any) -> None:
    for hostile in _hostile(cbor2.dumps(value)):
        assert isinstance(verify(hostile, TERMS, Seller().vkey), str)


@given(st.text(), st.text(), st.text(), st.text(), st.text())
def test_any_text_in_the_parts_is_refused_in_words(a: str, b: str, c: str, d: str, e: str) -> None:
    assert isinstance(verify(BlockchainIdentifier(a, b, c, d, e), TERMS, Seller().vkey), str)


def test_stories_of_one_identifier_in_several_spellings() -> None:
    bodies = _bodies("purchase-identifier-spelling")
    right = bodies["pay"]
    spelled = {name: text for name, text in bodies.items() if name != "pay"}
    assert set(spelled) == {"plain", "upper", "space", "upper-again"}
    for name, text in spelled.items():
        assert decode(text).canonical == right
        assert is_canonical(text) == (name == "plain")


def test_stories_of_identifiers_that_the_node_refuses() -> None:
    bodies = _bodies("purchase-identifier-bad")
    bad = {name: text for name, text in bodies.items() if name != "pay"}
    assert set(bad) == {"empty", "junk", "not-hex", "word", "cut-even", "cut-odd", "8001"}
    assert is_canonical(bodies["pay"])
    for text in bad.values():
        with pytest.raises(IdentifierError):
            decode(text)


def test_every_recorded_identifier_is_canonical() -> None:
    answers = json.dumps(shared_json("protocol/node-corpus.json")["stories"])
    found = {part.split('"')[0] for part in answers.split('"blockchainIdentifier": "')[1:]}
    lower = {text for text in found if 880 < len(text) < 1200 and text == text.lower().strip()}
    assert len(lower) > 60
    assert all(is_canonical(text) for text in lower)


def _bodies(story: str) -> dict[str, str]:
    """The identifier that each POST /purchase of a recorded story sent; "pay" is the seller's own."""
    stories = {found["story"]: found for found in shared_json("protocol/node-corpus.json")["stories"]}
    bodies: dict[str, str] = {}
    for step in stories[story]["steps"]:
        name, request = step["id"].split("/")[1], step["request"]
        if request["path"].endswith("/payment"):
            bodies[name] = step["response"]["body"]["data"]["blockchainIdentifier"]
        elif request["path"].endswith("/purchase"):
            filled = request.get("body_generated") or {}
            filler = {filled["field"]: filled["char"] * filled["count"]} if filled else {}
            bodies[name] = (request["body"] | filler)["blockchainIdentifier"]
    return bodies


def test_core_modules_load_no_crypto_and_no_framework() -> None:
    heavy = ("nacl", "cbor2", "sqlalchemy", "pydantic", "httpx", "asyncio")
    code = (
        "import sys\nimport masumi_tools.money, masumi_tools.proof.hashing, masumi_tools.proof.identifier\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_agent_of_the_throw_away_seller() -> None:
    found = decode(Seller().sign().canonical)
    assert found.agent_identifier == AGENT and found.purchaser_identifier == PURCHASER
    assert seller_key_hash(found) == Seller().vkey
    assert verify(found, TERMS, Seller().vkey) is None
