"""Which path takes which verb, who may call it, and what answers: the node's table of routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ..wire import Refusal
from . import actions, feeds, keys, payments, purchases, recovery, registration, registry
from . import schema as s
from .context import Context

Scope = Literal["none", "read", "pay", "admin"]
Handler = Callable[[Context], dict[str, Any]]
NOTHING = s.Schema({})


@dataclass(frozen=True)
class Route:
    """One verb of one path. ``rate`` is the number of calls a minute that one key may make."""

    scope: Scope
    schema: s.Schema
    handler: Handler
    rate: int | None = None


Table = Mapping[str, Mapping[str, Route]]


def _health(ctx: Context) -> dict[str, Any]:
    return {"status": "ok"}


def _rails(ctx: Context) -> dict[str, Any]:
    return {"rails": ctx.world.rails}


def _left_out(ctx: Context) -> dict[str, Any]:
    message = "The sandbox leaves this route out: it plays no part in hiring or selling through the escrow"
    raise Refusal(501, message)


# Routes of the real node that are answered 501, by name: verbs with their scope.
LEFT_OUT: dict[str, dict[str, Scope]] = {
    "/wallet": {"GET": "admin", "POST": "admin", "PATCH": "admin"},
    "/wallet/list": {"GET": "admin"},
    "/wallet/low-balance": {"GET": "read", "POST": "admin", "PATCH": "admin", "DELETE": "admin"},
    "/wallet/transfer-funds": {"POST": "admin", "GET": "admin"},
    "/signature/verify/reveal-data": {"POST": "read"},
    "/signature/sign/create-invoice/monthly": {"POST": "pay"},
    "/signature/sign/verifyAndPublishAgent": {"POST": "pay"},
    "/swap": {"POST": "admin"},
    "/swap/confirm": {"GET": "admin"},
    "/swap/transactions": {"GET": "admin"},
    "/swap/estimate": {"GET": "admin"},
    "/swap/cancel": {"POST": "admin"},
    "/swap/acknowledge-timeout": {"POST": "admin"},
    "/invoice/monthly": {"POST": "pay", "GET": "read"},
    "/invoice/monthly/internal": {"POST": "pay"},
    "/invoice/monthly/missing": {"GET": "read"},
    "/payment/x402": {"POST": "read"},
    "/payment/income": {"POST": "read"},
    "/purchase/spending": {"POST": "read"},
    "/registry/wallet": {"GET": "read"},
    "/payment-source-extended": {"GET": "admin", "POST": "admin", "PATCH": "admin", "DELETE": "admin"},
    "/utxos": {"GET": "read"},
    "/rpc-api-keys": {"GET": "admin"},
    "/inbox-agents": {"GET": "read", "POST": "pay", "DELETE": "admin"},
    "/inbox-agents/wallet": {"GET": "read"},
    "/inbox-agents/agent-identifier": {"GET": "read"},
    "/inbox-agents/diff": {"GET": "read"},
    "/inbox-agents/deregister": {"POST": "pay"},
    "/inbox-agents/count": {"GET": "read"},
    "/registry-inbox": {"GET": "read", "POST": "pay", "DELETE": "admin"},
    "/registry-inbox/wallet": {"GET": "read"},
    "/registry-inbox/agent-identifier": {"GET": "read"},
    "/registry-inbox/diff": {"GET": "read"},
    "/registry-inbox/deregister": {"POST": "pay"},
    "/registry-inbox/count": {"GET": "read"},
    "/monitoring": {"GET": "admin"},
    "/monitoring/trigger-cycle": {"POST": "admin"},
    "/monitoring/start": {"POST": "admin"},
    "/monitoring/stop": {"POST": "admin"},
    "/x402/networks/available": {"GET": "pay"},
    "/x402/networks": {"GET": "admin", "POST": "admin"},
    "/x402/wallets": {"GET": "pay", "POST": "pay"},
    "/x402/wallets/detail": {"GET": "pay"},
    "/x402/wallets/delete": {"POST": "pay"},
    "/x402/wallets/update": {"POST": "pay"},
    "/x402/wallets/balance": {"GET": "pay"},
    "/x402/wallets/count": {"GET": "pay"},
    "/x402/budgets": {"GET": "admin", "POST": "admin"},
    "/x402/verify": {"POST": "pay"},
    "/x402/settle": {"POST": "pay"},
    "/x402/pay": {"POST": "pay"},
    "/x402/payments": {"GET": "pay"},
    "/x402/payments/reconcile": {"POST": "admin"},
    "/x402/payments/count": {"GET": "pay"},
    "/x402/settlements": {"GET": "pay"},
    "/x402/settlements/count": {"GET": "pay"},
    "/x402/low-balance": {"GET": "admin", "POST": "admin", "PATCH": "admin", "DELETE": "admin"},
    "/x402/analytics": {"POST": "admin"},
    "/fund-wallet": {"GET": "admin", "POST": "admin", "PATCH": "admin", "DELETE": "admin"},
    "/fund-distribution": {"GET": "admin"},
    "/fund-distribution/trigger": {"POST": "admin"},
}


def _today() -> dict[str, dict[str, Route]]:
    return {**_of_the_node(), **_of_payments(), **_of_purchases(), **_of_the_registry()}


def _of_the_node() -> dict[str, dict[str, Route]]:
    return {
        "/health": {"GET": Route("none", NOTHING, _health)},
        "/api-key-status": {"GET": Route("read", NOTHING, keys.status)},
        "/api-key": {
            "GET": Route("admin", keys.LISTED, keys.listed),
            "POST": Route("admin", keys.CREATE, keys.create),
            "PATCH": Route("admin", keys.UPDATE, keys.update),
            "DELETE": Route("admin", keys.DELETE, keys.delete),
        },
        "/payment-source": {"GET": Route("read", registry.SOURCES, registry.payment_sources)},
        "/balance": {"GET": Route("read", registry.BALANCE, registry.balance)},
        "/webhooks": {
            "GET": Route("pay", keys.WEBHOOKS, keys.no_webhooks),
            "POST": Route("pay", keys.WEBHOOK_NEW, keys.refuse_webhook, rate=30),
            "PATCH": Route("pay", keys.WEBHOOK_CHANGE, keys.missing_webhook, rate=30),
            "DELETE": Route("pay", keys.WEBHOOK, keys.missing_webhook, rate=30),
        },
        "/webhooks/test": {"POST": Route("pay", keys.WEBHOOK, keys.missing_webhook, rate=10)},
    }


def _of_payments() -> dict[str, dict[str, Route]]:
    by_id = actions.BY_IDENTIFIER
    return {
        "/payment": {
            "GET": Route("read", feeds.LIST, feeds.list_payments),
            "POST": Route("pay", payments.SCHEMA, payments.create),
        },
        "/payment/count": {"GET": Route("read", feeds.COUNT, feeds.count_payments)},
        "/payment/diff": {"GET": Route("read", feeds.PAYMENT_DIFF, feeds.diff_payments("any"))},
        "/payment/diff/next-action": {
            "GET": Route("read", feeds.PAYMENT_DIFF, feeds.diff_payments("action"))
        },
        "/payment/diff/onchain-state-or-result": {
            "GET": Route("read", feeds.PAYMENT_DIFF, feeds.diff_payments("state"))
        },
        "/payment/resolve-blockchain-identifier": {
            "POST": Route("read", feeds.RESOLVE, feeds.resolve_payment)
        },
        "/payment/submit-result": {"POST": Route("pay", actions.SUBMIT, actions.submit_result)},
        "/payment/authorize-refund": {"POST": Route("pay", by_id, actions.authorize_refund)},
        "/payment/error-state-recovery": {"POST": Route("pay", recovery.SCHEMA, recovery.recover_payment)},
    }


def _of_purchases() -> dict[str, dict[str, Route]]:
    by_id = actions.BY_IDENTIFIER
    return {
        "/purchase": {
            "GET": Route("read", feeds.LIST, feeds.list_purchases),
            "POST": Route("pay", purchases.SCHEMA, purchases.create),
        },
        "/purchase/count": {"GET": Route("read", feeds.COUNT, feeds.count_purchases)},
        "/purchase/diff": {"GET": Route("read", feeds.PURCHASE_DIFF, feeds.diff_purchases("any"))},
        "/purchase/diff/next-action": {
            "GET": Route("read", feeds.PURCHASE_DIFF, feeds.diff_purchases("action"))
        },
        "/purchase/diff/onchain-state-or-result": {
            "GET": Route("read", feeds.PURCHASE_DIFF, feeds.diff_purchases("state"))
        },
        "/purchase/resolve-blockchain-identifier": {
            "POST": Route("read", feeds.RESOLVE, feeds.resolve_purchase)
        },
        "/purchase/request-refund": {"POST": Route("pay", by_id, actions.request_refund)},
        "/purchase/cancel-refund-request": {"POST": Route("pay", by_id, actions.cancel_refund_request)},
        "/purchase/error-state-recovery": {"POST": Route("pay", recovery.SCHEMA, recovery.recover_purchase)},
    }


def _of_the_registry() -> dict[str, dict[str, Route]]:
    return {
        "/registry": {
            "GET": Route("read", registry.LISTED, registry.listed),
            "POST": Route("pay", registration.REGISTER, registration.register),
            "DELETE": Route("admin", NOTHING, _left_out),
        },
        "/registry/agent-identifier": {"GET": Route("read", registry.BY_IDENTIFIER, registry.agent_metadata)},
        "/registry/count": {"GET": Route("read", registry.COUNT, registry.count)},
        "/registry/diff": {"GET": Route("read", registry.DIFF, registry.diff)},
        "/registry/deregister": {"POST": Route("pay", registration.DEREGISTER, registration.deregister)},
        "/registry/update": {"POST": Route("pay", registration.UPDATE, registration.update)},
    }


@cache
def table(dialect: str, newer: bool = False) -> Table:
    """All routes. The seed's dialect asks ``GET /purchase`` for one identifier and refunds by ``PATCH``.

    ``newer`` adds the route by which nodes tell whether each of their ways to pay works.
    """
    found = _today()
    if newer:
        found["/rail-readiness"] = {"GET": Route("read", NOTHING, _rails)}
    if dialect == "seed":
        found["/purchase"] |= {
            "GET": Route("read", feeds.SEED_LIST, feeds.list_purchases),
            "PATCH": Route("pay", actions.BY_IDENTIFIER, actions.request_refund),
        }
        for path in ("/purchase/resolve-blockchain-identifier", "/purchase/request-refund"):
            del found[path]
    for path, verbs in LEFT_OUT.items():
        found[path] = {verb: Route(scope, NOTHING, _left_out) for verb, scope in verbs.items()}
    return found


@cache
def folded(dialect: str, newer: bool = False) -> Table:
    """All routes by their path in small letters: the node's router knows no case."""
    return {path.lower(): verbs for path, verbs in table(dialect, newer).items()}


def allowed(verbs: Mapping[str, Route]) -> str:
    """The ``Allow`` header of a path."""
    return ", ".join([*verbs, *(["HEAD"] if "GET" in verbs else []), "OPTIONS"])
