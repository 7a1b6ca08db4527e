"""The texts that the simulated node makes and reads: identifiers, addresses, signatures, numbers, times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masumi_tools.sandbox.bigints import big_int, js_number
from masumi_tools.sandbox.chain import identifier, lz
from masumi_tools.sandbox.chain.crypto import (
    Signer,
    bech32,
    has_payment_key,
    is_address,
    key_hash_of,
    unbech32,
    verify,
)
from masumi_tools.sandbox.chain.network import ADMINS, CONTRACTS
from masumi_tools.sandbox.node.schema import length_of
from masumi_tools.sandbox.node.terms import terms
from masumi_tools.sandbox.timetext import iso, read_js, read_strict
from tests.shared import shared_json

RECORDED = Path(__file__).parent / "recorded"


def identifiers(corpus: Any) -> list[str]:
    found = []
    for story in corpus["stories"]:
        for step in story["steps"]:
            body = step["response"]["body"]
            data = body.get("data") if isinstance(body, dict) else None
            if isinstance(data, dict) and "blockchainIdentifier" in data:
                found.append(data["blockchainIdentifier"].strip().lower())
    return found


def check_identifiers(texts: list[str]) -> None:
    assert texts
    for text in texts:
        plain = lz.decompress(bytes.fromhex(text))
        assert plain is not None
        assert lz.compress(plain).hex() == text
        parts = identifier.decode(text)
        assert parts is not None
        assert identifier.encode(parts) == text
        assert (len(parts.signature), len(parts.key)) == (434, 84)


def test_own_identifiers_decode_and_encode_again() -> None:
    for file in RECORDED.glob("*.json"):
        check_identifiers(identifiers(json.loads(file.read_text(encoding="utf-8"))))


def test_real_identifiers_decode_and_encode_again() -> None:
    check_identifiers(identifiers(shared_json("protocol/node-corpus.json")))


def signed(exchange: Any) -> tuple[identifier.Parts, bytes, str]:
    data, asked = exchange["payment_response"]["data"], exchange["payment_request"]
    parts = identifier.decode(data["blockchainIdentifier"])
    assert parts is not None
    address = data["SmartContractWallet"]["walletAddress"]
    names = ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")
    times: Any = tuple(data[name] for name in names)
    v2 = (None, parts.contract, asked.get("supportedPaymentSourceIndex")) if parts.contract else None
    content = terms(
        input_hash=data["inputHash"],
        agent_identifier=data["agentIdentifier"],
        purchaser_id=asked["identifierFromPurchaser"],
        seller_id=parts.seller_id,
        requested=None,
        times=times,
        seller_address=address,
        v2=v2,
    )
    return parts, identifier.terms_digest(content), address


def test_signatures_of_the_real_node_verify_over_the_same_text() -> None:
    for exchange in shared_json("protocol/node-exchanges.json"):
        parts, digest, address = signed(exchange)
        assert key_hash_of(parts.key) == exchange["purchase_request"]["sellerVkey"]
        assert verify(parts.signature, parts.key, digest, address)
        assert not verify(parts.signature, parts.key, digest[::-1], address)


def test_signature_is_bound_to_message_key_and_address() -> None:
    one, other = Signer(b"1" * 32), Signer(b"2" * 32)
    address = one.address("Preprod")
    signature, key = one.sign(b"m" * 32, address)
    assert verify(signature, key, b"m" * 32, address)
    assert not verify(signature, key, b"n" * 32, address)
    assert not verify(signature, key, b"m" * 32, other.address("Preprod"))
    assert not verify(signature, other.sign(b"m" * 32, address)[1], b"m" * 32, address)
    assert key_hash_of(key) == one.vkey


@pytest.mark.parametrize("junk", ["", "00", "zz", "80", "a0", "ff", "84" * 40, "845869a3"])
def test_junk_is_no_signature_and_no_key(junk: str) -> None:
    address = Signer(b"1" * 32).address("Preprod")
    assert not verify(junk, junk, b"m" * 32, address)
    assert key_hash_of(junk) is None


@given(st.binary(max_size=120))
def test_any_bytes_are_a_stream_or_an_error_and_never_hang(data: bytes) -> None:
    try:
        found = lz.decompress(data)
    except ValueError:
        return
    assert found is None or len(found) <= 8 * len(data) ** 2 + 1


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=300))
def test_compressing_loses_nothing(text: str) -> None:
    assert lz.decompress(lz.compress(text)) == text


@pytest.mark.parametrize("data", [b"", b"\xff\xff"])
def test_bytes_that_are_no_stream(data: bytes) -> None:
    assert lz.decompress(data) is None


@pytest.mark.parametrize("address", [*CONTRACTS.values(), *ADMINS])
def test_addresses_of_the_network_read_and_write(address: str) -> None:
    found = unbech32(address)
    assert found is not None
    assert bech32(*found) == address
    assert is_address(address, "Preprod")
    assert not is_address(address, "Mainnet")
    assert has_payment_key(address) == (address in ADMINS)


@pytest.mark.parametrize(
    "change", [lambda a: a[:-1] + "q", lambda a: a.replace("_test", ""), lambda a: a[:-6], str.title]
)
def test_damaged_address_is_none(change: Any) -> None:
    assert not is_address(change(ADMINS[0]), "Preprod")


def test_mainnet_address_of_a_key() -> None:
    address = Signer(b"1" * 32).address("Mainnet")
    assert address.startswith("addr1q")
    assert is_address(address, "Mainnet")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        (" 12\n", 12),
        ("007", 7),
        ("0x10", 16),
        ("0b11", 3),
        ("0o17", 15),
        ("-5", -5),
        ("+5", 5),
        ("\ufeff1", 1),
    ],
)
def test_big_int_reads_as_javascript(text: str, number: int) -> None:
    assert big_int(text) == number


@pytest.mark.parametrize("text", ["1.5", "1e3", "1_0", "0x", "-0x1", "--1", "1 2", "١", "Infinity", "1n"])
def test_big_int_throws_as_javascript(text: str) -> None:
    with pytest.raises(ValueError, match="BigInt"):
        big_int(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0.0), (" 5 ", 5), ("0x10", 16), (".5", 0.5), ("5.", 5), ("1e2", 100), ("-Infinity", float("-inf"))],
)
def test_number_reads_as_javascript(text: str, number: float) -> None:
    assert js_number(text) == number


@pytest.mark.parametrize("text", ["abc", "NaN", "1_0", "0x", "1,5", "--1", "."])
def test_number_of_junk_is_nan(text: str) -> None:
    found = js_number(text)
    assert found != found


def test_length_counts_utf_16_units() -> None:
    assert [length_of(text) for text in ("ab", "é", "\U0001f600", "\ud800")] == [2, 1, 2, 1]


MS = 1_795_574_634_000


@pytest.mark.parametrize(
    ("text", "strict", "js"),
    [
        ("2026-11-25T02:43:54Z", MS, MS),
        ("2026-11-25T02:43:54", MS, MS),
        ("2026-11-25T02:43:54.123456Z", MS + 123, MS + 123),
        ("2026-11-25T02:43Z", MS - 54_000, MS - 54_000),
        ("2026-11-25", 1_795_564_800_000, 1_795_564_800_000),
        ("2026-11-25T02:43:54+00:00", None, MS),
        ("2026-11-25T04:43:54+02:00", None, MS),
        ("2026-11-24T21:13:54-0530", None, MS),
        ("Wed, 25 Nov 2026 02:43:54 GMT", None, MS),
        ("Nov 25, 2026", None, 1_795_564_800_000),
        ("2026", None, 1_767_225_600_000),
        ("2026-02-30", None, 1_772_409_600_000),
        ("2026-13-01", None, None),
        ("1764000000000", None, None),
        ("soon", None, None),
        ("", None, None),
    ],
)
def test_times_are_read_as_the_two_feeds_read_them(text: str, strict: int | None, js: int | None) -> None:
    assert (read_strict(text), read_js(text)) == (strict, js)


@given(st.integers(0, 4_000_000_000_000))
def test_iso_texts_are_read_back(ms: int) -> None:
    assert read_strict(iso(ms)) == read_js(iso(ms)) == ms
