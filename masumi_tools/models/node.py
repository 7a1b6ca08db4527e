"""What a payment node says: purchases, payments, keys, registrations, in its API's shape and as a raw row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final

from masumi_tools.errors import AmountError, WireError
from masumi_tools.models.price import wire_amounts
from masumi_tools.models.times import JobTimes
from masumi_tools.models.wire import Names, as_object, quoted, short
from masumi_tools.money import Amount


class OnChainState(StrEnum):
    """What the chain shows of an escrow (protocol N9.1); a state that is not here is kept as text."""

    FUNDS_LOCKED = "FundsLocked"
    FUNDS_OR_DATUM_INVALID = "FundsOrDatumInvalid"
    RESULT_SUBMITTED = "ResultSubmitted"
    REFUND_REQUESTED = "RefundRequested"
    DISPUTED = "Disputed"
    WITHDRAW_AUTHORIZED = "WithdrawAuthorized"
    REFUND_AUTHORIZED = "RefundAuthorized"
    WITHDRAWN = "Withdrawn"
    REFUND_WITHDRAWN = "RefundWithdrawn"
    DISPUTED_WITHDRAWN = "DisputedWithdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Escrow:
    """What a purchase and a payment have in common (protocol N8), as far as it is used."""

    id: str
    blockchain_identifier: str
    on_chain_state: OnChainState | str | None
    requested_action: str
    times: JobTimes
    error_type: str | None = None
    tx_hash: str | None = None
    input_hash: str = ""
    result_hash: str | None = None
    agent_identifier: str | None = None
    source_type: str | None = None
    wallet_vkey: str | None = None
    seller_return_address: str | None = None

    @property
    def strange_state(self) -> str | None:
        """An on-chain state of which nothing is known here; it is never final."""
        # By its text: a record that comes back from the journal brings a plain one.
        known = self.on_chain_state is None or str(self.on_chain_state) in set(OnChainState)
        return None if known else str(self.on_chain_state)

    @property
    def needs_a_person(self) -> bool:
        """Whether the node waits for its operator: WaitingForManualAction or a noted error (protocol N9.5)."""
        return self.requested_action == "WaitingForManualAction" or self.error_type is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePurchase(_Escrow):
    """A purchase on the buyer's node: what it will pay or has paid, and where that stands.

    Times are ms; fees are in ADA; `wallet_vkey` is of the buyer's purchasing wallet once the lock is on its
    way. The row in a 409 has no payment source, so that network and source type are None there.
    `changed_at` is the sort key of the diff feed.
    """

    # Records hold it as older versions read it, with names that are not used any more.
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "ignore"}

    paid_funds: tuple[Amount, ...] = ()
    seller_vkey: str | None = None
    error_note: str | None = None
    tx_hashes: tuple[str, ...] = ()
    withdrawn_for_buyer: tuple[Amount, ...] = ()
    withdrawn_for_seller: tuple[Amount, ...] = ()
    collateral_return_lovelace: int = 0
    network: str | None = None
    buyer_fees_ada: float = 0.0
    created_at: str = ""
    changed_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePayment(_Escrow):
    """A payment on the seller's node: what the buyer owes, and where that stands.

    `wallet_vkey` is the seller's key hash, which the buyer needs; `next_result_hash` is a result on its
    way to the chain, `result_hash` one that is there.
    """

    requested_funds: tuple[Amount, ...] = ()
    next_result_hash: str | None = None


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What the node's key may do (protocol N2). `credits` are None where the key's use is not limited."""

    id: str
    active: bool
    can_read: bool
    can_pay: bool
    can_admin: bool
    networks: tuple[str, ...] = ()
    credits: tuple[Amount, ...] | None = None
    other_credits: tuple[str, ...] = ()
    """Units of credits that no escrow is paid in, such as `eip155:8453:0x…`: they pay by x402 only."""
    wallet_scoped: bool = False


@dataclass(frozen=True, slots=True)
class Registration:
    """A row of the node's own registrations: `agent_identifier` is None until it is on chain."""

    id: str
    state: str
    agent_identifier: str | None
    name: str = ""
    api_base_url: str = ""
    error: str | None = None
    wallet_vkey: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """What it says of the agent, under the names of the body that registered it."""

    @property
    def pending(self) -> bool:
        """The node is still at work on it."""
        return self.state.endswith(("Requested", "Initiated"))

    @property
    def on_chain(self) -> bool:
        """The agent stands in the registry, and nothing is under way."""
        return self.agent_identifier is not None and self.state in (
            "RegistrationConfirmed",
            "UpdateConfirmed",
            "UpdateFailed",
            "DeregistrationFailed",
        )

    def says(self, body: Mapping[str, Any]) -> bool:
        """Whether it says of the agent what this body would say."""
        return all(_plain(self.shown.get(name)) == _plain(body.get(name)) for name in REGISTERED)


REGISTERED = (
    "name",
    "description",
    "apiBaseUrl",
    "Tags",
    "Capability",
    "Author",
    "Legal",
    "ExampleOutputs",
    "AgentPricing",
    "supportedPaymentSources",
)
"""The fields of a registration that describe the agent."""


def _plain(value: Any) -> Any:
    """A value without what is null or empty, and with ADA in one spelling, so that two can be compared."""
    if isinstance(value, Mapping):
        parts = {
            name: "" if name in ("unit", "asset") and part == "lovelace" else _plain(part)
            for name, part in value.items()
        }
        return {name: part for name, part in parts.items() if part not in (None, {}, [])} or None
    if isinstance(value, list):
        return [_plain(part) for part in value] or None
    return value


def read_purchase(body: Any) -> NodePurchase:
    """The purchase in an answer of the node: 200 (in its envelope), 409 (a raw row), or one entry of a list.

    WireError names the field that keeps the object from being one.
    """
    row = _row(body, "purchase")
    action, source = row.object("NextAction"), row.object("PaymentSource")
    seller, current = row.object("SellerWallet"), row.object("CurrentTransaction")
    history = [Names(entry) for entry in row.list("TransactionHistory") if isinstance(entry, Mapping)]
    hashes = [tx.text("txHash") for tx in (*([current] if current else []), *history)]
    return NodePurchase(
        **_common(row, action, current, source, "purchase"),
        paid_funds=_funds(row, "PaidFunds"),
        seller_vkey=seller.text("walletVkey") if seller else None,
        error_note=action.text("errorNote") if action else None,
        tx_hashes=tuple(dict.fromkeys(h for h in hashes if h)),
        withdrawn_for_buyer=_funds(row, "WithdrawnForBuyer"),
        withdrawn_for_seller=_funds(row, "WithdrawnForSeller"),
        collateral_return_lovelace=_ms(row, "collateralReturnLovelace", "purchase", absent=0),
        network=source.text("network") if source else None,
        buyer_fees_ada=_ada(row, "totalBuyerCardanoFees"),
        created_at=row.text("createdAt") or "",
        changed_at=row.text("nextActionOrOnChainStateOrResultLastChangedAt") or "",
    )


def read_payment(body: Any) -> NodePayment:
    """The payment in an answer of the node, as read_purchase does it."""
    row = _row(body, "payment")
    action, source = row.object("NextAction"), row.object("PaymentSource")
    return NodePayment(
        **_common(row, action, row.object("CurrentTransaction"), source, "payment"),
        requested_funds=_funds(row, "RequestedFunds"),
        next_result_hash=action.text("resultHash") if action else None,
    )


def read_purchases(body: Any) -> list[NodePurchase]:
    """The purchases in a list or diff of the node, in their order."""
    return [read_purchase(row) for row in _rows(body, "Purchases")]


def read_payments(body: Any) -> list[NodePayment]:
    """The payments in a list or diff of the node, in their order."""
    return [read_payment(row) for row in _rows(body, "Payments")]


def read_key_status(body: Any) -> KeyStatus:
    """The node's answer to GET /api-key-status, with today's flags or the older `permission` word."""
    row = _unwrapped(body, "api-key-status")
    word = (row.text("permission") or "").lower()
    admin = _flag(row, "canAdmin", word == "admin")
    pay = _flag(row, "canPay", admin or word == "readandpay")
    limited = row.get("usageLimited") is True
    return KeyStatus(
        id=row.text("id") or "",
        active=(row.text("status") or "Active").lower() == "active",
        can_read=_flag(row, "canRead", pay or word in ("read", "user")),
        can_pay=pay,
        can_admin=admin,
        networks=tuple(str(n) for n in row.list("NetworkLimit")),
        credits=_funds(row, "RemainingUsageCredits") if limited else None,
        other_credits=tuple(_other_units(row, "RemainingUsageCredits")) if limited else (),
        wallet_scoped=row.get("walletScopeEnabled") is True,
    )


def read_registration(body: Any) -> Registration:
    """A registration in the node's answer to POST /registry and its like, or one entry of GET /registry."""
    row = _unwrapped(body, "registration")
    wallet = row.object("SmartContractWallet")
    return Registration(
        id=_needed(row, "id", "registration"),
        state=_needed(row, "state", "registration"),
        agent_identifier=row.text("agentIdentifier"),
        name=row.text("name") or "",
        api_base_url=row.text("apiBaseUrl") or "",
        error=row.text("error"),
        wallet_vkey=(wallet.text("walletVkey") or "") if wallet else "",
        shown={name: row.get(name) for name in REGISTERED},
    )


def read_registrations(body: Any) -> list[Registration]:
    """The registrations in the node's answer to GET /registry, in their order."""
    return [read_registration(row) for row in _rows(body, "Assets")]


def _unwrapped(body: Any, what: str) -> Names:
    value = as_object(body)
    if value is None:
        raise WireError(f"The node's {what} is not a JSON object but {quoted(body)}.", fault="node")
    names = Names(value)
    inner = names.object("data")
    return inner if inner is not None and isinstance(names.get("data"), Mapping) else names


def _row(body: Any, what: str) -> Names:
    value = as_object(body)
    if value is not None and "object" in value and "blockchainIdentifier" not in value:
        value = as_object(value["object"])  # the 409: the stored row beside the error
    return _unwrapped(value, what)


def _rows(body: Any, name: str) -> list[Any]:
    rows = _unwrapped(body, f"list of {name}").get(name)
    if not isinstance(rows, list):
        raise WireError(f"{name}: the node's list is missing, there is {quoted(rows)}.", fault="node")
    return rows


def _needed(row: Names, name: str, what: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise WireError(f"{name}: missing in the node's {what}, there is {quoted(value)}.", fault="node")
    return value


def _common(
    row: Names, action: Names | None, current: Names | None, source: Names | None, what: str
) -> dict[str, Any]:
    if action is None:
        raise WireError(f"NextAction: missing in the node's {what}.", fault="node")
    wallet = row.object("SmartContractWallet")
    state = row.text("onChainState")
    return {
        "id": _needed(row, "id", what),
        "blockchain_identifier": _needed(row, "blockchainIdentifier", what),
        "on_chain_state": OnChainState(state) if state in _STATES else state,
        "requested_action": _needed(action, "requestedAction", what),
        "error_type": action.text("errorType"),
        "tx_hash": current.text("txHash") if current else None,
        "times": JobTimes(
            _ms(row, "payByTime", what, absent=0),
            _ms(row, "submitResultTime", what),
            _ms(row, "unlockTime", what),
            _ms(row, "externalDisputeUnlockTime", what),
        ),
        "input_hash": row.text("inputHash") or "",
        "result_hash": row.text("resultHash"),
        "agent_identifier": row.text("agentIdentifier"),
        "source_type": source.text("paymentSourceType") if source else None,
        "wallet_vkey": wallet.text("walletVkey") if wallet else None,
        "seller_return_address": row.text("sellerReturnAddress"),
    }


_STATES: Final = frozenset(OnChainState)


def _ms(row: Names, name: str, what: str, absent: int | None = None) -> int:
    value = row.get(name)
    if value is None and absent is not None:
        return absent
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) <= 25:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise WireError(f"{name}: {quoted(value)} in the node's {what} is not a whole number.", fault="node")


def _ada(row: Names, name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _funds(row: Names, name: str) -> tuple[Amount, ...]:
    """Amounts of a row. Those that are no amounts (chain deltas can be negative, protocol N8) are left out."""
    found: list[Amount] = []
    for entry in row.list(name):
        try:
            found.extend(wire_amounts([entry]))
        except AmountError:
            continue
    return tuple(found)


def _other_units(row: Names, name: str) -> Iterator[str]:
    for entry in row.list(name):
        unit = Names(entry).text("unit") if isinstance(entry, Mapping) else None
        if unit and ":" in unit:
            yield short(unit, 120)


def _flag(row: Names, name: str, default: bool) -> bool:
    value = row.get(name)
    return value if isinstance(value, bool) else default
