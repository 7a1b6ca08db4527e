"""Registering a service on the network: checked first, then asked of the node, then waited for.

Registering mints an NFT in the seller's wallet, which takes minutes and costs a few ADA of the node's
wallet; no buyer's money is involved. Each request mints, so it is noted before it is sent, looked up at
the node first, and never sent twice. The agent identifier that comes of it is stored beside the jobs, so
that `serve` finds it without a setting.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

from masumi_tools.calls import node, selling
from masumi_tools.calls import service as service_calls
from masumi_tools.calls.call import Call, Reply
from masumi_tools.calls.node import PURCHASE_S
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
REQUEST_FACT = "registration"
_ASKS_EVERY_S = 3.0
_LONGEST_MS = int((PURCHASE_S + 5) * 1000)


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
        self._seen: str | None = None

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
        """Register the service, once, and wait until it is on chain. RegistrationTrouble where that fails.

        Nothing is asked of the node before it was looked up there and the request was noted here: a second
        call, or one after a crash, goes on with the first. Where the service stands on the chain already,
        that registration is given, whatever it says of the service; `update` changes what it says.
        """
        self._checked()
        body = self._body(source_type)
        row = self._settled("register", body) or self._standing(body)
        if row is None:
            row = self._asked("register", body)
        elif row.on_chain and not row.says(body):
            self._say("this address is registered already, with other words; update or deregister it first")
        if row.state.startswith("Deregistration") and row.pending:
            raise RegistrationTrouble("it is being taken off the registry; register it when that is done")
        return self._store(self._wait(row, ("RegistrationConfirmed", "UpdateConfirmed")))

    def update(self) -> Registered:
        """Change the registration to the present offer (Web3CardanoV2 only). The identifier changes with it."""
        self._checked()
        body = self._body("Web3CardanoV2")
        row = self._own()
        if row.shown.get("AgentPricing") is not None:
            raise RegistrationTrouble(
                "the node updates registrations for Web3CardanoV2 only; deregister this one and register again"
            )
        if row.state.startswith("Deregistration") and row.state != "DeregistrationFailed":
            raise RegistrationTrouble(
                f"it has left the registry or is being changed ({row.state}); register it again"
            )
        if row.on_chain and row.says(body) and row.state != "UpdateFailed":
            self._say("the registration says this already")
        elif not row.pending:
            row = self._asked("update", body, row)
        return self._store(self._wait(row, ("UpdateConfirmed", "RegistrationConfirmed")))

    def deregister(self) -> Registered:
        """Take the service off the registry and wait until that is on chain."""
        row = self._own()
        if not row.state.startswith("Deregistration") or row.state == "DeregistrationFailed":
            row = self._asked("deregister", {}, row)
        done = self._wait(row, ("DeregistrationConfirmed",))
        if done.done:
            self._table.set_fact(AGENT_FACT, "")
            self._table.set_fact(REQUEST_FACT, "")
        return done

    # What the node knows ------------------------------------------------------------------------------

    def _standing(self, body: Mapping[str, Any]) -> Registration | None:
        """The registration of this address by this wallet that stands or is under way, the newest first."""
        url = _bare(body["apiBaseUrl"])
        for row in self._every():
            ours = _bare(row.api_base_url) == url and row.wallet_vkey == body["sellingWalletVkey"]
            if ours and (row.pending or row.on_chain):
                return row
        return None

    def _own(self) -> Registration:
        """The registration that is meant: by identifier, by what was noted here, or by address."""
        known = self._settings.agent_identifier or self._table.fact(AGENT_FACT)
        noted = self._noted().row
        rows = list(self._every())
        for row in rows:
            if known and row.agent_identifier == known:
                return row
        for row in rows:
            if noted and row.id == noted:
                return row
        url, vkey = _bare(self._offer.url), self._settings.seller_vkey
        for row in rows:
            ours = url and _bare(row.api_base_url) == url and vkey in (None, "", row.wallet_vkey)
            if ours and (row.on_chain or row.pending):
                return row
        if known:
            raise RegistrationTrouble(f"the node has no registration of {known}; it was made at another node")
        raise SettingsError("MASUMI_AGENT_IDENTIFIER is not set, and nothing was registered from here")

    def _every(self) -> Iterator[Registration]:
        for kind in SOURCE_TYPES:
            yield from self._rows(kind)

    # Asking once --------------------------------------------------------------------------------------

    def _noted(self) -> _Request:
        """What was noted last. Read before the node is looked at: who asks then must be the first to note."""
        self._seen = self._table.fact(REQUEST_FACT)
        return _Request.read(self._seen)

    def _note(self, request: _Request) -> bool:
        """Note a request; False where another process noted one since we looked."""
        text = request.text()
        if not self._table.change_fact(REQUEST_FACT, self._seen, text):
            return False
        self._seen = text
        return True

    def _settled(self, action: str, body: Mapping[str, Any]) -> Registration | None:
        """What became of a request that was noted here and whose answer never came; None where nothing did.

        The node saves a row before it answers. A row that is not there when the longest time of a request
        is over was never made.
        """
        noted = self._noted()
        if noted.action != action or noted.row or not noted.sent_ms:
            return None
        until_ms = noted.sent_ms + _LONGEST_MS
        self._say("a request was sent and not answered; looking for it at the node")
        while True:
            new = (row for row in self._every() if row.id not in noted.before)
            if (row := next((row for row in new if self._is_ours(row, body)), None)) is not None:
                self._note(replace(noted, row=row.id))
                return row
            if (left_s := (until_ms - _now_ms()) / 1000) <= 0:
                return None
            time.sleep(min(self._asks_every_s, left_s))

    def _is_ours(self, row: Registration, body: Mapping[str, Any]) -> bool:
        return (
            _bare(row.api_base_url) == _bare(body["apiBaseUrl"])
            and row.wallet_vkey == body["sellingWalletVkey"]
        )

    def _asked(self, action: str, body: Mapping[str, Any], row: Registration | None = None) -> Registration:
        """Note the request, send it once, and find out what became of it where no answer came."""
        api, network = self._settings.node_api, self._settings.network
        agent = (row.agent_identifier if row else None) or ""
        call = {
            "register": lambda: selling.register(api, body),
            "update": lambda: selling.update(api, agent, body),
            "deregister": lambda: selling.deregister(api, agent, network),
        }[action]()
        before = [one.id for one in self._every()] if row is None else []
        request = _Request(action, _now_ms(), row.id if row else "", tuple(before))
        if not self._note(request):
            raise RegistrationTrouble("another process asks the node for this service just now; ask again")
        reply = self._http.send(call)
        if reply.ok:
            row = read_registration(reply.body)
        elif reply.unknown and row is None:
            if reply.status == 500 and isinstance(reply.body, dict):  # the node itself ended the request
                self._note(replace(request, sent_ms=request.sent_ms - _LONGEST_MS))
            row = self._settled(action, body)
        elif reply.unknown and row is not None:
            row = self._row(row.id)
            if row is not None and not row.pending:
                row = None
        else:
            self._note(_Request())
            self._refused(call, reply)
        if row is None:
            self._refused(call, reply)
        self._note(replace(request, row=row.id))
        self._say(f"asked for: {row.state}")
        return row

    # -------------------------------------------------------------------------------------------------

    def _checked(self) -> None:
        if problems := self.problems():
            raise InputError("the service cannot be registered: " + "; ".join(problems), phase="register")

    def _body(self, source_type: SourceType) -> dict[str, Any]:
        vkey = self._settings.seller_vkey
        if not vkey:
            raise SettingsError(
                "MASUMI_SELLER_VKEY is not set: the key hash (56 hex digits) of the node's selling wallet"
            )
        offer = self._offer
        first = source_type == "Web3CardanoV1"
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
            pricing=_pricing(offer) if first else None,
            example_outputs=offer.example_outputs,
            legal=dict(offer.legal) or None,
            payment_sources=() if first else [self._source(source_type)],
        )

    def _source(self, source_type: SourceType) -> dict[str, Any]:
        rows = self._sent(node.payment_sources(self._settings.node_api)).body["data"]["PaymentSources"]
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

    def _wait(self, row: Registration, ends: Sequence[str]) -> Registered:
        """Wait for one of these states; not `done` where the time ends first. The node continues on its own."""
        end = time.monotonic() + self._wait_s
        state = row.state
        while True:
            if row.state != state:
                state = row.state
                self._say(state)
            if row.state in ends and (row.agent_identifier or "DeregistrationConfirmed" in ends):
                return Registered(row.agent_identifier, row.state, True)
            if row.state.endswith("Failed"):
                raise RegistrationTrouble(f"the node could not do it: {row.error or row.state}", fault="node")
            if time.monotonic() > end:
                return Registered(row.agent_identifier, state, False)
            time.sleep(self._asks_every_s)
            row = self._row(row.id) or row

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
            self._refused(call, reply)
        return reply

    def _refused(self, call: Call, reply: Reply) -> NoReturn:
        why = read_error(reply.body) or reply.detail or f"HTTP {reply.status}"
        again = "; nothing was found at the node, it is safe to ask again" if reply.unknown else ""
        raise RegistrationTrouble(f"{call.name}: {why}{again}", phase="register", fault="node")


@dataclass(frozen=True, slots=True)
class _Request:
    """The last request to the node as it is noted beside the jobs, before it is sent.

    `row` is the registration that came of it; `before` are those that the node had before, so that a new
    one can be told from them.
    """

    action: str = ""
    sent_ms: int = 0
    row: str = ""
    before: tuple[str, ...] = ()

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str | None) -> _Request:
        found = json.loads(text) if text else {}
        return cls(**{**found, "before": tuple(found["before"])}) if found else cls()


def _now_ms() -> int:
    return int(time.time() * 1000)


def _bare(url: str) -> str:
    return url.rstrip("/")


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
