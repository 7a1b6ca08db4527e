"""API keys and webhooks of the node (protocol N2, N15)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..chain.network import NETWORKS
from ..chain.objects import api_key_json
from ..chain.rows import Funds
from ..wire import Refusal
from . import schema as s
from .context import Context, NodeCrash
from .terms import check_storable, number

CAIP2 = "[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}"
BOTH = ("Mainnet", "Preprod")
CREDITS = {"unit": s.text(most=150), "amount": s.text()}
PERMISSIONS = ("Read", "ReadAndPay", "Admin")
EVENTS = (
    "PURCHASE_ON_CHAIN_STATUS_CHANGED",
    "PAYMENT_ON_CHAIN_STATUS_CHANGED",
    "PURCHASE_ON_ERROR",
    "PAYMENT_ON_ERROR",
    "WALLET_LOW_BALANCE",
    "FUND_DISTRIBUTION_SENT",
    "FUND_DISTRIBUTION_CONFIRMED",
    "FUND_DISTRIBUTION_FAILED",
    "X402_PAYMENT_SETTLED",
    "X402_PAYMENT_FAILED",
    "X402_WALLET_LOW_BALANCE",
)
FORMATS = ("EXTENDED", "SLACK", "GOOGLE_CHAT", "DISCORD")


def _chain_id(value: Any, path: str, issues: list[str]) -> Any:
    before = len(issues)
    complaint = "Each entry must be a CAIP-2 chain id like eip155:8453"
    found = s.text(1, 120, pattern=CAIP2, complaint=complaint)(value, path, issues)
    if len(issues) == before and found.lower().startswith("cardano:"):
        message = "Use NetworkLimit for Cardano networks; ChainIdLimit is for non-Cardano CAIP-2 chain ids"
        issues.append(f"{path}: {message}")
    return found


LISTED = s.Schema({"take": s.query_number(1, 100, 10), "cursorId": s.text(most=550, optional=True)})
CREATE = s.Schema(
    {
        "usageLimited": s.flag_text(True),
        "UsageCredits": s.items(s.record(CREDITS)),
        "NetworkLimit": s.items(s.choice(NETWORKS), most=3, default=BOTH),
        "ChainIdLimit": s.items(_chain_id, most=50, default=()),
        "permission": s.choice(PERMISSIONS, default="Read"),
        "canRead": s.boolean(),
        "canPay": s.boolean(),
        "canAdmin": s.boolean(),
        "walletScopeEnabled": s.flag_text(),
        "WalletScopeHotWalletIds": s.items(s.text(most=150), most=100, default=()),
    }
)
UPDATE = s.Schema(
    {
        "id": s.text(most=150),
        "token": s.text(15, 550, optional=True),
        "UsageCreditsToAddOrRemove": s.items(s.record(CREDITS), most=25, default=()),
        "usageLimited": s.boolean(default=True),
        "status": s.choice(("Active", "Revoked"), default="Active"),
        "NetworkLimit": s.items(s.choice(NETWORKS), most=3, optional=True),
        "ChainIdLimit": s.items(_chain_id, most=50, optional=True),
        "walletScopeEnabled": s.boolean(),
        "WalletScopeHotWalletIds": s.items(s.text(most=150), most=100, optional=True),
        "canRead": s.boolean(),
        "canPay": s.boolean(),
        "canAdmin": s.boolean(),
    }
)
DELETE = s.Schema({"id": s.text(most=150)})

_HOOK = {
    "url": s.text(most=500, pattern=r"[a-zA-Z][a-zA-Z0-9+.-]*://.+", complaint="Invalid URL"),
    "authToken": s.nullable(s.text(10, 200)),
}
_HOOK_EVENTS = s.items(s.choice(EVENTS), least=1, most=10)
WEBHOOK_NEW = s.Schema(
    _HOOK
    | {
        "format": s.choice(FORMATS, default="EXTENDED"),
        "Events": _HOOK_EVENTS,
        "name": s.text(most=100, optional=True),
        "paymentSourceId": s.nullable(s.text()),
    }
)
WEBHOOK_CHANGE = s.Schema(
    {"webhookId": s.text()}
    | _HOOK
    | {"format": s.choice(FORMATS), "Events": _HOOK_EVENTS, "name": s.nullable(s.text(most=100))}
)
WEBHOOKS = s.Schema(
    {
        "paymentSourceId": s.nullable(s.text()),
        "cursorId": s.text(optional=True),
        "limit": s.query_number(1, 50, 10),
    }
)
WEBHOOK = s.Schema({"webhookId": s.text()})


def status(ctx: Context) -> dict[str, Any]:
    """The asking key itself."""
    return api_key_json(ctx.key)


def listed(ctx: Context) -> dict[str, Any]:
    """All keys, oldest first; the cursor's own key comes again."""
    keys = list(ctx.world.keys.values())
    cursor = ctx.data["cursorId"] or None
    if cursor is not None:
        keys = keys[next((place for place, key in enumerate(keys) if key.id == cursor), len(keys)) :]
    return {"ApiKeys": [api_key_json(key) for key in keys[: ctx.data["take"]]]}


def create(ctx: Context) -> dict[str, Any]:
    """A new key; this answer alone shows its token."""
    data = ctx.data
    read, pay, admin = _flags(data, data["permission"])
    _check_admin(admin, scoped=data["walletScopeEnabled"], limited=data["usageLimited"])
    credits: Funds = []
    for entry in data["UsageCredits"]:
        credits.append((number(entry["amount"]), entry["unit"]))
        if credits[-1][0] < 0:
            raise Refusal(400, "Invalid amount")
    check_storable(credits, ())
    if data["walletScopeEnabled"]:
        _check_wallets(ctx, data["WalletScopeHotWalletIds"])
    networks: list[str] = data["NetworkLimit"]
    key = ctx.world.add_key(
        read=read,
        pay=pay,
        admin=admin,
        usage_limited=data["usageLimited"],
        networks=BOTH if admin else tuple(networks),
        chains=() if admin else _chains(networks, data["ChainIdLimit"]),
        credits=credits,
        wallet_scoped=data["walletScopeEnabled"],
        wallet_ids=tuple(data["WalletScopeHotWalletIds"]) if data["walletScopeEnabled"] else (),
    )
    return api_key_json(key, plain=True)


def update(ctx: Context) -> dict[str, Any]:
    """The changed key. What is left out of the body falls back to usageLimited true and status Active."""
    data = ctx.data
    key = ctx.world.key_by_id(data["id"])
    if key is None:
        raise Refusal(404, "API key not found")
    admin = key.can_admin if data["canAdmin"] is None else data["canAdmin"]
    scoped = key.wallet_scoped if data["walletScopeEnabled"] is None else data["walletScopeEnabled"]
    credits = _changed_credits(key.credits, data["UsageCreditsToAddOrRemove"])
    _check_admin(admin, scoped=scoped, limited=data["usageLimited"])
    check_storable(credits, ())
    _check_wallets(ctx, data["WalletScopeHotWalletIds"] or ())
    other = ctx.world.keys.get(data["token"])
    if other is not None and other is not key:
        raise NodeCrash("Unique constraint failed on the fields: (`tokenHash`)")
    key.credits = credits
    key.usage_limited = data["usageLimited"]
    key.active = data["status"] == "Active"
    if admin:
        key.networks, key.chains = BOTH, ()
    else:  # each half of the limits stays as it is unless the body names it
        others = [chain for chain in key.chains if not chain.startswith("cardano:")]
        key.networks = key.networks if data["NetworkLimit"] is None else tuple(data["NetworkLimit"])
        key.chains = _chains(
            list(key.networks), others if data["ChainIdLimit"] is None else data["ChainIdLimit"]
        )
    key.wallet_scoped = scoped
    if data["WalletScopeHotWalletIds"] is not None:
        key.wallet_ids = tuple(data["WalletScopeHotWalletIds"])
    for name, field in (("canRead", "can_read"), ("canPay", "can_pay"), ("canAdmin", "can_admin")):
        if data[name] is not None:
            setattr(key, field, data[name])
    if data["token"] is not None:
        del ctx.world.keys[key.token]
        key.token = data["token"]
        ctx.world.keys[key.token] = key
    return api_key_json(key)


def delete(ctx: Context) -> dict[str, Any]:
    """The key, revoked; it stays known, so its token is answered as revoked."""
    key = ctx.world.key_by_id(ctx.data["id"])
    if key is None:
        raise NodeCrash("An operation failed because it depends on one or more records that were required.")
    key.active = False
    return api_key_json(key)


def no_webhooks(ctx: Context) -> dict[str, Any]:
    return {"Webhooks": []}


def refuse_webhook(ctx: Context) -> dict[str, Any]:
    """No destination is public for a node without a network, so none is ever taken."""
    raise Refusal(400, "Webhook destination is not allowed")


def missing_webhook(ctx: Context) -> dict[str, Any]:
    raise Refusal(404, "Webhook not found")


def _flags(data: dict[str, Any], permission: str) -> tuple[bool, bool, bool]:
    given = (data["canRead"], data["canPay"], data["canAdmin"])
    if any(flag is not None for flag in given):
        return given[0] is not False, bool(given[1]), bool(given[2])
    return True, permission != "Read", permission == "Admin"


def _check_admin(admin: bool, *, scoped: bool, limited: bool) -> None:
    if admin and scoped:
        raise Refusal(400, "Admin API keys cannot have wallet scope enabled")
    if admin and limited:
        raise Refusal(400, "Admin API keys cannot have usage limits")


def _check_wallets(ctx: Context, wallet_ids: Iterable[str]) -> None:
    """A 500 for a wallet that is none of the node's, which the database refuses."""
    if not {wallet.id for wallet in ctx.world.wallets}.issuperset(wallet_ids):
        raise NodeCrash("Foreign key constraint violated")


def _changed_credits(credits: Funds, changes: list[dict[str, str]]) -> Funds:
    """A credit that comes to nothing goes; none is taken that is not there."""
    left = {unit: amount for amount, unit in credits}
    for change in changes:
        unit, amount = change["unit"], number(change["amount"])
        if left.get(unit, 0) + amount < 0 or (unit not in left and amount == 0):
            raise Refusal(400, "Invalid amount")
        left[unit] = left.get(unit, 0) + amount
        if left[unit] == 0:
            del left[unit]
    return [(amount, unit) for unit, amount in left.items()]


def _chains(networks: list[str], others: list[str]) -> tuple[str, ...]:
    return (*(f"cardano:{network.lower()}" for network in networks), *others)
