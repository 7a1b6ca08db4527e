"""Is a recorded answer read as it is meant? One judge per kind of row; each gives None, or what differs.

A row says what it knows: what is not among its `means` is not compared, and without a code it is a 200.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from masumi_tools.errors import WireError
from masumi_tools.inputs import fields_from_placeholders
from masumi_tools.models import (
    Listing,
    Started,
    read_ack,
    read_availability,
    read_payment_information,
    read_registry_entries,
    read_started,
    read_status,
)

Row = Mapping[str, Any]
Judge = Callable[[Row], str | None]

# Names that a row's reason can give; our own sentences must then name the same fields.
_FIELDS = (
    "blockchainIdentifier", "agentIdentifier", "sellerVKey", "identifierFromPurchaser", "payByTime",
    "submitResultTime", "unlockTime", "externalDisputeUnlockTime", "payment_id", "lockTx",
)  # fmt: skip


def started(row: Row) -> str | None:
    """A row of start-job-responses: is there a job, may it be paid, on which terms, else for what reason.

    The id of a job that was not started is of no use, so it is not compared.
    """
    means = row["means"]
    read = read_started(row["body"], _code(row))
    terms = means.get("terms")
    return (
        _differs("started", read.started, _or_none(means["started"]))
        or (read.started and _says(means, "job_id", read.job_id))
        or _says(means, "payable", read.payable)
        or (_terms(read, terms) if terms else _reasons(read, means.get("why") or ""))
        or _says(means, "fields", {name: list(texts) for name, texts in read.field_errors.items()})
        or ("result" in means and _result(read.result, read.result_value, means["result"]))
        or _words(means, *read.problems, *read.notes, read.error)
    )


def _words(means: Row, *said: str | None) -> str | None:
    """Whether what we say has the words that the row wants in it."""
    wanted, ours = str(means.get("says") or ""), " ".join(filter(None, said))
    return None if wanted in ours else f"we say {ours or 'nothing'!r} and not {wanted!r}"


def _terms(read: Started, wanted: Row) -> str | None:
    terms = read.terms
    if terms is None:
        return "no terms were read"
    got: dict[str, Any] = {
        "blockchainIdentifier": terms.blockchain_identifier,
        "agentIdentifier": terms.agent_identifier,
        "sellerVKey": terms.seller_vkey,
        "input_hash": terms.input_hash,
        "identifierFromPurchaser": terms.identifier_from_purchaser,
        "paymentSourceType": terms.source_type,
        "supportedPaymentSourceIndex": terms.source_index,
        "sellerReturnAddress": terms.seller_return_address,
        **terms.times_text,
    }
    for name, value in wanted.items():
        if name == "amounts":
            amounts = [(str(a["amount"]), str(a["unit"])) for a in value]
            read_amounts = [(str(a.quantity), a.unit or "lovelace") for a in terms.amounts or ()]
            if read_amounts != [(amount, unit or "lovelace") for amount, unit in amounts]:
                return f"amounts: {read_amounts} instead of {amounts}"
        elif name in got and not _same_value(got[name], value):
            return f"{name}: {got[name]!r} instead of {value!r}"
    return None


def _same_value(got: Any, wanted: Any) -> bool:
    """Equal, or the same time as number and text, in ms for a time that was sent in seconds or as ISO."""
    if got == wanted or str(got) == str(wanted):
        return True
    if isinstance(wanted, str) and re.match(r"\d{4}-\d{2}-\d{2}T", wanted):
        return str(got).isdecimal()
    return str(wanted).isdecimal() and int(wanted) < 10**11 and str(got) == f"{int(wanted)}000"


def _reasons(read: Started, why: str) -> str | None:
    """What cannot be paid is refused for a reason that the row gives too: one of the fields that it names."""
    said = " ".join((*read.problems, *read.notes, read.error or ""))
    if read.started is not True:
        return None if said else "nothing is said"
    named = [name for name in _FIELDS if re.search(rf"\b{name}\b", why)]
    if why.startswith("free") or not named or any(name in said for name in named):
        return None
    return f"the reason names {', '.join(named)}, we say: {said or 'nothing'}"


def status(row: Row) -> str | None:
    """A row of status-responses: state, result, error, and whether input is asked for."""
    means = row["means"]
    read = read_status(row["body"], _code(row))
    return (
        _differs("state", str(read.state), means["state"])
        or ("result" in means and _result(read.result, read.result_value, means["result"]))
        or ("error" in means and _differs("error", read.error, _one_line(means["error"])))
        or _says(means, "has_input_schema", read.input_schema is not None)
        or _words(means, read.error, read.word, read.progress, *read.notes)
    )


def _one_line(text: str | None) -> str | None:
    """An error as it is shown to people: on one line."""
    return " ".join(text.split()) if text else None


def _result(text: str | None, value: Any, wanted: Any) -> str | None:
    if isinstance(wanted, Mapping):
        # Rows quote the part of an object that matters.
        same = isinstance(value, Mapping) and all(value.get(k) == v for k, v in wanted.items()) and bool(text)
        return None if same else f"result: {value!r} instead of {wanted!r}"
    if isinstance(wanted, list | bool | int | float):
        return None if value == wanted and text else f"result: {value!r} instead of {wanted!r}"
    return _differs("result", text, wanted)


def availability(row: Row) -> str | None:
    """A row of availability-responses."""
    read = read_availability(row["body"], _code(row))
    return _differs("available", read.available, _or_none(row["means"]["available"]))


def provided(row: Row) -> str | None:
    """A row of provide-input-exchanges: was the answer taken, and was what stood before a question?"""
    read = read_ack(row["body"], _code(row))
    wrong = _differs("accepted", read.accepted, _or_none(row["means"]["accepted"]))
    before = row.get("status_before")
    if wrong is None and before is not None and before.get("status") == "awaiting_input":
        return _differs("input_schema", read_status(before).input_schema is not None, True)
    return wrong


def payment_information(row: Row) -> str | None:
    """A row of payment-information: price, amounts as listed, and whether a hire could be paid."""
    try:
        listing = read_payment_information(row["body"], http_status=_code(row))
    except WireError as error:
        return _no_listing(row, str(error)) or _words(row["means"], str(error))
    return _listing(row["means"], listing)


def registry_entry(row: Row) -> str | None:
    """A row of registry-entries: a registry's or node's list, on-chain metadata, or a seller's own list."""
    try:
        listings = read_registry_entries(row["body"], http_status=_code(row))
    except WireError as error:
        return _no_listing(row, str(error))
    return _listing(row["means"], listings[0]) if listings else _no_listing(row, "no entry was read")


def crew(row: Row) -> str | None:
    """A row of crews: the input fields of a crew with these placeholders, whatever braces lie in their way."""
    from masumi_tools.seller.work.templates import placeholders  # needs the seller's extra

    wanted, noise = list(row["placeholders"]), list(row["fetch_inputs_would_also_report"])
    spec = fields_from_placeholders([*noise, *wanted])
    found = [field.id for field in spec.fields]
    texts = [" and ".join(f"{{{name}}}" for name in (*noise, *wanted))]
    needless = [field.id for field in spec.fields if not field.required]
    return (
        _differs("fields", found, wanted)
        or _differs("placeholders", sorted(placeholders(texts)), sorted(wanted))
        or (f"not required: {needless}" if needless else None)
    )


def _no_listing(row: Row, said: str) -> str | None:
    means = row["means"]
    if means.get("pricing") is None and not means["usable_for_payment"]:
        return None if said else "nothing is said"
    return f"not read: {said}"


def _listing(means: Row, listing: Listing) -> str | None:
    price = listing.price
    amounts = [(amount, unit or "lovelace") for amount, unit in price.listed]
    wanted = [(str(a["amount"]), str(a["unit"] or "lovelace")) for a in means.get("amounts") or ()]
    return (
        _says(means, "pricing", None if price.pricing is None else str(price.pricing))
        or ("amounts" in means and _differs("amounts", amounts, wanted))
        or _differs("usable_for_payment", listing.payable, means["usable_for_payment"])
        or _says(means, "url", listing.api_base_url)
        or _says(means, "seller_vkey", listing.seller_vkey)
        or _says(means, "source_index", listing.source_index)
        or (None if listing.payable else _same_reason(str(means.get("why") or ""), listing))
        or _words(means, listing.obstacle(), *listing.notes)
    )


# What a row's reason speaks of, and what ours must then speak of.
_ABOUT = (
    (r"\bticker|\bas unit\b|\bunits are\b|\bunit is\b", r"unit"),
    (r"placeholder", r"agentIdentifier|AgentPricing|apiBaseUrl|sellerVkey"),
    (r"\bstate\b|not on chain|until confirmed|not registered", r"state|agentIdentifier"),
    (r"Fixed without", r"Fixed without amounts"),
    (r"version|metadata", r"metadata"),
    (r"no agentIdentifier", r"agentIdentifier"),
)


def _same_reason(why: str, listing: Listing) -> str | None:
    """What cannot be paid is refused for what the row names too; free ones need no reason."""
    said = listing.obstacle() or ""
    if listing.price.is_free or not why:
        return None
    told = [ours for theirs, ours in _ABOUT if re.search(theirs, why, re.IGNORECASE)]
    if not said:
        return "nothing is said"
    if told and not any(re.search(ours, said) for ours in told):
        return f"the reason is {why!r}, we say {said!r}"
    return None


def _code(row: Row) -> int:
    return row.get("http_status") or 200


def _or_none(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _says(means: Row, name: str, got: Any) -> str | None:
    return _differs(name, got, means[name]) if name in means else None


def _differs(name: str, got: Any, wanted: Any) -> str | None:
    return None if got == wanted else f"{name}: {got!r} instead of {wanted!r}"


JUDGES: Mapping[str, Judge] = {
    "start-job-responses": started,
    "status-responses": status,
    "availability-responses": availability,
    "provide-input-exchanges": provided,
    "payment-information": payment_information,
    "registry-entries": registry_entry,
}
OTHERS: Mapping[str, Judge] = {"crews": crew}
"""Kinds of rows that are no answers."""
