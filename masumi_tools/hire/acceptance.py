"""The last look before money moves: is what the service offers what we asked for, in every signed detail?

Pure: records and a time in, a sentence or None out. The rules are those of the node (protocol N10, N11)
with margin, and ours: the price is the one quoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from masumi_tools.errors import IdentifierError
from masumi_tools.models import JobTimes, Listing, PricingType, Terms
from masumi_tools.models.sources import option_problem
from masumi_tools.money import Amount, as_wire, name_of, total
from masumi_tools.proof import hashing, identifier

MINUTE_MS = 60_000

# The node's batch takes rows with 57 s left to pay_by and runs every 30 s; a lock after pay_by is lost.
PAY_MARGIN_MS = 90_000
SUBMIT_AHEAD_MS = 15 * MINUTE_MS
GAP_MS = 15 * MINUTE_MS
PAY_TO_SUBMIT_MS = 5 * MINUTE_MS
# Sellers of the field bind the money for two days at the most.
HORIZON_MS = 14 * 24 * 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Accepted:
    """An offer that may be paid: the terms in the spelling that the node takes, price and hash form."""

    terms: Terms
    price: tuple[Amount, ...]
    input_hash_form: str


def times_problem(times: JobTimes, now: int, horizon_ms: int) -> str | None:
    """Why these times must not be paid: the node would refuse them (protocol N10), would never lock the
    money, or the money could be bound for longer than `horizon_ms`; None when they may."""
    last = max(times.external_dispute_unlock_time, times.unlock_time, times.submit_result_time)
    if last > now + horizon_ms:
        return (
            f"the money could be bound for {_days(last - now)} days, and at most {_days(horizon_ms)} are allowed "
            "(most_bound_days, MASUMI_MOST_BOUND_DAYS)"
        )
    if times.pay_by_time < now + PAY_MARGIN_MS:
        return "payByTime is too near: the money could not be locked before it"
    if times.pay_by_time > times.submit_result_time - PAY_TO_SUBMIT_MS:
        return "payByTime is less than 5 minutes before submitResultTime"
    if times.submit_result_time < now + SUBMIT_AHEAD_MS:
        return "submitResultTime is less than 15 minutes ahead"
    if times.unlock_time < times.submit_result_time + GAP_MS:
        return "unlockTime is less than 15 minutes after submitResultTime"
    if times.external_dispute_unlock_time < times.unlock_time + GAP_MS:
        return "externalDisputeUnlockTime is less than 15 minutes after unlockTime"
    return None


def _days(ms: int) -> str:
    return f"{ms / (24 * 60 * MINUTE_MS):,.1f}".removesuffix(".0")


def price_asked(
    listing: Listing, terms: Terms, agreed: Sequence[Amount], cap: Sequence[Amount] | None
) -> tuple[tuple[Amount, ...], str | None]:
    """The price to pay and None, or what is wrong with the price that the service asks."""
    asked = None if terms.amounts is None else total(terms.amounts)
    if listing.price.pricing is PricingType.FIXED:
        fixed = total(agreed)
        if asked is not None and asked != fixed:
            return fixed, f"amounts: the offer asks {_text(asked)}, the listed price is {_text(fixed)}"
        return fixed, None
    if not asked:
        return (), "amounts: the price is dynamic and the offer names none"
    if cap is None:
        return asked, "amounts: the price is dynamic, and no max_price was given"
    reason = above(asked, total(cap))
    return asked, f"amounts: {reason}" if reason else None


def check_offer(
    *,
    listing: Listing,
    terms: Terms,
    nonce: str,
    sent_input: object,
    agreed: Sequence[Amount],
    cap: Sequence[Amount] | None,
    now: int,
    horizon_ms: int = HORIZON_MS,
) -> Accepted | str:
    """The accepted offer, or the reason in words why it must not be paid. Nothing is sent here."""
    try:
        decoded = identifier.decode(terms.blockchain_identifier)
    except IdentifierError as error:
        return f"blockchainIdentifier: {error}"
    if decoded.purchaser_identifier != nonce:
        return "blockchainIdentifier: it was made for another purchaser"
    if terms.identifier_from_purchaser not in (None, nonce):
        return "identifierFromPurchaser: the service answers with another one than was sent"
    if decoded.agent_identifier.lower() != listing.agent_identifier.lower():
        return "blockchainIdentifier: it was made for another agent"
    if terms.agent_identifier.lower() != listing.agent_identifier.lower():
        return "agentIdentifier: the service answers for another agent"
    if listing.seller_vkey and terms.seller_vkey.lower() != listing.seller_vkey.lower():
        return "sellerVKey: it is not the key that the registry names for this agent"
    form = hashing.which(hashing.input_candidates(nonce, sent_input), terms.input_hash)
    if form is None:
        return "input_hash: it does not match the input that was sent (MIP-004)"
    if problem := times_problem(terms.times, now, horizon_ms):
        return problem
    price, problem = price_asked(listing, terms, agreed, cap)
    if problem:
        return problem
    if decoded.source_type == "Web3CardanoV2" and terms.source_index is None:
        return "supportedPaymentSourceIndex: a V2 offer has to name it, it is signed"
    quoted = (listing.source_index, listing.network, listing.price)
    if problem := option_problem(listing.sources, quoted, terms.source_index):
        return f"supportedPaymentSourceIndex: {problem}"
    signed = signed_terms(terms, listing.price.pricing, decoded.source_type)
    if reason := identifier.verify(decoded, signed, terms.seller_vkey):
        return f"blockchainIdentifier: {reason}"
    canonical = replace(
        terms,
        blockchain_identifier=decoded.canonical,
        agent_identifier=decoded.agent_identifier,
        seller_vkey=terms.seller_vkey.lower(),
        source_type=decoded.source_type,
    )
    return Accepted(canonical, price, form)


def signed_terms(terms: Terms, pricing: str | None, source_type: str) -> identifier.SignedTerms:
    """What the seller signed, as the node puts it together (protocol N11); only a dynamic price is signed."""
    times, v2 = terms.times_text, source_type == "Web3CardanoV2"
    return identifier.SignedTerms(
        input_hash=terms.input_hash,
        pay_by_time=times["payByTime"],
        submit_result_time=times["submitResultTime"],
        unlock_time=times["unlockTime"],
        external_dispute_unlock_time=times["externalDisputeUnlockTime"],
        requested_funds=as_wire(terms.amounts or ()) if pricing == PricingType.DYNAMIC else None,
        seller_return_address=terms.seller_return_address if v2 else None,
        source_index=terms.source_index if v2 else None,
    )


def above(price: Sequence[Amount], cap: Sequence[Amount] | None) -> str | None:
    """Why `price` is more than `cap` allows, or None."""
    if cap is None:
        return None
    bounds = {amount.unit: amount.quantity for amount in cap}
    for amount in price:
        if amount.quantity > 0 and amount.unit not in bounds:
            return f"the price is in {name_of(amount.unit)} ({_text(price)}), and the limit is {_text(cap)}"
        if amount.quantity > bounds.get(amount.unit, 0):
            return f"the price is {_text(price)}; the limit is {_text(cap)}"
    return None


def _text(amounts: Sequence[Amount]) -> str:
    return " + ".join(str(amount) for amount in amounts) or "nothing"
