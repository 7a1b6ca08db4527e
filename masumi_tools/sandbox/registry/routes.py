"""The registry service (protocol N18): who sells what, for how much. ``answer(world, request)``.

Its state is a RegistryState in ``world.registry``. By default it follows the chain of the world: each
question first takes in agents that were minted since. V2 agents are not indexed, as on the real one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

from ..chain.escrow import World
from ..timetext import iso
from ..wire import Refusal, Request, Response, success
from . import newer
from .listings import Entry, entry_of, indexed, payment_information, search_text, searchable
from .schema import Complaint, Fields

STATUSES = ("Online", "Offline", "Deregistered", "Invalid")
NETWORKS = ("Preprod", "Mainnet")
BASE = "/api/v1"
BODY_CAP = 102_400

Handler = Callable[[World, "RegistryState", "RegistryKey", dict[str, Any]], Any]


@dataclass(slots=True)
class RegistryKey:
    """An API key of the registry; its keys are not the node's."""

    id: str
    permission: str = "User"
    usage_limited: bool = False
    max_usage_credits: int | None = None
    accumulated_usage_credits: int = 0
    status: str = "Active"

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "permission": self.permission,
            "usageLimited": self.usage_limited,
            "maxUsageCredits": self.max_usage_credits,
            "accumulatedUsageCredits": self.accumulated_usage_credits,
            "status": self.status,
        }


@dataclass(slots=True)
class RegistryState:
    """Entries in the form in which they are answered, keys by token, and the id of each capability.

    ``follow_chain=False`` leaves the entries to the caller (a replay of recorded answers).
    """

    entries: list[Entry] = field(default_factory=list)
    keys: dict[str, RegistryKey] = field(default_factory=dict)
    follow_chain: bool = True
    source_id: str = "cmregistrysource00000000"
    newer: Literal["ignored", "refused", "known"] = "ignored"
    """What becomes of the questions that registries know since July 2026; "known" lists V2 agents too."""
    reachable: Callable[[str], bool] = lambda url: False
    """Tells a URL at which a service of the sandbox answers; all others are out of reach."""

    def entry(self, agent_identifier: str) -> Entry | None:
        return next((e for e in self.entries if e["agentIdentifier"] == agent_identifier), None)


def state_of(world: World) -> RegistryState:
    """The registry's state in ``world``, made at the first call: the world's keys are known to it too."""
    if world.registry is None:
        state = RegistryState(source_id=world.new_id())
        for token in filter(None, (world.token, world.seller_token, world.admin_token)):
            permission = "Admin" if token == world.admin_token else "User"
            state.keys[token] = RegistryKey(world.new_id(), permission)
        world.registry = state
    found: RegistryState = world.registry
    return found


def answer(world: World, request: Request) -> Response:
    """What the registry answers; paths begin with ``/api/v1`` as on its own host."""
    try:
        return success(_data(world, request))
    except Complaint as wrong:
        return Refusal(400, str(wrong)).response()
    except Refusal as refusal:
        return refusal.response()


def _data(world: World, request: Request) -> Any:
    path = request.path.lower().removesuffix("/") or "/"
    name = path.removeprefix(BASE + "/") if path.startswith(BASE + "/") else ""
    method = "GET" if request.method == "HEAD" else request.method
    if method == "GET" and name == "health":
        return {"type": "masumi-registry", "version": "0.1.2"}
    operator = method in OPERATOR_ROUTES.get(name, ())
    handler = ROUTES.get((method, name))
    if handler is None and not operator:
        raise Refusal(404, f"Can not {request.method} {request.path}")
    given = dict(request.query) if method == "GET" else _json_body(request)
    state = state_of(world)
    key = _key(state, request.token)
    if operator and key.permission != "Admin" and not name.startswith("inbox-"):
        raise Refusal(401, "Unauthorized, admin access required")
    if handler is None:
        raise Refusal(501, f"The sandbox's registry does not play {method} {BASE}/{name}")
    if state.follow_chain:
        follow_chain(world, state)
    return handler(world, state, key, given)


def _json_body(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not request.body or kind != "application/json":
        return {}
    request.check_charset()
    if len(request.body) > BODY_CAP:
        raise Refusal(413, "request entity too large")
    try:
        read = json.loads(request.body.decode("utf-8-sig", "replace"), parse_constant=_no_constant)
        if not isinstance(read, dict | list):
            raise ValueError("neither object nor list")
    except (ValueError, RecursionError) as wrong:
        # The real text is the JavaScript engine's own and differs between its versions.
        raise Refusal(400, f"Unexpected token in JSON at position {getattr(wrong, 'pos', 0)}") from None
    return read if isinstance(read, dict) else {}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _key(state: RegistryState, token: str | None) -> RegistryKey:
    if not token:
        raise Refusal(401, "No token provided")
    key = state.keys.get(token)
    if key is None:
        raise Refusal(401, "Invalid token")
    if key.status != "Active":
        raise Refusal(401, "API key is revoked")
    return key


# ---- questions ----------------------------------------------------------------------------------------


def _entries(world: World, state: RegistryState, key: RegistryKey, given: dict[str, Any]) -> Any:
    return _list(world, state, given, searching=False)


def _search(world: World, state: RegistryState, key: RegistryKey, given: dict[str, Any]) -> Any:
    return _list(world, state, given, searching=True)


def _list(world: World, state: RegistryState, given: dict[str, Any], *, searching: bool) -> Any:
    fields = Fields(given)
    network = fields.choice("network", NETWORKS, required=True)
    limit = int(fields.number("limit", default=10, most=50))
    cursor = fields.text("cursorId", least=1, most=50)
    query = fields.text("query", least=1, most=120, required=True, trim=True) if searching else None
    fits = _filter(fields.inner("filter"))
    checked_since = fields.moment("minHealthCheckDate")
    fields.done()
    _known_network(world, network)
    wishes = _newer_questions(state, given)
    rows = sorted(state.entries, key=lambda entry: str(entry["id"]), reverse=True)
    if cursor is not None:
        place = next((i for i, entry in enumerate(rows) if entry["id"] == cursor), len(rows))
        rows = rows[place:]
    wanted = searchable(query) if query else ""
    found = [entry for entry in rows if fits(entry) and wanted in search_text(entry)]
    if wishes:
        found = newer.chosen(found, wishes)
    found = found[: limit * 2]
    if checked_since is not None:
        for entry in found:
            _probe(world, state, entry)
    return {"entries": found[:limit]}


def _newer_questions(state: RegistryState, given: dict[str, Any]) -> dict[str, Any]:
    """The newer questions of a request: an older registry refuses them or does not see them."""
    wishes = newer.questions(given)
    if wishes and state.newer == "refused":
        raise Refusal(400, f"Unrecognized key(s) in object: '{next(iter(wishes))}'")
    return wishes if state.newer == "known" else {}


def _filter(fields: Fields | None) -> Callable[[Entry], bool]:
    if fields is None:
        return lambda entry: bool(entry["status"] == "Online")
    types = fields.choices("paymentTypes", ("Web3CardanoV1", "None"), at_most=5)
    status = fields.choices("status", STATUSES, at_most=5) or ["Online"]
    policy = fields.text("policyId", least=1, most=250)
    asset = fields.text("assetIdentifier", least=1, most=250)
    tags = fields.texts("tags", least=1, most=150)
    capability = fields.inner("capability")
    name = capability.text("name", least=1, most=150, required=True) if capability else None
    version = capability.text("version", most=150) if capability else None

    def fits(entry: Entry) -> bool:
        able = entry["Capability"] or {}
        return (
            entry["status"] in status
            and (not types or entry["paymentType"] in types)
            and policy in (None, entry["RegistrySource"]["policyId"])
            and asset in (None, entry["agentIdentifier"])
            and (tags is None or any(tag in entry["tags"] for tag in tags))
            and (name is None or able.get("name") == name)
            and (version is None or able.get("version") == version)
        )

    return fits


def _diff(world: World, state: RegistryState, key: RegistryKey, given: dict[str, Any]) -> Any:
    fields = Fields(given)
    network = fields.choice("network", NETWORKS, required=True)
    after = fields.moment("statusUpdatedAfter", required=True)
    limit = int(fields.number("limit", default=10, most=50))
    cursor = fields.text("cursorId", least=1, most=75)
    policy = fields.text("policyId", least=1, most=250)
    fields.done()
    _known_network(world, network)
    start = (iso(after or 0), cursor or "")
    rows = [
        entry
        for entry in state.entries
        if policy in (None, entry["RegistrySource"]["policyId"])
        and (entry["statusUpdatedAt"], entry["id"]) >= start
    ]
    rows.sort(key=lambda entry: (entry["statusUpdatedAt"], entry["id"]))
    return {"entries": rows[:limit]}


def _payment_information(world: World, state: RegistryState, key: RegistryKey, given: dict[str, Any]) -> Any:
    fields = Fields(given)
    agent_identifier = fields.text("agentIdentifier", least=57, most=250, required=True) or ""
    fields.done()
    entry = state.entry(agent_identifier)
    if entry is None:
        raise Refusal(404, "Payment information not found")
    agent = world.agents.get(agent_identifier)
    if agent is None and "type" in entry:  # listed to be looked at; nothing of it is on the chain
        return entry | {"sellerWallet": None}
    if agent is None or agent.burnt:
        raise Refusal(500, "Internal Server Error")
    if agent.holder_address is None:
        raise Refusal(404, "Payment information not found")
    return payment_information(entry, agent)


def _capability(world: World, state: RegistryState, key: RegistryKey, given: dict[str, Any]) -> Any:
    fields = Fields(given)
    limit = fields.number("limit", default=10, most=100, whole=False)
    cursor = fields.text("cursorId")
    fields.done()
    if limit != int(limit):
        raise Refusal(500, "Internal Server Error")
    pairs = {(e["Capability"]["name"], e["Capability"]["version"]) for e in _able(state.entries)}
    rows = [{"id": f"cap{name}{version}", "name": name, "version": version} for name, version in pairs]
    rows.sort(key=lambda row: str(row["id"]), reverse=True)
    rows.sort(key=lambda row: str(row["name"]))
    if cursor:
        rows = rows[next((i for i, row in enumerate(rows) if row["id"] == cursor), len(rows)) :]
    return {"capabilities": rows[: int(limit)]}


def _able(entries: Iterable[Entry]) -> Iterable[Entry]:
    return (entry for entry in entries if entry["status"] == "Online" and entry["Capability"])


def _key_status(world: World, state: RegistryState, key: RegistryKey, given: dict[str, Any]) -> Any:
    return key.shown()


ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", "registry-entry"): _entries,
    ("POST", "registry-entry-search"): _search,
    ("POST", "registry-diff"): _diff,
    ("GET", "payment-information"): _payment_information,
    ("GET", "capability"): _capability,
    ("GET", "api-key-status"): _key_status,
}
OPERATOR_ROUTES: dict[str, tuple[str, ...]] = {
    "registry-source": ("GET", "POST", "PATCH", "DELETE"),
    "api-key": ("GET", "POST", "PATCH", "DELETE"),
    "inbox-agent-registration": ("POST",),
    "inbox-agent-registration-search": ("POST",),
    "inbox-agent-registration-diff": ("POST",),
}
"""Routes of the real registry that nobody needs to hire or sell; 501, after the checks of the key."""


# ---- what the registry knows --------------------------------------------------------------------------


def follow_chain(world: World, state: RegistryState) -> None:
    """Take in agents minted since the last look, and note those that were burnt (Deregistered)."""
    known = {entry["agentIdentifier"]: entry for entry in state.entries}
    for agent in world.agents.values():
        entry = known.get(agent.agent_identifier)
        if entry is None and not agent.burnt and indexed(agent, v2=state.newer == "known"):
            state.entries.append(entry_of(world, agent, state.source_id, len(state.entries)))
        elif entry is not None and agent.burnt and entry["status"] != "Deregistered":
            _set_status(world, entry, "Deregistered")


def _probe(world: World, state: RegistryState, entry: Entry) -> None:
    """Look at an entry's service, as ``minHealthCheckDate`` asks; inner hosts are Invalid unless it is ours."""
    if entry["status"] == "Deregistered":
        return
    url = urlsplit(str(entry["apiBaseUrl"]))
    if state.reachable(str(entry["apiBaseUrl"])):
        status = "Online"
    elif _is_inside(url.hostname or "") or url.query or url.fragment:
        status = "Invalid"
    else:
        status = "Offline"
    entry["uptimeCheckCount"] += 1
    entry["uptimeCount"] += status == "Online"
    entry["lastUptimeCheck"] = iso(world.now_ms())
    if entry["status"] != status:
        _set_status(world, entry, status)


def _is_inside(host: str) -> bool:
    """Whether a host is this machine or stands in a private network."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _set_status(world: World, entry: Entry, status: str) -> None:
    entry["status"] = status
    entry["statusUpdatedAt"] = entry["updatedAt"] = iso(world.now_ms())


def _known_network(world: World, network: str | None) -> None:
    if not any(source.network == network for source in world.sources):
        raise Refusal(500, "Internal Server Error")
