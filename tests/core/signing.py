"""Throw-away sellers that sign blockchain identifiers as a node's wallet does, and can be made to cheat."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import cbor2
from nacl.signing import SigningKey

from masumi_tools.proof.identifier import BlockchainIdentifier, SignedTerms
from masumi_tools.sandbox.chain.crypto import bech32

AGENT = "7e" * 28 + "aa" * 32
PURCHASER = "b2065d391c3eadd9584d"
CONTRACT = "addr_test1wzs4e6wc95hkwezlccjw9mdvq0r0rsgx6zk34avptga3ftgn37w4g"
TERMS = SignedTerms(
    input_hash="58" * 32,
    pay_by_time="1795571485673",
    submit_result_time="1795573885673",
    unlock_time="1795595485673",
    external_dispute_unlock_time="1795617085673",
)


def terms_of(body: dict[str, Any], *, dynamic: bool) -> SignedTerms:
    """The terms in a body of POST /purchase; the node itself makes numbers of the last two times."""
    return SignedTerms(
        input_hash=body["inputHash"],
        pay_by_time=body["payByTime"],
        submit_result_time=body["submitResultTime"],
        unlock_time=str(int(body["unlockTime"])),
        external_dispute_unlock_time=str(int(body["externalDisputeUnlockTime"])),
        requested_funds=body.get("Amounts") if dynamic else None,
        seller_return_address=body.get("sellerReturnAddress"),
        source_index=body.get("supportedPaymentSourceIndex"),
    )


@dataclass(frozen=True)
class Seller:
    """A seller with the key of `seed`. `address_kind` is the first byte of its address."""

    seed: bytes = b"s" * 32
    address_kind: int = 0x00

    @property
    def key(self) -> SigningKey:
        return SigningKey(self.seed)

    @property
    def public_key(self) -> bytes:
        return bytes(self.key.verify_key)

    @property
    def vkey(self) -> str:
        return blake2b(self.public_key, digest_size=28).hexdigest()

    @property
    def address(self) -> bytes:
        stake = b"" if self.address_kind >> 4 == 6 else b"k" * 28
        return bytes([self.address_kind]) + bytes.fromhex(self.vkey) + stake

    def payload(self, terms: SignedTerms, contract: str | None, seller_id: str) -> bytes:
        message: dict[str, Any] = {
            "inputHash": terms.input_hash,
            "agentIdentifier": AGENT,
            "purchaserIdentifier": PURCHASER,
            "sellerIdentifier": seller_id,
            "RequestedFunds": terms.requested_funds,
            "payByTime": terms.pay_by_time,
            "submitResultTime": terms.submit_result_time,
            "unlockTime": terms.unlock_time,
            "externalDisputeUnlockTime": terms.external_dispute_unlock_time,
            "sellerAddress": bech32("addr" if self.address_kind & 1 else "addr_test", self.address),
        }
        if contract is not None:
            message["sellerReturnAddress"] = terms.seller_return_address
            message["smartContractAddress"] = contract
            if terms.source_index is not None:
                message["supportedPaymentSourceIndex"] = terms.source_index
        return sha256(json.dumps(message, sort_keys=True, separators=(",", ":")).encode()).digest()

    def sign(
        self,
        terms: SignedTerms = TERMS,
        contract: str | None = None,
        *,
        header: dict[Any, Any] | None = None,
        payload: bytes | None = None,
        key: dict[Any, Any] | None = None,
        signer: SigningKey | None = None,
    ) -> BlockchainIdentifier:
        """An identifier over the terms; a keyword argument replaces what an honest seller writes."""
        seller_id = sha256(b"nonce").hexdigest() + AGENT
        protected = cbor2.dumps({1: -8, 4: self.public_key, "address": self.address} | (header or {}))
        signed = self.payload(terms, contract, seller_id) if payload is None else payload
        to_sign = cbor2.dumps(["Signature1", protected, b"", signed])
        signature = (signer or self.key).sign(to_sign).signature
        return BlockchainIdentifier(
            seller_id,
            PURCHASER,
            cbor2.dumps([protected, {"hashed": False}, signed, signature]).hex(),
            cbor2.dumps({1: 1, 3: -8, -1: 6, -2: self.public_key} | (key or {})).hex(),
            contract,
        )
