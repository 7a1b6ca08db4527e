"""A service looked at from outside: how it deviates, what our buyer does about it, what its owner should fix.

Asks only what costs nothing. `start_job` is sent on demand alone, with a fresh identifier; the job is never
paid, so that it lapses by itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from masumi_tools import inputs
from masumi_tools.calls import node, registry, service
from masumi_tools.calls.call import Call, Reply
from masumi_tools.errors import InputError, WireError
from masumi_tools.hire.acceptance import Accepted, check_offer
from masumi_tools.hire.budget import text_of
from masumi_tools.hire.replies.words import heard
from masumi_tools.hire.request import order_of
from masumi_tools.inputs import InputSpec
from masumi_tools.inputs.strict import deviations
from masumi_tools.models import (
    Listing,
    PricingType,
    Started,
    read_agent_metadata,
    read_availability,
    read_demo,
    read_payment_information,
    read_registry_entries,
    read_started,
)
from masumi_tools.money import total
from masumi_tools.net.http import Http
from masumi_tools.settings import Settings
from masumi_tools.target import Target

Weight = Literal["blocks", "tolerated", "others"]

ENTRY: Final = "registry entry"
AVAILABILITY: Final = "GET /availability"
SCHEMA: Final = "GET /input_schema"
OWN: Final = "GET /payment-information"
DEMO: Final = "GET /demo"
START: Final = "POST /start_job"

REFUSES = "does not hire it"
_NAMES: Final = (
    "id", "blockchainIdentifier", "payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime",
    "agentIdentifier", "sellerVKey", "identifierFromPurchaser", "input_hash",
)  # fmt: skip
# A lock takes from one to some ten minutes (protocol N10), and a buyer may think before it pays.
LITTLE_TIME_MS = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One deviation. `weight`: "blocks" a hire, is "tolerated" by our buyer, or bothers "others" only.

    `where` names the route, `what` the deviation, led by the field where there is one, `ours` what our
    buyer does about it and `fix` what the service's owner should change.
    """

    where: str
    weight: Weight
    what: str
    ours: str
    fix: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found of one service; `hireable` when nothing blocks. `asked`: whom and what, in order."""

    target: str
    name: str = ""
    url: str = ""
    agent_identifier: str = ""
    price: str = ""
    asked: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def hireable(self) -> bool:
        return not any(finding.weight == "blocks" for finding in self.findings)


@dataclass
class _Visit:
    """One inspection as it goes on."""

    http: Http
    settings: Settings
    now_ms: int
    asked: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def blocked(self) -> bool:
        return any(finding.weight == "blocks" for finding in self.findings)

    def send(self, call: Call) -> Reply:
        self.asked.append(f"{call.to} {call.name}")
        return self.http.send(call)

    def blocks(self, where: str, what: str, fix: str) -> None:
        self.findings.append(Finding(where, "blocks", what, REFUSES, fix))

    def tolerated(self, where: str, what: str, ours: str, fix: str) -> None:
        self.findings.append(Finding(where, "tolerated", what, ours, fix))

    def others(self, where: str, what: str, fix: str) -> None:
        self.findings.append(Finding(where, "others", what, "still hires it", fix))


def inspect(
    settings: Settings,
    target: str,
    *,
    start_job: bool = False,
    input_data: Any = None,
    now_ms: int | None = None,
) -> Inspection:
    """Look at a service by agent identifier or URL. InputError when `target` is neither.

    With `start_job` one job is started with `input_data` (default: the service's own demo) and left unpaid;
    InputError when there is no input for it, or it does not fit. Raises nothing for what the service does.
    """
    order = order_of(target, {} if input_data is None else input_data)
    with Http(settings) as http:
        visit = _Visit(http, settings, time.time_ns() // 1_000_000 if now_ms is None else now_ms)
        listing = _listing(visit, order.target)
        by_url = order.target.is_url
        url = str(order.target) if by_url else listing.api_base_url if listing else ""
        if url and not any(finding.what.startswith("apiBaseUrl") for finding in visit.findings):
            _service(visit, listing, url, start_job, input_data)
    return Inspection(
        str(order.target),
        listing.name if listing else "",
        url,
        listing.agent_identifier if listing else "",
        _price(listing),
        tuple(visit.asked),
        tuple(dict.fromkeys(visit.findings)),
    )


def _price(listing: Listing | None) -> str:
    if listing is None:
        return ""
    if listing.price.is_free:
        return "free"
    return (
        "set by each offer"
        if listing.price.pricing is PricingType.DYNAMIC
        else text_of(listing.price.amounts)
    )


# ---- the registry's word ----------------------------------------------------------------------------------


def _listing(visit: _Visit, target: Target) -> Listing | None:
    by_url = target.is_url
    found = _own(visit, str(target)) if by_url else _registered(visit, str(target))
    if by_url and found is None:
        found = _searched(visit, str(target))
    if found is None:
        who = f"for {target}" if by_url else "of this identifier"
        visit.blocks(
            ENTRY, f"no agent {who} is known", "register the agent, or serve GET /payment-information"
        )
        return None
    for problem in found.problems:
        visit.blocks(ENTRY, problem, "register the agent again with a correct value")
    for note in found.notes:
        fix = 'make GET /availability answer 200 with "available" and "masumi-agent"'
        visit.tolerated(ENTRY, note, "asks the service itself", fix)
    if found.network and found.network != visit.settings.network:
        visit.blocks(ENTRY, f"network: it is on {found.network}", f"nothing; ask a node for {found.network}")
    if found.price.pricing is PricingType.DYNAMIC:
        what = "AgentPricing: dynamic, so that each offer names its price"
        visit.tolerated(
            ENTRY, what, "hires it only with a max_price or a budget per hire", "nothing, if it is meant"
        )
    return found


def _registered(visit: _Visit, agent: str) -> Listing | None:
    network = visit.settings.network
    if visit.settings.registry_url:
        reply = visit.send(registry.payment_information(visit.settings.registry_api, agent))
        found = _read(read_payment_information, reply, network)
        if found is not None:
            return found
    if not visit.settings.node_url:
        return None
    reply = visit.send(node.agent(visit.settings.node_api, agent, network))
    found = _read(read_agent_metadata, reply, network)
    if found is not None and visit.settings.registry_url:
        what = "the registry does not list the agent; the node reads it from the chain"
        visit.tolerated(ENTRY, what, "takes the node's word", "wait for the registry, or ask its operator")
    return found


def _own(visit: _Visit, url: str) -> Listing | None:
    reply = visit.send(service.payment_information(url))
    if not reply.ok:
        return None
    found = _read(read_payment_information, reply, visit.settings.network)
    if found is None:
        visit.tolerated(
            OWN, "the answer holds no agent", "asks the registry", "serve the registry's shape, or 404"
        )
        return None
    return replace(found, api_base_url=url)


def _searched(visit: _Visit, url: str) -> Listing | None:
    if not visit.settings.registry_url:
        return None
    reply = visit.send(registry.search(visit.settings.registry_api, visit.settings.network, url))
    try:
        entries = read_registry_entries(reply.body, visit.settings.network) if reply.ok else []
    except WireError:
        entries = []
    here = [entry for entry in entries if Target.kept(entry.api_base_url).text == url]
    if len(here) > 1:
        visit.blocks(
            ENTRY, f"{len(here)} agents are registered for {url}", "deregister those that are not in use"
        )
    return here[0] if len(here) == 1 else None


def _read(reader: Callable[[Any, str], Listing], reply: Reply, network: str) -> Listing | None:
    try:
        return reader(reply.body, network) if reply.ok else None
    except WireError:
        return None


# ---- the service's own routes -----------------------------------------------------------------------------


def _service(visit: _Visit, listing: Listing | None, url: str, start_job: bool, input_data: Any) -> None:
    first = visit.send(service.availability(url))
    if first.fault == "refused-address":
        visit.blocks(ENTRY, f"apiBaseUrl: {first.detail}", "serve it by https at a public address")
        return
    if not first.sent:
        visit.blocks(
            AVAILABILITY, f"the service cannot be reached: {heard(first)}", "serve it at its address"
        )
        return
    _availability(visit, first, listing)
    spec = _schema(visit, url)
    shown = visit.send(service.demo(url))
    example = read_demo(shown.content, shown.status) if shown.status is not None else None
    if shown.ok and example is None:
        what = "the answer is not an example of input and output"
        visit.others(DEMO, what, "serve input and output.result, or 404 where there is no demo")
    if listing is not None and f"service {OWN}" not in visit.asked:
        _compare(visit, listing, url)
    if start_job:
        if listing is None or visit.blocked:
            return
        if input_data is None and example is None:
            raise InputError("the service shows no demo: give the input for start_job")
        given = input_data if input_data is not None else example.input_data if example else {}
        _start(visit, listing, url, spec, given)


def _availability(visit: _Visit, reply: Reply, listing: Listing | None) -> None:
    body = reply.body if isinstance(reply.body, dict) else {}
    if not reply.ok:
        what = f"the answer is not JSON with status 200: {heard(reply)}"
        visit.tolerated(AVAILABILITY, what, "goes on to the input schema", "answer 200 with JSON")
        return
    read = read_availability(reply.body, reply.status or 200)
    if read.available is False:
        visit.blocks(AVAILABILITY, f"status: it says that it is not available ({read.why})", "serve again")
        return
    if read.available is None or body.get("status") != "available":
        fix = 'answer {"status": "available", "type": "masumi-agent"}'
        visit.tolerated(AVAILABILITY, 'status: not the word "available"', "goes on", fix)
    named = body.get("agentIdentifier")
    if named and listing is not None and str(named).lower() != listing.agent_identifier.lower():
        visit.others(
            AVAILABILITY, "agentIdentifier: another agent's; the registry lists it as Invalid", "name its own"
        )
    elif not named and body.get("type") != "masumi-agent":
        what = 'type: not "masumi-agent", and no agentIdentifier; the registry lists the agent as Invalid'
        visit.others(AVAILABILITY, what, 'answer with "type": "masumi-agent"')


def _schema(visit: _Visit, url: str) -> InputSpec:
    reply = visit.send(service.input_schema(url))
    if not reply.ok:
        what = f"no input schema: {heard(reply)}"
        visit.tolerated(SCHEMA, what, "sends any input as it is", "serve MIP-003's input_data")
        return inputs.read_input_schema(None)
    spec = inputs.read_input_schema(reply.content)
    if spec.refusal:
        visit.blocks(SCHEMA, spec.refusal, "serve a schema that some input can satisfy")
        return spec
    strange = dict.fromkeys((*spec.problems, *deviations(reply.body)))
    for sentence in list(strange)[:20]:
        how = (
            f"reads it ({spec.dialect})" if spec.dialect not in ("mip003", "groups") else "reads it leniently"
        )
        visit.tolerated(
            SCHEMA, sentence, how, "serve what MIP-003 attachment 01 says; marketplaces refuse else"
        )
    return spec


def _compare(visit: _Visit, listing: Listing, url: str) -> None:
    """The service's own word on its price, where it has one, beside the registry's."""
    reply = visit.send(service.payment_information(url))
    own = _read(read_payment_information, reply, visit.settings.network) if reply.ok else None
    if own is None:
        return
    if own.agent_identifier.lower() != listing.agent_identifier.lower():
        visit.blocks(
            OWN, "agentIdentifier: the service names another agent than the registry", "name the one listed"
        )
    elif (own.price.pricing, total(own.price.amounts)) != (
        listing.price.pricing,
        total(listing.price.amounts),
    ):
        what = f"AgentPricing: {_price(own)}, while the registry lists {_price(listing)}"
        visit.tolerated(OWN, what, "pays the price on chain or nothing", "serve the price that is registered")


# ---- one unpaid job ---------------------------------------------------------------------------------------


def _start(visit: _Visit, listing: Listing, url: str, spec: InputSpec, given: Any) -> None:
    free, nonce = listing.price.is_free, secrets.token_hex(10)
    clean = inputs.check(spec, given)
    forms = inputs.layouts(spec, clean, None if free else nonce)
    form = forms[0]
    reply = visit.send(service.start_job(url, form.body))
    if reply.status in (400, 422):
        filled = next((one.hashed for one in forms if one.form == "defaults"), {})
        defaults = [name for name in filled if name not in clean] if isinstance(filled, dict) else []
        other = inputs.alternative([one.form for one in forms], reply.text, list(clean), defaults)
        if other is not None:
            form = forms[other]
            what = f"input_data: not taken as MIP-003 has it ({heard(reply)})"
            visit.tolerated(START, what, f"sends it once more as {form.form}", "take input_data as an object")
            reply = visit.send(service.start_job(url, form.body))
    job = read_started(reply.content, reply.status or 599, sent=None if free else nonce)
    if job.started is not True:
        visit.blocks(
            START, f"no job was started: {job.error or heard(reply)}", "start the job, or refuse it with 400"
        )
        return
    if free:
        return
    body = reply.body if isinstance(reply.body, dict) else {}
    for name, words in _spellings(body):
        visit.tolerated(START, f"{name}: {words}", "still reads it", "use MIP-003's name and form")
    for note in job.notes:
        visit.tolerated(
            START, note, "repairs it; the signature decides", "send what was signed, in milliseconds"
        )
    _offer(visit, listing, job, nonce, form.hashed)


def _offer(visit: _Visit, listing: Listing, job: Started, nonce: str, sent: Any) -> None:
    for problem in job.problems:
        visit.blocks(START, problem, "send the values that the node answered to POST /payment")
    if job.problems:
        return
    if job.terms is None:
        visit.blocks(
            START, "blockchainIdentifier: missing, although the agent has a price", "send the payment's terms"
        )
        return
    fixed = listing.price.pricing is PricingType.FIXED
    verdict = check_offer(
        listing=listing,
        terms=job.terms,
        nonce=nonce,
        sent_input=sent,
        agreed=listing.price.amounts if fixed else (),
        cap=None if fixed else job.terms.amounts,
        now=visit.now_ms,
    )
    if not isinstance(verdict, Accepted):
        visit.blocks(START, verdict, "send what the node signed, for this buyer and this input")
        return
    if verdict.input_hash_form != "jcs":
        what = f"input_hash: not MIP-004's own form but {verdict.input_hash_form}"
        visit.tolerated(START, what, "knows this form", "hash the RFC 8785 form after the identifier and ;")
    left = job.terms.times.pay_by_time - visit.now_ms
    if left < LITTLE_TIME_MS:
        what = f"payByTime: only {left // 60_000} minutes from now, while a lock takes up to ten"
        visit.tolerated(START, what, "pays at once or not at all", "leave at least 15 minutes to pay")


def _spellings(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The values of MIP-003 that stand under another name or in another form."""
    folded = {name.lower().replace("_", ""): name for name in body}
    for name in _NAMES:
        if name not in body:
            other = folded.get("jobid" if name == "id" else name.lower().replace("_", ""))
            if other is not None:
                yield name, f"sent as {other}"
        elif name.endswith("Time") and not isinstance(body[name], int):
            yield name, "no whole number"
