"""What is wrong with the settings, in plain words: node, token, scope, network, clock, registry, journal."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from masumi_tools.calls import node, registry
from masumi_tools.calls.call import Reply
from masumi_tools.errors import MasumiError, WireError
from masumi_tools.hire.budget import text_of
from masumi_tools.hire.replies.words import heard
from masumi_tools.journal.store import Journal
from masumi_tools.models import read_key_status, read_rails
from masumi_tools.net.exchange import ENDED
from masumi_tools.net.http import Http
from masumi_tools.settings import Settings, proxies

# The node's rules leave 5 minutes; deadlines are judged by the node's clock, and a difference is told.
CLOCK_OFF_S = 30
_NETWORK = re.compile("preprod|mainnet", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `ok` is True, False (hiring will fail) or None (worth knowing)."""

    name: str
    ok: bool | None
    words: str


def examine(settings: Settings, mend: bool = False) -> Iterator[Finding]:
    """Look at everything that a hire needs, one finding after the other. Nothing is paid.

    It only reads; with `mend` the sums beside the lines of budgets are corrected where they are wrong.
    """
    yield from _journal(settings, mend)
    yield from _proxies()
    if not settings.node_url:
        yield Finding("node", False, "no payment node is set; give --node-url or MASUMI_NODE_URL")
        return
    http = Http(settings)
    try:
        yield from _node(settings, http)
        yield from _registry(settings, http)
    finally:
        http.close()


def _proxies() -> Iterator[Finding]:
    names = proxies()
    if names:
        words = f"{', '.join(names)} is set and is not used: node, registry and services are asked directly"
        yield Finding("proxy", None, words)


def _journal(settings: Settings, mend: bool) -> Iterator[Finding]:
    try:
        journal = Journal(settings.database_url)
        try:
            count = journal.count_open()
            journal.check_writable()
            wrong = journal.mend_totals() if mend else journal.wrong_totals()
        finally:
            journal.close()
    except MasumiError as error:
        yield Finding("journal", False, str(error))
        return
    yield Finding("journal", True, f"opens; {count} hire{'' if count == 1 else 's'} open")
    if not wrong:
        yield Finding("sums", True, "what budgets have used is what their hires come to")
    elif mend:
        yield Finding("sums", True, f"{wrong} sums of budgets were wrong and are mended")
    else:
        words = f"{wrong} sums of budgets are not what their hires come to; run masumi-tools doctor --mend"
        yield Finding("sums", False, words)


def _node(settings: Settings, http: Http) -> Iterator[Finding]:
    health = http.send(node.health(settings.node_api))
    if health.status is None:
        said = heard(health)
        hint = "" if said == ENDED else "; is it running, and is the URL right?"
        yield Finding("node", False, f"{settings.node_api} does not answer: {said}{hint}")
        return
    if not health.ok:
        yield Finding(
            "node", False, f"{settings.node_api} answers, but not as a payment node: {heard(health)}"
        )
        return
    listed = replace(registry.entries(settings.node_api, settings.network, limit=1), to="node")
    if http.send(listed).ok:
        words = (
            f"{settings.node_api} is a registry, no payment node; MASUMI_NODE_URL is the node's own address"
        )
        yield Finding("node", False, words)
        return
    yield Finding("node", True, f"{settings.node_api} answers")
    yield from _clock(settings, health)
    if settings.node_token is None:
        yield Finding("token", False, "no API key for the node; give --node-token or MASUMI_NODE_TOKEN")
        return
    yield from _key(settings, http)


def _key(settings: Settings, http: Http) -> Iterator[Finding]:
    """What the API key may do."""
    reply = http.send(node.key_status(settings.node_api))
    if reply.status == 401:
        yield Finding("token", False, f"the node refuses the API key: {heard(reply)}")
        return
    try:
        if not reply.ok:
            raise WireError(heard(reply))
        key = read_key_status(reply.body)
    except WireError as error:
        yield Finding("token", None, f"what the API key may do could not be read: {error}")
        return
    yield Finding(
        "token",
        key.active,
        "the node knows the API key" if key.active else "the API key is revoked; make a new one",
    )
    yield Finding(
        "scope",
        key.can_pay,
        "the key can pay"
        if key.can_pay
        else "the key is read-only; hiring needs a key with pay scope (ReadAndPay)",
    )
    fits = not key.networks or settings.network in key.networks or key.can_admin
    allowed = ", ".join(key.networks) or "every network"
    yield Finding("network", fits, f"{settings.network} is set, the key allows {allowed}")
    if key.wallet_scoped:
        yield Finding(
            "wallets",
            None,
            "the key is bound to wallets: new purchases stay invisible to it until they are sent, so hires take longer",
        )
    yield from _source(settings, http)
    yield from _rails(settings, http)
    if _lovelace(reply.body):
        words = (
            "the key's credits are spelt `lovelace`, which the node does not count as ADA: it can never pay; make a "
            "key whose credits in ADA have an empty unit"
        )
        yield Finding("credits", False, words)
    elif key.credits is not None:
        words = (
            f"the key has limited credits ({text_of(key.credits)} left), and the node deducts all of them at the first "
            "purchase; use a key without a credit limit"
        )
        if key.other_credits:
            words += (
                f"; credits in {', '.join(key.other_credits[:3])} pay by x402 only, which is not used here"
            )
        yield Finding("credits", bool(key.credits), words)


def _source(settings: Settings, http: Http) -> Iterator[Finding]:
    """Whether the node has an escrow contract of this network; keys that may not ask are told nothing."""
    reply = http.send(node.payment_sources(settings.node_api))
    data = reply.body.get("data") if reply.ok and isinstance(reply.body, dict) else None
    rows = (
        next((data[name] for name in ("PaymentSources", "ExtendedPaymentSources") if name in data), None)
        if (isinstance(data, dict))
        else None
    )
    if not isinstance(rows, list):
        return
    here = [row for row in rows if isinstance(row, dict) and row.get("network") == settings.network]
    words = f"the node has a payment source on {settings.network}"
    if not here:
        words = f"the node has no payment source on {settings.network}, so it cannot pay; add one in its admin page"
    yield Finding("source", bool(here), words)


def _rails(settings: Settings, http: Http) -> Iterator[Finding]:
    """Whether the node's ways to pay by escrow work; nodes without that route are told nothing about."""
    reply = http.send(node.rail_readiness(settings.node_api))
    if not reply.ok:
        return
    rails = read_rails(reply.body)
    if not rails:
        yield Finding("rails", None, "the node tells whether it can pay in a form that is not known here")
    for rail in rails:
        escrow = not re.search("x402|evm|eip155", rail.name, re.IGNORECASE)
        ours = escrow and (settings.network.lower() in rail.name.lower() or not _NETWORK.search(rail.name))
        why = f": {rail.why}" if rail.why else ""
        state = {True: "ready", False: "not ready"}.get(rail.ready, "in a state that the node does not say")  # type: ignore[arg-type]
        yield Finding(
            "rails", rail.ready if ours and rail.ready is not None else None, f"{rail.name} is {state}{why}"
        )


def _lovelace(body: Any) -> bool:
    data = body.get("data") if isinstance(body, dict) else None
    credits = data.get("RemainingUsageCredits") if isinstance(data, dict) else None
    return any(isinstance(row, dict) and row.get("unit") == "lovelace" for row in credits or ())


def _clock(settings: Settings, reply: Reply) -> Iterator[Finding]:
    date = reply.headers.get("date")
    if settings.sandbox or not date:
        return
    try:
        theirs = email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return
    off = time.time() - theirs
    if abs(off) > CLOCK_OFF_S:
        yield Finding(
            "clock",
            False,
            f"this machine's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the node's, which counts; set it",
        )
    else:
        yield Finding("clock", True, "agrees with the node's")


def _registry(settings: Settings, http: Http) -> Iterator[Finding]:
    if not settings.registry_url:
        yield Finding(
            "registry", None, "no registry is set; prices are read through the node, and `find` does not work"
        )
        return
    reply = http.send(registry.entries(settings.registry_api, settings.network, limit=1))
    if reply.ok and not _entries(reply.body):
        words = f"{settings.registry_api} answers, but lists no service on {settings.network}; is it another network's?"
        yield Finding("registry", None, words)
    elif reply.ok:
        yield Finding("registry", True, f"{settings.registry_api} answers")
    elif reply.status == 401:
        yield Finding(
            "registry",
            False,
            f"the registry refuses the API key: {heard(reply)}; the registry has keys of its own: set MASUMI_REGISTRY_TOKEN",
        )
    else:
        yield Finding("registry", False, f"{settings.registry_api} cannot be asked: {heard(reply)}")


def _entries(body: Any) -> bool:
    data = body.get("data") if isinstance(body, dict) else None
    return bool(data.get("entries")) if isinstance(data, dict) else bool(data)
