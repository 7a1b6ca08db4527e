"""The seller's signature: right only for exactly the terms, the key and the address that were signed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from masumi_tools.proof.identifier import BlockchainIdentifier, SignedTerms, decode, verify
from tests.core.signing import CONTRACT, TERMS, Seller, terms_of
from tests.shared import shared_json

WIRE = Path(__file__).resolve().parents[1] / "wire"
RECORDED: list[dict[str, Any]] = json.loads((WIRE / "identifiers.json").read_text())["purchases"]
FUNDS = [{"amount": "1500000", "unit": ""}, {"amount": "7", "unit": "ab" * 30}]
OTHER_TERMS = "the seller signed other terms"
OTHER_ADDRESS = "addr_test1wz7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsqukgwfm"


def changes_of_terms(terms: SignedTerms) -> dict[str, SignedTerms]:
    """The terms with one thing changed each."""
    changed: dict[str, SignedTerms] = {}
    for name in ("pay_by_time", "submit_result_time", "unlock_time", "external_dispute_unlock_time"):
        later: dict[str, Any] = {name: str(int(getattr(terms, name)) + 1)}
        changed[name] = replace(terms, **later)
    changed["a time with a leading zero"] = replace(terms, pay_by_time="0" + terms.pay_by_time)
    changed["input hash"] = replace(terms, input_hash="00" + terms.input_hash[2:])
    changed["input hash in upper case"] = replace(terms, input_hash="AB" + terms.input_hash)
    changed["lone surrogate"] = replace(terms, input_hash="\ud800")
    changed["source index"] = replace(terms, source_index=(terms.source_index or 0) + 1)
    changed["amounts"] = replace(terms, requested_funds=[{"amount": "1", "unit": ""}])
    changed["no amounts at all"] = replace(terms, requested_funds=[])
    return changed


def changes_of_identifier(found: BlockchainIdentifier) -> dict[str, BlockchainIdentifier]:
    """The identifier with one part changed each, as a cheat would re-encode it."""
    changed = {
        "purchaser": replace(found, purchaser_identifier="a" * 20),
        "purchaser in upper case": replace(found, purchaser_identifier=found.purchaser_identifier.upper()),
        "agent": replace(found, seller_id=found.seller_id[:-2] + "00"),
        "seller nonce": replace(found, seller_id="00" + found.seller_id[2:]),
    }
    if found.contract_address is not None:
        changed["contract"] = replace(found, contract_address=OTHER_ADDRESS)
        changed["no contract"] = replace(found, contract_address=None)
    else:
        changed["a contract"] = replace(found, contract_address=CONTRACT)
    return changed


@pytest.mark.parametrize("sample", RECORDED, ids=lambda sample: sample["what"])
def test_recorded_signatures_are_right_for_their_terms_only(sample: dict[str, Any]) -> None:
    found, terms = decode(sample["blockchainIdentifier"]), terms_of(sample, dynamic="Amounts" in sample)
    assert verify(found, terms, sample["sellerVkey"]) is None
    for what, changed in changes_of_terms(terms).items():
        reason = verify(found, changed, sample["sellerVkey"])
        assert reason is not None, what
        assert reason.startswith(OTHER_TERMS) or (what, reason) == (
            "source index",
            "a V1 identifier has no source index",
        )
    for what, other in changes_of_identifier(found).items():
        reason = verify(other, terms, sample["sellerVkey"])
        assert reason is not None and (reason.startswith(OTHER_TERMS) or "source index" in reason), what
    if found.contract_address is not None:
        assert verify(found, replace(terms, seller_return_address=OTHER_ADDRESS), sample["sellerVkey"])
        assert verify(found, replace(terms, source_index=None), sample["sellerVkey"])


def test_recorded_dynamic_amounts_are_signed_in_their_order_and_split() -> None:
    sample = next(sample for sample in RECORDED if "Amounts" in sample)
    found, terms = decode(sample["blockchainIdentifier"]), terms_of(sample, dynamic=True)
    assert sample["Amounts"] == [{"amount": "1500000", "unit": ""}]
    for funds in (
        None,
        [],
        [{"amount": "1500001", "unit": ""}],
        [{"amount": "01500000", "unit": ""}],
        [{"amount": "1500000", "unit": "ab" * 30}],
        [{"amount": "750000", "unit": ""}, {"amount": "750000", "unit": ""}],
        sample["Amounts"] * 2,
    ):
        reason = verify(found, replace(terms, requested_funds=funds), sample["sellerVkey"])
        assert reason is not None and reason.startswith(OTHER_TERMS), funds
    spelled = [{"amount": "1500000", "unit": "lovelace"}]
    assert verify(found, replace(terms, requested_funds=spelled), sample["sellerVkey"]) is None


@pytest.mark.parametrize("contract", [None, CONTRACT])
@pytest.mark.parametrize("funds", [None, FUNDS])
@pytest.mark.parametrize("kind", [0x00, 0x01, 0x20, 0x21, 0x60, 0x61])
def test_signatures_of_every_kind_of_address(kind: int, funds: Any, contract: str | None) -> None:
    seller = Seller(address_kind=kind)
    terms = replace(TERMS, requested_funds=funds, source_index=None if contract is None else 2)
    found = decode(seller.sign(terms, contract).canonical)
    assert verify(found, terms, seller.vkey) is None
    for what, changed in changes_of_terms(terms).items():
        assert verify(found, changed, seller.vkey) is not None, what
    for what, other in changes_of_identifier(found).items():
        assert verify(other, terms, seller.vkey) is not None, what


@given(st.binary(min_size=32, max_size=32), st.integers(0, 24), st.none() | st.just(OTHER_ADDRESS))
def test_any_key_signs_v2_terms(seed: bytes, index: int, return_address: str | None) -> None:
    seller = Seller(seed)
    terms = replace(TERMS, source_index=index, seller_return_address=return_address)
    found = seller.sign(terms, CONTRACT)
    assert verify(found, terms, seller.vkey) is None
    other = None if return_address else OTHER_ADDRESS
    assert verify(found, replace(terms, seller_return_address=other), seller.vkey) is not None
    assert verify(found, replace(terms, source_index=None), seller.vkey) is not None


def test_the_seller_return_address_of_v1_is_not_signed() -> None:
    seller = Seller()
    assert verify(seller.sign(), replace(TERMS, seller_return_address=OTHER_ADDRESS), seller.vkey) is None


@pytest.mark.parametrize(
    ("what", "cheat", "says"),
    [
        ("another algorithm", {"header": {1: -7}}, "EdDSA"),
        ("no algorithm", {"header": {1: None}}, "EdDSA"),
        ("no address", {"header": {"address": None}}, "COSE_Sign1"),
        ("empty address", {"header": {"address": b""}}, "does not belong"),
        ("foreign address", {"header": {"address": Seller(b"o" * 32).address}}, "does not belong"),
        ("script address", {"header": {"address": b"\x10" + Seller().address[1:]}}, "does not belong"),
        ("stake address", {"header": {"address": b"\xe0" + Seller().address[1:29]}}, "does not belong"),
        ("unknown network", {"header": {"address": b"\x02" + Seller().address[1:]}}, "does not belong"),
        ("address cut", {"header": {"address": Seller().address[:40]}}, "does not belong"),
        ("other stake part", {"header": {"address": Seller().address[:29] + b"x" * 28}}, OTHER_TERMS),
        ("other network", {"header": {"address": b"\x01" + Seller().address[1:]}}, OTHER_TERMS),
        ("empty payload", {"payload": b""}, OTHER_TERMS),
        ("payload as hex text", {"payload": b"ab" * 32}, OTHER_TERMS),
        ("key of another curve", {"key": {-1: 4}}, "Ed25519"),
        ("key of another kind", {"key": {1: 2}}, "Ed25519"),
        ("short key", {"key": {-2: b"short"}}, "Ed25519"),
        ("foreign key", {"key": {-2: Seller(b"o" * 32).public_key}}, "not with the seller's"),
        ("signed by another", {"signer": SigningKey(b"o" * 32)}, "not made with the seller's key"),
    ],
)  # fmt: skip
def test_a_cheating_seller_is_refused_with_the_reason(what: str, cheat: dict[str, Any], says: str) -> None:
    seller = Seller()
    assert verify(seller.sign(), TERMS, seller.vkey) is None
    reason = verify(seller.sign(**cheat), TERMS, seller.vkey)
    assert reason is not None and says in reason, what


def test_another_seller_than_the_registry_names_is_refused() -> None:
    reason = verify(Seller(b"o" * 32).sign(), TERMS, Seller().vkey)
    assert reason is not None and Seller().vkey in reason and Seller(b"o" * 32).vkey in reason


@pytest.mark.parametrize("vkey", ["", "xyz", Seller().vkey.upper(), Seller().vkey + "00", "addr_test1qz"])
def test_a_key_hash_that_the_node_would_refuse_is_refused(vkey: str) -> None:
    assert verify(Seller().sign(), TERMS, vkey) == "the seller's key hash is not 56 lower-case hex digits"


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_one_changed_byte_of_the_signature_is_refused(position: int) -> None:
    found = Seller().sign()
    outer = cbor2.loads(bytes.fromhex(found.signature))
    signature = bytearray(outer[3])
    signature[position] ^= 1
    forged = replace(found, signature=cbor2.dumps([*outer[:3], bytes(signature)]).hex())
    assert verify(forged, TERMS, Seller().vkey) == "the signature was not made with the seller's key"


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    found = Seller().sign()
    outer = cbor2.loads(bytes.fromhex(found.signature))
    forged = replace(found, signature=cbor2.dumps([*outer[:3], outer[3][:length].ljust(length)]).hex())
    reason = verify(forged, TERMS, Seller().vkey)
    assert reason is not None and "COSE_Sign1" in reason


@pytest.mark.parametrize(
    "funds", [[{"amount": 5, "unit": ""}], [{"amount": "5"}], [{"unit": ""}], ["5 ADA"], [None], [[]]]
)
def test_amounts_of_another_shape_are_refused_in_words(funds: list[Any]) -> None:
    reason = verify(Seller().sign(), replace(TERMS, requested_funds=funds), Seller().vkey)
    assert reason == "the requested amounts are not pairs of amount and unit as text"


def test_both_recorded_exchanges_verify_and_each_changed_term_is_refused() -> None:
    exchanges = shared_json("protocol/node-exchanges.json")
    assert [exchange["kind"] for exchange in exchanges] == ["V1", "V2"]
    for exchange in exchanges:
        body = exchange["purchase_request"]
        found, terms = decode(body["blockchainIdentifier"]), terms_of(body, dynamic=False)
        assert verify(found, terms, body["sellerVkey"]) is None
        for what, changed in changes_of_terms(terms).items():
            assert verify(found, changed, body["sellerVkey"]) is not None, what
        for what, other in changes_of_identifier(found).items():
            assert verify(other, terms, body["sellerVkey"]) is not None, what


def test_all_recorded_purchases_are_judged_as_the_node_judged_them() -> None:
    accepted = refused = 0
    for step in _purchases():
        body, answer = step["request"]["body"], step["response"]
        message = (answer["body"].get("error") or {}).get("message", "")
        taken = answer["status"] == 200
        if not taken and "signature invalid" not in message:
            continue
        terms = terms_of(body, dynamic="dynamic" in step["agent"])
        reason = verify(decode(body["blockchainIdentifier"]), terms, body["sellerVkey"])
        assert (reason is None) == taken, (step["id"], reason)
        accepted, refused = accepted + taken, refused + (not taken)
    assert accepted >= 48 and refused >= 12


def _purchases() -> list[dict[str, Any]]:
    return [
        step
        for story in shared_json("protocol/node-corpus.json")["stories"]
        for step in story["steps"]
        if step["request"]["method"] == "POST" and step["request"]["path"].endswith("/purchase")
    ]
