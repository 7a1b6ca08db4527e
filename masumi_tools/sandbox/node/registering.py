"""What the body of a registration must look like, in the node's words: shapes, bounds and prices (protocol N13)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..chain.network import SOURCE_TYPES
from ..chain.objects import Json
from . import schema as s
from .context import NETWORK

_MOST = 2**63 - 1
_DIGITS = re.compile("[0-9]+")
_EVM = re.compile("0x[a-fA-F0-9]{40}")
_NO_TOKENS = {"0x" + "0" * 40, "0x" + "e" * 40}
"""Addresses that stand for a chain's own coin and so are no token's contract."""


def _amount(value: Any, path: str, issues: list[str]) -> Any:
    found = s.text(
        most=19, pattern="[0-9]+", complaint=r"Invalid string: must match pattern /^\d+$/"
    )(value, path, issues)  # fmt: skip
    if isinstance(found, str) and not (_DIGITS.fullmatch(found) and 1 <= int(found) <= _MOST):
        issues.append(f"{path}: Atomic amount must be between 1 and {_MOST}")
    return found


def _url(most: int, *, optional: bool = False) -> s.Reader:
    def read(value: Any, path: str, issues: list[str]) -> Any:
        if value is s.MISSING and optional:
            return None
        if isinstance(value, str) and not is_url(value):
            issues.append(f"{path}: Invalid URL")
        return s.text(most=most)(value, path, issues)

    return read


def is_url(text: str) -> bool:
    """Whether JavaScript's ``new URL(text)`` takes it: any scheme, and a host where the scheme needs one."""
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]*", scheme):
        return False
    if scheme.lower() not in ("http", "https", "ws", "wss", "ftp"):
        return True
    try:
        parts = urlsplit("http://" + rest.lstrip("/\\"))
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return bool(host) and not re.search(r"[\s<>^|%]", host) and (port is None or port < 65536)


def _kind_of_price(kind: str, more: Mapping[str, s.Reader] | None = None) -> s.Reader:
    return s.record({"pricingType": s.choice((kind,))} | dict(more or {}))


_DECIMALS = s.whole(0, 255)
_V1_PRICE = s.union(
    _kind_of_price(
        "Fixed",
        {"Pricing": s.items(s.record({"unit": s.text(most=250), "amount": _amount}), least=1, most=5)},
    ),
    _kind_of_price("Free"),
    _kind_of_price("Dynamic"),
)
_ASSET = {"asset": s.text(most=250)}
_SOURCE_PRICE = s.union(
    _kind_of_price(
        "Fixed",
        {"fixed": s.items(s.record(_ASSET | {"amount": _amount, "decimals": _DECIMALS}), least=1, most=5)},
    ),
    _kind_of_price(
        "Dynamic",
        {"dynamic": s.items(s.record(_ASSET | {"decimals": _DECIMALS}), least=1, most=1, optional=True)},
    ),
    _kind_of_price("Free"),
)


def _evm_address(*, optional: bool = False) -> s.Reader:
    return s.text(optional=optional, pattern=_EVM.pattern, complaint="Expected an EVM address")


def _anything(value: Any, path: str, issues: list[str]) -> Any:
    if value is s.MISSING:
        return None
    if not isinstance(value, dict):
        issues.append(f"{path}: Invalid input: expected record, received {s.kind_of(value)}")
    return value


_CARDANO_SOURCE = s.record(
    {
        "chain": s.choice(("Cardano",)),
        "network": NETWORK,
        "paymentSourceType": s.choice(SOURCE_TYPES),
        "address": s.text(most=250),
        "pricing": _SOURCE_PRICE,
    }
)
_EVM_SOURCE = s.record(
    {
        "chain": s.choice(("EVM",)),
        "network": s.text(
            pattern="eip155:[0-9]+", complaint="x402 EVM network must be a CAIP-2 eip155 chain id"
        ),
        "paymentSourceType": s.nullable(s.choice(SOURCE_TYPES)),
        "address": _evm_address(optional=True),
        "scheme": s.choice(("Exact",)),
        "payTo": _evm_address(),
        "resource": _url(500, optional=True),
        "extra": _anything,
        "pricing": _SOURCE_PRICE,
    }
)


def _source_rules(source: Json, path: str, issues: list[str]) -> None:
    """What a payment source must keep besides its shape."""
    price, evm = source["pricing"], source["chain"] == "EVM"
    kind, fixed, dynamic = price["pricingType"], price.get("fixed"), price.get("dynamic")
    if not evm:
        for place, entry in enumerate(fixed or []):
            if entry["decimals"] is not None:
                where = f"{path}.pricing.fixed[{place}].decimals"
                issues.append(f"{where}: Cardano fixed pricing does not use decimals")
        if kind == "Dynamic" and dynamic is not None:
            issues.append(
                f"{path}.pricing.dynamic: Cardano dynamic pricing does not support an asset allowlist"
            )
        return
    if source["address"] is not None and source["address"].lower() != source["payTo"].lower():
        issues.append(f"{path}.address: x402 address alias must match payTo")
    if kind == "Fixed":
        if len(fixed) != 1:
            issues.append(f"{path}.pricing.fixed: Fixed x402 pricing requires exactly one asset")
            return
        where, entry = f"{path}.pricing.fixed[0]", fixed[0]
        wrong = "Fixed x402 pricing requires an ERC-20 token contract address"
        missing = "Fixed x402 pricing requires token decimals"
    elif kind == "Dynamic" and dynamic:
        where, entry = f"{path}.pricing.dynamic[0]", dynamic[0]
        wrong = "Dynamic x402 accepted asset must be an ERC-20 token contract address"
        missing = "Dynamic x402 accepted asset requires token decimals"
    else:
        return
    if not _EVM.fullmatch(entry["asset"]) or entry["asset"].lower() in _NO_TOKENS:
        issues.append(f"{where}.asset: {wrong}")
    if entry["decimals"] is None:
        issues.append(f"{where}.decimals: {missing}")


_SOURCES = s.items(
    s.refined(s.union(_CARDANO_SOURCE, _EVM_SOURCE), _source_rules), least=1, most=25, optional=True
)
_KERI = s.text(1, 128)
_CLAIM = s.record(
    {
        "method": s.text(1, 40),
        "schemaVersion": s.text(most=16, optional=True),
        "issuer": s.record({"aid": _KERI, "oobi": _url(500)}),
        "schema": s.record({"said": _KERI, "oobi": _url(500)}),
        "credential": s.record({"said": _KERI, "oobi": _url(500), "registry": s.text(1, 128, optional=True)}),
        "holder": s.record({"aid": _KERI, "oobi": _url(500)}),
        "baseUrl": _url(500, optional=True),
    }
)


def _address(name: str) -> s.Reader:
    return s.text(
        58,
        120,
        optional=True,
        pattern="(addr1|addr_test1)[0-9a-z]+",
        complaint=f"{name} must be a bech32 Cardano address",
    )


_TEXT = s.text(most=250)
_OPTIONAL = s.text(most=250, optional=True)
ABOUT: dict[str, s.Reader] = {
    "recipientWalletAddress": _address("recipientWalletAddress"),
    "sendFundingLovelace": s.text(
        most=17, optional=True, pattern="[0-9]+", complaint=r"Invalid string: must match pattern /^\d+$/"
    ),
    "supportedPaymentSources": _SOURCES,
    "verifications": s.items(_CLAIM, most=10, optional=True),
    "ExampleOutputs": s.items(
        s.record({"name": s.text(most=60), "url": s.text(most=250), "mimeType": s.text(most=60)}), most=25
    ),
    "Tags": s.items(s.text(most=63), least=1, most=15),
    "name": _TEXT,
    "apiBaseUrl": _url(250),
    "description": _TEXT,
    "Capability": s.record({"name": _TEXT, "version": _TEXT}),
    "AgentPricing": s.optional(_V1_PRICE),
    "Legal": s.record({"privacyPolicy": _OPTIONAL, "terms": _OPTIONAL, "other": _OPTIONAL}, optional=True),
    "Author": s.record(
        {"name": _TEXT, "contactEmail": _OPTIONAL, "contactOther": _OPTIONAL, "organization": _OPTIONAL}
    ),
}
_VKEY = s.text(
    56,
    56,
    pattern="[0-9a-fA-F]{56}",
    complaint="sellingWalletVkey must be a 56-char hex blake2b-224 payment-key hash",
)
_AGENT = s.text(
    57,
    250,
    pattern="[0-9a-fA-F]+",
    complaint="agentIdentifier must be a hex string (policyId + assetName)",
)
_CONTRACT = _address("smartContractAddress")

REGISTER = s.Schema({"network": NETWORK, "sellingWalletVkey": _VKEY} | ABOUT)
UPDATE = s.Schema(
    {"network": NETWORK} | ABOUT | {"agentIdentifier": _AGENT, "smartContractAddress": _CONTRACT}
)
DEREGISTER = s.Schema({"agentIdentifier": _AGENT, "network": NETWORK, "smartContractAddress": _CONTRACT})
