"""What a service answered to start_job: is there a job, and what are the terms of its payment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from masumi_tools.errors import AmountError
from masumi_tools.models.price import wire_amount
from masumi_tools.models.status import JobState, state_of
from masumi_tools.models.times import TIME_NAMES, JobTimes, wire_times
from masumi_tools.models.wire import (
    Names,
    field_errors,
    joined,
    layers,
    quoted,
    read_error,
    read_error_code,
    short,
)
from masumi_tools.money import Amount

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
_PURCHASER: Final = re.compile(r"(?:[0-9a-fA-F]{2}){7,13}")
_MAX_IDENTIFIER: Final = 8_000  # what the node takes
_MAX_JOB_ID: Final = 500

# Spellings of one field that are more than a matter of case and underscores.
_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "blockchainIdentifier": ("blockchainIdentifier",),
    "agentIdentifier": ("agentIdentifier",),
    "sellerVKey": ("sellerVKey", "sellerVerificationKey"),
    "input_hash": ("input_hash",),
    "identifierFromPurchaser": ("identifierFromPurchaser", "purchaserIdentifier"),
    "payByTime": ("payByTime",),
    "submitResultTime": ("submitResultTime",),
    "unlockTime": ("unlockTime",),
    "externalDisputeUnlockTime": ("externalDisputeUnlockTime",),
}
_AMOUNT_NAMES: Final = ("amounts", "RequestedFunds", "Amounts")
# What shows that another way of payment was or is to be used; such a job is never purchased.
_OTHER_PAYMENT: Final[Mapping[str, str]] = {
    "lockTx": "the job says that it was paid already by another way",
    "lockTxHash": "the job says that it was paid already by another way",
    "payment_id": "a payment of the service's own kind, which cannot be checked or paid through the node",
    "payment_address": "a bare address; money sent there has no escrow",
    "accepts": "payment by x402, which is not the escrow",
}
# Words in the code of a 5xx answer: such as say that nothing was done before the refusal, and such as do not.
_REFUSAL: Final = re.compile(
    r"NOT|NO|MISSING|INVALID|FAILED|UNAVAILABLE|DISABLED|REFUSED|REJECTED|DENIED|FORBIDDEN|UNAUTHORIZED"
    r"|UNSUPPORTED|EXPIRED|BUSY|QUOTA|LIMIT|LIMITED|EXCEEDED|REQUIRED|MAINTENANCE"
)
_UNSURE: Final = re.compile(r"INTERNAL|UNEXPECTED|UNKNOWN|TIMEOUT|TIMED|GATEWAY|INSPECTION|PARTIAL|ERROR")


@dataclass(frozen=True, slots=True)
class Terms:
    """The payment that a seller asks for, every value in the right form; whether it is true is not checked.

    `blockchain_identifier` and the hex values are as they were sent. `amounts` is None where the seller
    names none or cannot be read; they are not signed for Fixed prices, so the registry's price counts.
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
class Started:
    """What became of start_job.

    `started` is True when the service gave a job id, False when it said or showed that there is no job,
    None when nobody knows (5xx, no JSON): then nothing is paid and nothing is sent again blindly.
    `terms` is None where no payment is asked, which is a free job only if the registry says Free, and
    where `problems` (each led by the field, in words for the seller's owner) say why it cannot be paid.
    `notes` tell what was repaired. `error` is the service's own sentence, `field_errors` what it says
    about single input fields, `continuation_token` is a secret of the hire for provide_input.
    """

    started: bool | None
    job_id: str | None = None
    status: JobState = JobState.UNKNOWN
    status_word: str | None = None
    terms: Terms | None = None
    error: str | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    field_errors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    continuation_token: str | None = field(default=None, repr=False)

    @property
    def payable(self) -> bool:
        """Whether there are terms and nothing is wrong with their form."""
        return self.started is True and self.terms is not None and not self.problems


def read_started(body: Any, http_status: int = 200, *, sent: str | None = None) -> Started:
    """The job and its terms out of an answer to start_job, in any dialect (field-notes A0, A4).

    `body` is the JSON value, None or text where it was no JSON; `sent` is the identifier_from_purchaser
    of the request, with which the echo must agree. Never raises.
    """
    found = layers(body)
    if not 200 <= http_status < 300:
        return _refused(body, http_status, found)
    if not found:
        return Started(None, error=read_error(body) or "the answer is no JSON object")
    outer = found[0]
    job_id = _job_id(found)
    word = next((w for names in reversed(found) if (w := names.text("status", "state"))), None)
    state = state_of(word)
    failed = state is JobState.FAILED or (
        job_id is None and next(outer.all("error", "errors"), None) is not None
    )
    if job_id is None or failed:
        error = read_error(outer.raw) or "the service named no job"
        return Started(False, job_id, state, word, error=error, field_errors=field_errors(outer.raw))
    terms, problems, notes = _terms(found, state, sent)
    token = next(
        (t for names in found if (t := names.text("continuationToken", "input_token", "job_token"))), None
    )
    return Started(
        True,
        job_id,
        state,
        word,
        terms,
        problems=tuple(problems),
        notes=tuple(notes),
        continuation_token=token,
    )


def _refused(body: Any, http_status: int, found: list[Names]) -> Started:
    """An answer that is no 2xx. 4xx says that nothing was started; the rest says nothing (field-notes A0)."""
    error = read_error(body) or f"HTTP {http_status}"
    job_id = _job_id(found) if found and http_status == 402 else None
    if job_id is not None:
        return Started(True, job_id, error=error, problems=(f"accepts: {_OTHER_PAYMENT['accepts']}",))
    definite = 400 <= http_status < 500 and http_status != 408
    if http_status >= 500:
        words = (read_error_code(body) or "").upper().replace("-", "_").split("_")
        definite = any(map(_REFUSAL.fullmatch, words)) and not any(map(_UNSURE.fullmatch, words))
    return Started(False if definite else None, error=error, field_errors=field_errors(body))


def _job_id(found: list[Names]) -> str | None:
    """job_id, else id: the first published answers have both and mean job_id (they differ there)."""
    for spelling in ("job_id", "id"):
        for names in found:
            if spelling == "id" and ("SmartContractWallet" in names or "RequestedFunds" in names):
                continue  # a payment of the seller's node, passed through: its id is no job
            value = names.get(spelling)
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if isinstance(value, str) and value.strip() and len(value) <= _MAX_JOB_ID:
                return value
    return None


def _terms(
    found: list[Names], state: JobState, sent: str | None
) -> tuple[Terms | None, list[str], list[str]]:
    problems = [
        f"{name}: {why}"
        for name, why in _OTHER_PAYMENT.items()
        if any(names.get(name) is not None for names in found)
    ]
    place = next((names for names in found if names.get("blockchainIdentifier") is not None), None)
    if place is None:
        timed = [name for name in TIME_NAMES for names in found if names.get(name) is not None]
        agent = next((a for names in found if (a := names.text("agentIdentifier"))), None)
        if timed or state is JobState.AWAITING_PAYMENT:
            problems.append("blockchainIdentifier: missing, although the job waits for payment")
        elif agent and all("blockchainIdentifier" in names for names in found[:1]):
            problems.append(
                "blockchainIdentifier: null, although agentIdentifier is set: no terms were prepared"
            )
        return None, problems, []
    values = _values(place, found, problems)
    _check_forms(values, sent, problems)
    times, wrong, notes = wire_times(values)
    problems.extend(wrong)
    source_type = place.text("paymentSourceType")
    index = _source_index(place.get("supportedPaymentSourceIndex"), notes)
    if source_type == "Web3CardanoV2" and index is None:
        problems.append("supportedPaymentSourceIndex: missing, and the signature of Web3CardanoV2 covers it")
    amounts = _amounts(place, notes)
    if problems or times is None:
        return None, problems, notes
    terms = Terms(
        values["blockchainIdentifier"],
        values["agentIdentifier"],
        values["sellerVKey"],
        values["input_hash"],
        values["identifierFromPurchaser"],
        times,
        amounts,
        source_type,
        index,
        place.text("sellerReturnAddress"),
    )
    return terms, problems, notes


def _values(place: Names, found: list[Names], problems: list[str]) -> dict[str, Any]:
    """The raw values by their right names: from where the identifier stands, else from the outer body."""
    order = [place, *(names for names in found if names is not place)]
    values: dict[str, Any] = {}
    for name, spellings in _SPELLINGS.items():
        given = next((all_ for names in order if (all_ := list(names.all(*spellings)))), [])
        if len({joined(value) or str(value) for value in given}) > 1:
            problems.append(f"{name}: given {len(given)} times with different values")
        values[name] = given[0] if given else None
    wallet = place.object("SmartContractWallet")
    if values["sellerVKey"] is None and wallet is not None:
        values["sellerVKey"] = wallet.get("walletVkey")
    return values


def _check_forms(values: Mapping[str, Any], sent: str | None, problems: list[str]) -> None:
    """The forms that the node asks for (node-api 3, 4); a sentence for each value that has another one."""
    identifier = values["blockchainIdentifier"]
    if not _is_hex(identifier, 32, _MAX_IDENTIFIER):
        problems.append(
            f"blockchainIdentifier: {quoted(identifier)} is not the hex text that a payment node makes"
        )
    agent = values["agentIdentifier"]
    if agent is None or agent == "":
        problems.append("agentIdentifier: missing")
    elif not (isinstance(agent, str) and re.fullmatch("[0-9a-fA-F]{57,250}", agent)):
        problems.append(f"agentIdentifier: {quoted(agent)} is not policy id and asset name in hex")
    key = values["sellerVKey"]
    if key is None or key == "":
        problems.append("sellerVKey: missing")
    elif not _is_hex(key, 56, 56):
        what = "an address" if isinstance(key, str) and key.startswith("addr") else f"{quoted(key)}"
        problems.append(f"sellerVKey: {what} instead of the seller's key hash of 56 hex digits")
    digest = values["input_hash"]
    if digest is None or digest == "":
        problems.append("input_hash: missing")
    elif not _is_hex(digest, 64, 64):
        problems.append(f"input_hash: {quoted(digest)} is not a SHA-256 of 64 hex digits")
    echo = values["identifierFromPurchaser"]
    if echo is None or echo == "":
        problems.append("identifierFromPurchaser: missing, so that it cannot be compared with what was sent")
    elif not (isinstance(echo, str) and _PURCHASER.fullmatch(echo)):
        problems.append(
            f"identifierFromPurchaser: {quoted(echo)} is not 14 to 26 hex digits of an even number"
        )
    elif sent is not None and echo != sent:
        problems.append(f"identifierFromPurchaser: {quoted(echo)} is not the identifier that was sent")


def _is_hex(value: Any, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and _HEX.fullmatch(value) is not None


def _source_index(value: Any, notes: list[str]) -> int | None:
    """An index is digits, as number or text, from 0 to 24; everything else means that there is none."""
    if isinstance(value, str) and value.strip().isdecimal() and value.strip().isascii():
        value = int(value.strip()[:10])
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 24:
        return value
    if value not in (None, "", False, [], {}):
        notes.append(
            f"supportedPaymentSourceIndex: {quoted(value)} is no index from 0 to 24 and was left out"
        )
    return None


def _amounts(place: Names, notes: list[str]) -> tuple[Amount, ...] | None:
    rows = place.get(*_AMOUNT_NAMES)
    if rows is None or rows == []:
        return None
    try:
        # Neither summed nor sorted: of a dynamic price the seller signed exactly this list (node-api 11).
        return tuple(wire_amount(row) for row in (rows if isinstance(rows, list) else [rows]))
    except AmountError as error:
        notes.append(f"amounts: {short(error.message, 200)}; left out")
        return None
