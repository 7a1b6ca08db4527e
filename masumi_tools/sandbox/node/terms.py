"""What payment and purchase have in common: time rules, prices, and the text that the seller signs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..bigints import LIMIT, big_int
from ..chain.crypto import is_address
from ..chain.rows import Funds, PaymentSource
from ..chain.sums import as_sums
from ..registry.agents import Metadata, Pricing, Source
from ..timetext import MINUTE
from ..wire import Refusal
from . import schema as s
from .context import NodeCrash

AMOUNTS = s.items(s.record({"amount": s.text(most=25), "unit": s.text(most=150)}), most=7, optional=True)


def number(text: str) -> int:
    """``BigInt(text)``; a 500 where that throws."""
    try:
        return big_int(text)
    except ValueError:
        raise NodeCrash(f"Cannot convert {text} to a BigInt") from None


def check_storable(funds: Funds, times: Iterable[int]) -> None:
    """A 500 where the database refuses a number, which is only when the row is written."""
    if any(not -LIMIT <= value < LIMIT for value in (*(amount for amount, _ in funds), *times)):
        raise NodeCrash("Unable to fit integer value into an INT8 (64-bit signed integer).")


def check_times(pay: int, submit: int, unlock: int, dispute: int, now: int) -> None:
    """The five rules of protocol N10, in the order in which the node looks (N22); 400 at the first broken one."""
    if pay > submit - 5 * MINUTE:
        raise Refusal(400, "Pay by time must be before submit result time (min. 5 minutes)")
    if pay < now - 5 * MINUTE:
        raise Refusal(400, "Pay by time must be in the future (max. 5 minutes)")
    if dispute < unlock + 15 * MINUTE:
        message = "External dispute unlock time must be after unlock time (min. 15 minutes difference)"
        raise Refusal(400, message)
    if submit < now + 15 * MINUTE:
        raise Refusal(400, "Submit result time must be in the future (min. 15 minutes)")
    if unlock < submit + 15 * MINUTE:
        message = "Submit result time must be before unlock time with at least 15 minutes difference"
        raise Refusal(400, message)


def check_addresses(data: dict[str, Any], *names: str) -> list[str]:
    """Schema complaints about return addresses that are none of the network asked for."""
    issues = []
    for name in names:
        if data[name] is not None and not is_address(data[name], data["network"]):
            issues.append(f"{name}: {name} is not a valid Cardano address for the configured network")
    return issues


def folded(unit: str) -> str:
    """ADA is ``""`` in all rows; ``lovelace`` in any case means it (protocol N12)."""
    return "" if unit.lower() == "lovelace" else unit


def fixed_funds(pricing: Pricing) -> Funds:
    """The amounts of a Fixed price as the metadata lists them."""
    return [(number(amount), folded(unit)) for amount, unit in pricing.amounts]


def summed(funds: Funds) -> Funds:
    """One entry per unit, in the order of their first."""
    return [(amount, unit) for unit, amount in as_sums(funds).items()]


def asked_funds(entries: list[dict[str, str]]) -> Funds:
    """Amounts of a request as numbers, in their order."""
    return [(number(entry["amount"]), folded(entry["unit"])) for entry in entries]


def positive_funds(entries: list[dict[str, str]], complaint: str) -> Funds:
    """The same; 400 with ``complaint`` at the first that is not above zero, unless one before is no number."""
    funds: Funds = []
    for entry in entries:
        funds += asked_funds([entry])
        if funds[-1][0] <= 0:
            raise Refusal(400, complaint)
    return funds


def signed_funds(entries: list[dict[str, str]] | None) -> list[dict[str, str]] | None:
    """Amounts as they are signed: the text as sent (22), only the unit of ADA is folded."""
    if entries is None:
        return None
    return [{"amount": entry["amount"], "unit": folded(entry["unit"])} for entry in entries]


def select_source(metadata: Metadata, index: int, network: str) -> Source:
    """The V2 payment source that an index selects; 400 with the node's reason when it does not fit."""
    if index >= len(metadata.sources):
        raise Refusal(400, f"supportedPaymentSourceIndex {index} is not advertised by this agent")
    chosen = metadata.sources[index]
    if chosen.chain != "Cardano":
        raise Refusal(400, f"supportedPaymentSourceIndex {index} does not select a Cardano payment source")
    if chosen.network != network:
        raise Refusal(400, "Selected Cardano payment source network does not match the request network")
    if not chosen.source_type or not chosen.address:
        raise Refusal(400, "Selected Cardano payment source settlement is incomplete")
    return chosen


def terms(
    *,
    input_hash: str,
    agent_identifier: str,
    purchaser_id: str,
    seller_id: str,
    requested: list[dict[str, str]] | None,
    times: tuple[str, str, str, str],
    seller_address: str,
    v2: tuple[str | None, str, int | None] | None,
) -> dict[str, Any]:
    """The object whose canonical JSON is signed (protocol N11); ``v2`` is return address, contract, index."""
    found: dict[str, Any] = {
        "inputHash": input_hash,
        "agentIdentifier": agent_identifier,
        "purchaserIdentifier": purchaser_id,
        "sellerIdentifier": seller_id,
        "RequestedFunds": requested,
        "payByTime": times[0],
        "submitResultTime": times[1],
        "unlockTime": times[2],
        "externalDisputeUnlockTime": times[3],
        "sellerAddress": seller_address,
    }
    if v2 is not None:
        found["sellerReturnAddress"], found["smartContractAddress"] = v2[0], v2[1]
        if v2[2] is not None:
            found["supportedPaymentSourceIndex"] = v2[2]
    return found


def is_configured(chosen: Source, source: PaymentSource) -> bool:
    """Whether the node serves the contract that the agent advertises."""
    return chosen.address == source.contract_address and chosen.source_type == source.source_type
