"""The payment terms in a seller's answer: found in any dialect, checked for their form, never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from masumi_tools.errors import AmountError
from masumi_tools.models.price import wire_amount
from masumi_tools.models.times import TIME_NAMES, JobTimes, wire_times
from masumi_tools.models.wire import Names, joined, quoted, short
from masumi_tools.money import Amount

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
_AGENT: Final = re.compile(r"[0-9a-fA-F]{57,250}")
_PURCHASER: Final = re.compile(r"(?:[0-9a-fA-F]{2}){7,13}")
_MAX_IDENTIFIER: Final = 8_000  # what the node takes

# The values, and spellings of one that are more than a matter of case and underscores.
_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "blockchainIdentifier": ("blockchainIdentifier",),
    "agentIdentifier": ("agentIdentifier",),
    "sellerVKey": ("sellerVKey", "sellerVerificationKey"),
    "input_hash": ("input_hash",),
    "identifierFromPurchaser": ("identifierFromPurchaser", "purchaserIdentifier"),
    **{name: (name,) for name in TIME_NAMES},
}
_AMOUNT_NAMES: Final = ("amounts", "RequestedFunds")
# Under these the terms stand in some bodies, beside the job.
_PLACES: Final = ("payment_info", "payment", "payment_request", "payment_data", "terms")
# A job that was paid by another way is never purchased, whatever terms stand beside it.
_PAID_ALREADY: Final = ("lockTx", "lockTxHash")
# What services ask for instead of the escrow.
_NO_ESCROW: Final[Mapping[str, str]] = {
    "payment_id": "a payment of the service's own kind, which the node can neither check nor pay",
    "payment_address": "a bare address; money sent there has no escrow",
    "accepts": "payment by x402, which is not the escrow",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """The payment that a seller asks for, every value in the right form; whether it is true is not checked.

    `blockchain_identifier` and the hex values are as they were sent. `amounts` is None where the seller
    names none or they cannot be read; they are not signed for Fixed prices, so the registry's price counts.
    """

    blockchain_identifier: str
    agent_identifier: str
    seller_vkey: str
    input_hash: str
    identifier_from_purchaser: str
    times: JobTimes
    amounts: tuple[Amount, ...] | None = None
    source_type: str | None = None
    source_index: int | None = None
    seller_return_address: str | None = None

    @property
    def times_text(self) -> dict[str, str]:
        """The four times by their wire names as the decimal text that the seller signed."""
        return self.times.as_wire()

    def canonical(self, blockchain_identifier: str) -> Terms:
        """The same terms with the identifier's canonical spelling: the only one to store, compare and pay."""
        return replace(self, blockchain_identifier=blockchain_identifier)


@dataclass(frozen=True, slots=True)
class ReadTerms:
    """The terms, or the problems that make them unpayable; neither where no payment is asked."""

    terms: Terms | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def place_of(found: list[Names]) -> Names | None:
    """Where the terms stand: the outermost object that has a blockchain identifier."""
    nested = [inner for names in found if (inner := names.object(*_PLACES)) is not None]
    return next((names for names in (*found, *nested) if names.get("blockchainIdentifier")), None)


def read_terms(found: list[Names], *, waits: bool, sent: str | None) -> ReadTerms:
    """The terms in an answer's layers; `waits` when the job waits for payment, `sent` is our identifier."""
    problems = [
        f"{name}: the job was paid already by another way"
        for name in _PAID_ALREADY
        if any(names.get(name) for names in found)
    ]
    place = place_of(found)
    if place is None:
        return ReadTerms(None, (*problems, *_without_terms(found, waits)))
    values = _values(place, found, problems)
    _check_forms(values, sent, problems)
    times, wrong, notes = wire_times(values)
    problems.extend(wrong)
    source_type = place.text("paymentSourceType")
    index = _source_index(place.get("supportedPaymentSourceIndex"), notes)
    if source_type == "Web3CardanoV2" and index is None:
        problems.append("supportedPaymentSourceIndex: missing, and the signature of Web3CardanoV2 covers it")
    if source_type == "Web3CardanoV1" and index is not None:
        notes.append("supportedPaymentSourceIndex: not a part of Web3CardanoV1; left out")
        index = None
    amounts = _amounts(place, notes)
    if problems or times is None:
        return ReadTerms(None, tuple(problems), tuple(notes))
    terms = Terms(
        blockchain_identifier=values["blockchainIdentifier"],
        agent_identifier=values["agentIdentifier"],
        seller_vkey=values["sellerVKey"],
        input_hash=values["input_hash"],
        identifier_from_purchaser=values["identifierFromPurchaser"],
        times=times,
        amounts=amounts,
        source_type=source_type,
        source_index=index,
        seller_return_address=place.text("sellerReturnAddress"),
    )
    return ReadTerms(terms, (), tuple(notes))


def _without_terms(found: list[Names], waits: bool) -> list[str]:
    """What is wrong with an answer that has no terms; nothing when it may be that of a free service."""
    problems = [f"{name}: {why}" for name, why in _NO_ESCROW.items() if any(n.get(name) for n in found)]
    if waits or any(names.get(name) for name in TIME_NAMES for names in found):
        problems.append("blockchainIdentifier: missing, although the job waits for payment")
    elif any(names.text("agentIdentifier") and "blockchainIdentifier" in names for names in found):
        problems.append("blockchainIdentifier: empty although agentIdentifier is set: no terms were prepared")
    return problems


def _values(place: Names, found: list[Names], problems: list[str]) -> dict[str, Any]:
    """The raw values by their right names: from where the identifier stands, else from the other layers."""
    order = [place, *(names for names in found if names is not place)]
    values: dict[str, Any] = {}
    for name, spellings in _SPELLINGS.items():
        given = next((some for n in order if (some := [v for v in n.all(*spellings) if v != ""])), [])
        if len({joined(value) or str(value) for value in given}) > 1:
            problems.append(f"{name}: given {len(given)} times with different values")
        values[name] = given[0] if given else None
    wallet = place.object("SmartContractWallet")
    if values["sellerVKey"] is None and wallet is not None:
        values["sellerVKey"] = wallet.get("walletVkey")
    return values


def _check_forms(values: Mapping[str, Any], sent: str | None, problems: list[str]) -> None:
    """The forms that the node asks for (protocol N3, N4): a sentence for each value that has another one."""
    for name, is_right, what in (
        ("blockchainIdentifier", _is_identifier, "the hex text that a payment node makes"),
        ("agentIdentifier", _is_agent, "policy id and asset name in hex"),
        ("sellerVKey", _is_key_hash, "the seller's key hash of 56 hex digits"),
        ("input_hash", _is_sha256, "a SHA-256 of 64 hex digits"),
        ("identifierFromPurchaser", _is_purchaser, "14 to 26 hex digits of an even number"),
    ):
        value = values[name]
        if value is None:
            problems.append(f"{name}: missing")
        elif not isinstance(value, str) or not is_right(value):
            problems.append(f"{name}: {quoted(value)} is not {what}")
        elif name == "identifierFromPurchaser" and sent is not None and value != sent:
            problems.append(f"{name}: {quoted(value)} is not the identifier that was sent")


def _is_identifier(text: str) -> bool:
    return 32 <= len(text) <= _MAX_IDENTIFIER and _HEX.fullmatch(text) is not None


def _is_agent(text: str) -> bool:
    return _AGENT.fullmatch(text) is not None


def _is_key_hash(text: str) -> bool:
    return len(text) == 56 and _HEX.fullmatch(text) is not None


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and _HEX.fullmatch(text) is not None


def _is_purchaser(text: str) -> bool:
    return _PURCHASER.fullmatch(text) is not None


def _source_index(value: Any, notes: list[str]) -> int | None:
    """An index is digits, as number or text, from 0 to 24; everything else means that there is none."""
    if isinstance(value, str) and value.strip().isdecimal() and value.isascii():
        value = int(value.strip()[:10])
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 24:
        return value
    if value:
        notes.append(f"supportedPaymentSourceIndex: {quoted(value)} is not an index from 0 to 24; left out")
    return None


def _amounts(place: Names, notes: list[str]) -> tuple[Amount, ...] | None:
    rows = place.get(*_AMOUNT_NAMES)
    if not rows:
        return None
    try:
        # Neither summed nor sorted: of a dynamic price the seller signed exactly this list (protocol N11).
        return tuple(wire_amount(row) for row in (rows if isinstance(rows, list) else [rows]))
    except AmountError as error:
        notes.append(f"amounts: {short(error.message, 200)}; left out")
        return None
