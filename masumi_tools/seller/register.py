"""Registering a service on the network: checked first, then asked of the node, then waited for.

Registering mints an NFT in the seller's wallet, which takes minutes and costs a few ADA of the node's
wallet; no buyer's money is involved. The agent identifier that comes of it is stored beside the jobs, so
that `serve` finds it without a setting.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from masumi_tools.calls import selling
from masumi_tools.calls import service as service_calls
from masumi_tools.calls.call import Call, Reply
from masumi_tools.errors import InputError, MasumiError, SettingsError
from masumi_tools.models import Registration, read_error, read_registration, read_registrations
from masumi_tools.money import Amount, as_wire
from masumi_tools.net.http import Http
from masumi_tools.seller.jobs.job import Rules
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.seller.offering import Offer
from masumi_tools.seller.shop import AGENT_FACT
from masumi_tools.settings import Settings

SourceType = Literal["Web3CardanoV1", "Web3CardanoV2"]
SOURCE_TYPES: tuple[SourceType, ...] = ("Web3CardanoV1", "Web3CardanoV2")
_ASKS_EVERY_S = 3.0


class RegistrationTrouble(MasumiError):
    """The service is not registered as wished; the text says what to mend, and whether to ask again."""

    fault = "caller"
    repeatable = True


@dataclass(frozen=True, slots=True)
class Registered:
    """How a registration stands: `state` in the node's words, `agent_identifier` once it is on chain."""

    agent_identifier: str | None
    state: str
    done: bool


class Registrar:
    """Registers, updates and deregisters one offer. Use it as a context manager."""

    def __init__(
        self,
        offer: Offer,
        settings: Settings,
        *,
        say: Callable[[str], None] = lambda _: None,
        wait_s: float = 900,
        asks_every_s: float = _ASKS_EVERY_S,
    ) -> None:
        self._offer = offer
        self._settings = settings
        self._say = say
        self._wait_s = wait_s
        self._asks_every_s = asks_every_s
        self._http = Http(settings)
        self._table = JobTable(settings.database_url, Rules(), offer.name)

    def __enter__(self) -> Registrar:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._table.close()

    def problems(self) -> list[str]:
        """What the registry's health check and the node would not take (protocol N13, N18); empty is good."""
        offer, found = self._offer, _url_problems(self._offer.url, self._settings.sandbox)
        if not found:
            found += self._availability_problems(offer.url)
        if not 1 <= len(offer.tags) <= 15:
            found.append("tags: between 1 and 15 are needed")
        if any(len(tag) > 63 for tag in offer.tags):
            found.append("tags: each has at most 63 characters")
        if not offer.author:
            found.append("author: a name is needed")
        if not offer.description or len(offer.description) > 250:
            found.append("description: between 1 and 250 characters are needed")
        if len(offer.price) > 5:
            found.append("price: at most 5 units")
        return found

    def _availability_problems(self, url: str) -> list[str]:
        reply = self._http.send(service_calls.availability(url))
        if not reply.ok:
            why = f"HTTP {reply.status}" if reply.status else reply.detail or "no answer"
            return [f"url: GET {url}/availability must answer 200 with JSON, but: {why}"]
        body = reply.body if isinstance(reply.body, dict) else {}
        told = body.get("agentIdentifier")
        known = self._settings.agent_identifier or self._table.fact(AGENT_FACT)
        if told and known and told != known:
            return ["url: /availability tells another agentIdentifier than this service has"]
        if not told and body.get("type") != "masumi-agent":
            return ['url: /availability must say "type": "masumi-agent"']
        return []

    def register(self, source_type: SourceType = "Web3CardanoV1") -> Registered:
        """Register the service and wait until it is on chain. RegistrationTrouble where that fails."""
        self._checked()
        body = self._body(source_type)
        row = read_registration(self._sent(selling.register(self._settings.node_api, body)).body)
        self._say(f"asked for: {row.state}")
        return self._store(self._wait(row.id, "Registration"))

    def update(self) -> Registered:
        """Change the registration to the present offer (Web3CardanoV2 only). The identifier changes with it."""
        self._checked()
        body = self._body("Web3CardanoV2")
        call = selling.update(self._settings.node_api, self._agent(), body)
        row = read_registration(self._sent(call).body)
        self._say(f"asked for: {row.state}")
        return self._store(self._wait(row.id, "Update"))

    def deregister(self) -> Registered:
        """Take the service off the registry and wait until that is on chain."""
        call = selling.deregister(self._settings.node_api, self._agent(), self._settings.network)
        row = read_registration(self._sent(call).body)
        self._say(f"asked for: {row.state}")
        done = self._wait(row.id, "Deregistration")
        if done.done:
            self._table.set_fact(AGENT_FACT, "")
        return done

    # -------------------------------------------------------------------------------------------------

    def _checked(self) -> None:
        if problems := self.problems():
            raise InputError("the service cannot be registered: " + "; ".join(problems), phase="register")

    def _agent(self) -> str:
        agent = self._settings.agent_identifier or self._table.fact(AGENT_FACT)
        if not agent:
            raise SettingsError("MASUMI_AGENT_IDENTIFIER is not set, and nothing was registered from here")
        return agent

    def _body(self, source_type: SourceType) -> dict[str, Any]:
        vkey = self._settings.seller_vkey
        if not vkey:
            raise SettingsError(
                "MASUMI_SELLER_VKEY is not set: the key hash (56 hex digits) of the node's selling wallet"
            )
        offer = self._offer
        sources = [self._source(source_type)] if source_type == "Web3CardanoV2" else []
        return selling.registration_body(
            network=self._settings.network,
            selling_wallet_vkey=vkey,
            name=offer.name,
            description=offer.description,
            api_base_url=offer.url,
            tags=offer.tags,
            capability=(offer.capability[0] or offer.name, offer.capability[1]),
            author=offer.author,
            contact_email=offer.contact or None,
            organization=offer.organization or None,
            pricing=_pricing(offer),
            example_outputs=offer.example_outputs,
            legal=dict(offer.legal) or None,
            payment_sources=sources,
        )

    def _source(self, source_type: SourceType) -> dict[str, Any]:
        rows = self._sent(selling.payment_sources(self._settings.node_api)).body["data"]["PaymentSources"]
        for row in rows:
            if (row["paymentSourceType"], row["network"]) == (source_type, self._settings.network):
                return {
                    "chain": "Cardano",
                    "network": self._settings.network,
                    "paymentSourceType": source_type,
                    "address": row["smartContractAddress"],
                    "pricing": _source_pricing(self._offer),
                }
        raise RegistrationTrouble(f"the node has no {source_type} payment source on {self._settings.network}")

    def _wait(self, row_id: str, action: str) -> Registered:
        end = time.monotonic() + self._wait_s
        state = ""
        while True:
            row = self._row(row_id)
            if row is not None and row.state != state:
                state = row.state
                self._say(state)
            if row is not None and row.state == f"{action}Confirmed":
                if row.agent_identifier or action == "Deregistration":
                    return Registered(row.agent_identifier, row.state, True)
            if row is not None and row.state.endswith("Failed"):
                raise RegistrationTrouble(f"the node could not do it: {row.error or row.state}", fault="node")
            if time.monotonic() > end:
                return Registered(row.agent_identifier if row else None, state or "unknown", False)
            time.sleep(self._asks_every_s)

    def _row(self, row_id: str) -> Registration | None:
        return next((row for kind in SOURCE_TYPES for row in self._rows(kind) if row.id == row_id), None)

    def _rows(self, kind: SourceType) -> Iterator[Registration]:
        """The node's registrations of one kind, newest first; the cursor's row comes twice."""
        api, network, cursor = self._settings.node_api, self._settings.network, None
        while True:
            call = selling.registrations(api, network, source_type=kind, cursor=cursor)
            rows = read_registrations(self._sent(call).body)
            yield from rows
            if len(rows) < 2 or rows[-1].id == cursor:
                return
            cursor = rows[-1].id

    def _store(self, registered: Registered) -> Registered:
        if registered.agent_identifier:
            self._table.set_fact(AGENT_FACT, registered.agent_identifier)
        return registered

    def _sent(self, call: Call) -> Reply:
        reply = self._http.send(call)
        if not reply.ok:
            why = read_error(reply.body) or reply.detail or f"HTTP {reply.status}"
            again = "; look at the node's list before you ask again" if reply.unknown else ""
            raise RegistrationTrouble(f"{call.name}: {why}{again}", phase="register", fault="node")
        return reply


def _url_problems(url: str, sandbox: bool) -> list[str]:
    if not url:
        return ["url: the public address of this service is needed, such as https://agent.example.com"]
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ["url: must begin with https:// and a host"]
    if parts.query or parts.fragment:
        return ["url: must have no ? and no #; the registry marks such an agent as invalid"]
    if sandbox:
        return []
    try:
        public = ipaddress.ip_address(parts.hostname).is_global
    except ValueError:
        public = parts.hostname != "localhost" and "." in parts.hostname
    return (
        [] if public else ["url: must be public; the registry marks local and private addresses as invalid"]
    )


def _pricing(offer: Offer) -> dict[str, Any]:
    pricing = offer.pricing()
    return selling.fixed_pricing(offer.price) if pricing["pricingType"] == "Fixed" else pricing


def _source_pricing(offer: Offer) -> dict[str, Any]:
    pricing = offer.pricing()["pricingType"]
    if pricing != "Fixed":
        return {"pricingType": pricing}
    return {"pricingType": "Fixed", "fixed": _fixed(offer.price)}


def _fixed(price: Sequence[Amount]) -> list[dict[str, str]]:
    return [{"asset": row["unit"] or "lovelace", "amount": row["amount"]} for row in as_wire(price)]
