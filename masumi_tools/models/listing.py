"""What is known of a seller before a hire: the registry's entry, the node's metadata, or its own word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from masumi_tools.errors import WireError
from masumi_tools.models import reach
from masumi_tools.models.price import Price
from masumi_tools.models.sources import V1, V2, PaymentOption, index_of, price_notes, price_of_sources
from masumi_tools.models.wire import Names, joined, layers, quoted, read_error, short

# The registries that the official nodes know (protocol N13); V2 has one policy on both networks.
_POLICY_NETWORK: Final[Mapping[str, str]] = {
    "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77": "Preprod",
    "ad6424e3ce9e47bbd8364984bd731b41de591f1d11f6d7d43d0da9b9": "Mainnet",
}
_V2_POLICY: Final = "67ab0c92c4ac1610895a1c965ee50aba41a8f1513b15240723b3bd0b"

_AGENT: Final = re.compile(r"[0-9a-fA-F]{57,250}")
_KEY_HASH: Final = re.compile(r"[0-9a-fA-F]{56}")
_LISTS: Final = ("entries", "Assets", "agents", "items", "registry", "results")
_URLS: Final = ("apiBaseUrl", "apiUrl", "url")
_METADATA_WORDS: Final = (
    "AgentPricing",
    "supportedPaymentSources",
    "apiBaseUrl",
    "apiUrl",
    "metadataVersion",
)


@dataclass(frozen=True, slots=True)
class Listing:
    """A seller as it is listed.

    Empty text and None mean that the source does not say. `seller_vkey` is the key hash of the wallet
    that holds the agent's NFT (the registry reads it from chain; the node's metadata has none).
    `source_index` is None where only the seller's signed offer can tell it. `problems`, each led by the
    field, say why it cannot be hired; `notes` what to know. `kind` is how it is reached, `sources` are all
    payment sources of which `price` is one's, `superseded_by` the agent that took its place, `claims` what
    it says of its identity, which nobody has verified. `out_of_reach` says why its address is one that only
    its own machine or network knows.
    """

    agent_identifier: str
    name: str
    description: str
    api_base_url: str
    price: Price
    seller_vkey: str | None = None
    status: str = ""
    source_type: str | None = None
    source_index: int | None = None
    network: str | None = None
    tags: tuple[str, ...] = ()
    capability: str = ""
    example_outputs: tuple[tuple[str, str], ...] = ()
    author: str = ""
    entry_id: str | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kind: str = reach.STANDARD
    sources: tuple[PaymentOption, ...] = ()
    superseded_by: str = ""
    supersedes: str = ""
    health: reach.Health = field(default_factory=reach.Health)
    registered_ms: int | None = None
    score: float | None = None
    claims: tuple[str, ...] = ()
    out_of_reach: str = ""

    def at(self, url: str) -> Listing:
        """The same seller at the address where it was found, whatever address its own word names."""
        return replace(self, api_base_url=url, out_of_reach=reach.out_of_reach(url))

    @property
    def payable(self) -> bool:
        """Whether a hire could be paid as listed: nothing is wrong and there is something to pay."""
        return self.obstacle() is None and self.price.pricing is not None and not self.price.is_free

    def obstacle(self, *, sandbox: bool = False) -> str | None:
        """Why it cannot be hired from here, None where nothing is in the way. A sandbox's are on loopback."""
        wrong = list(self.problems)
        if self.out_of_reach and not (sandbox and reach.is_loopback(self.api_base_url)):
            wrong.append(self.out_of_reach)
        return "; ".join(wrong) or None

    @property
    def source_text(self) -> str:
        """Through which payment source a hire is paid, for people; empty where the listing has one price only."""
        if len(self.sources) < 2 and self.source_index in (None, 0):
            return ""
        which = "a payment source" if self.source_index is None else f"payment source {self.source_index}"
        of = f", one of {len(self.sources)}" if len(self.sources) > 1 else ""
        return f"{which} ({self.source_type or 'Cardano'} on {self.network or 'Cardano'}{of})"


def read_payment_information(body: Any, network: str | None = None, *, http_status: int = 200) -> Listing:
    """The seller in an answer to GET /payment-information, the registry's or a service's own.

    WireError, with the other side's sentence, when the answer holds no listing.
    """
    found = next(_listings(body, http_status, network), None)
    if found is None:
        raise WireError(_no_listing(body, http_status), phase="payment_information", fault="registry")
    return found


def read_registry_entries(body: Any, network: str | None = None, *, http_status: int = 200) -> list[Listing]:
    """The sellers in a list of the registry or of a node, in their order; strange ones carry `problems`.

    WireError when the answer is an error or no list. The cursor row comes again on the next page; whoever
    pages drops it by `agent_identifier`.
    """
    found = list(_listings(body, http_status, network))
    if not found and not (
        200 <= http_status < 300 and any(_list_in(names) is not None for names in layers(body))
    ):
        raise WireError(_no_listing(body, http_status), phase="registry_entries", fault="registry")
    return found


def read_agent_metadata(body: Any, network: str | None = None, *, http_status: int = 200) -> Listing:
    """The seller in the node's GET /registry/agent-identifier, or in plain on-chain metadata.

    No seller key in it, and no source index: the node leaves out sources of other networks, so that a
    position in its list is not an index (protocol N22). WireError when there is none.
    """
    found = next(_listings(body, http_status, network), None)
    if found is None:
        raise WireError(_no_listing(body, http_status), phase="agent_metadata", fault="node")
    return found


def _no_listing(body: Any, http_status: int) -> str:
    said = read_error(body) if not 200 <= http_status < 300 or _failed(layers(body)) else None
    if said is None and 200 <= http_status < 300 and (seen := _seen(body)):
        return f"No agent in the answer (HTTP {http_status}); it is in a form of its own: {seen}"
    return f"No agent in the answer (HTTP {http_status}){f': {said}' if said else '.'}"


def _seen(body: Any) -> str:
    """What an answer in a form of its own has in it: the names of its innermost object, or its first words."""
    found = layers(body)
    if found and found[-1].raw:
        names = list(found[-1].raw)
        return short(", ".join(map(str, names[:12])), 200) + (" …" if len(names) > 12 else "")
    if isinstance(body, str):
        return f'"{text}"' if (text := read_error(body)) else ""
    return f"a list of {len(body)}" if isinstance(body, list) and body else ""


def _failed(found: list[Names]) -> bool:
    return any((names.text("status") or "").lower() == "error" or "error" in names for names in found[:1])


def _listings(body: Any, http_status: int, network: str | None) -> Iterator[Listing]:
    if not 200 <= http_status < 300:
        return
    if isinstance(body, list) and (len(body) > 1 or any(_is_agent(row) and _has_url(row) for row in body)):
        body = {"entries": body}
    found = layers(body)
    for names in found:
        rows = _list_in(names)
        if rows is not None:
            entries = [_listing(Names(row), network, listed=True) for row in rows if isinstance(row, Mapping)]
            yield from _beside_each_other(entries)
            return
    for names in reversed(found):
        if any(word in names for word in (*_METADATA_WORDS, "agentIdentifier", "Metadata")):
            yield _listing(names, network, listed=False)
            return
    onchain = _onchain(found[0].raw, 0) if found else None
    if onchain is not None:
        yield _listing(Names(onchain), network, listed=False)


def _list_in(names: Names) -> list[Any] | None:
    for value in names.all(*_LISTS, "data"):
        if isinstance(value, list) and (not value or isinstance(value[0], Mapping)):
            return value
    return _rows_within(names.raw, 0)


def _rows_within(value: Any, depth: int) -> list[Any] | None:
    """A list under a name of its own, some levels down, or an object keyed by agent: its rows show what it is."""
    if depth > 3 or not isinstance(value, Mapping) or _is_agent(value):
        return None
    for part in value.values():
        if isinstance(part, list) and any(_is_agent(row) for row in part):
            return part
    rows = [row for row in value.values() if _is_agent(row)]
    if len(rows) > 1 or (rows and _AGENT.fullmatch(str(next(iter(value))))):
        return rows
    return next((found for part in value.values() if (found := _rows_within(part, depth + 1))), None)


def _has_url(row: Mapping[str, Any]) -> bool:
    return any(name in Names(row) for name in _URLS)


def _is_agent(row: Any) -> bool:
    if not isinstance(row, Mapping):
        return False
    names = Names(row)
    return "agentIdentifier" in names and any(
        word in names for word in (*_METADATA_WORDS, "Metadata", *_URLS, "name")
    )


def _beside_each_other(entries: list[Listing]) -> Iterator[Listing]:
    """The entries of one list: an Invalid one beside one that is online at the same address is its leftover."""
    online = {
        entry.api_base_url.rstrip("/"): entry
        for entry in entries
        if entry.api_base_url and entry.status.lower() == "online"
    }
    for entry in entries:
        twin = online.get(entry.api_base_url.rstrip("/")) if entry.status.lower() == "invalid" else None
        if twin is not None:
            wrong = f"status: Invalid, and agent {short(twin.agent_identifier, 130)} is online at the same address"
            entry = replace(entry, problems=(*entry.problems, wrong))
        yield entry


def _onchain(value: Any, depth: int) -> Mapping[str, Any] | None:
    """Metadata under its label, policy and asset name: {"721": {policy: {asset: {...}}}}."""
    if not isinstance(value, Mapping) or depth > 4:
        return None
    if any(word in Names(value) for word in _METADATA_WORDS):
        return value
    return next((found for part in value.values() if (found := _onchain(part, depth + 1))), None)


def _listing(entry: Names, network: str | None, *, listed: bool) -> Listing:
    meta = entry.object("Metadata")
    names = Names({**entry.raw, **meta.raw}) if meta is not None else entry
    problems: list[str] = []
    notes: list[str] = []
    agent = entry.text("agentIdentifier") or ""
    if (agent or listed or "agentIdentifier" in entry) and not _AGENT.fullmatch(agent):
        what = f"{quoted(agent)} is not policy id and asset name in hex" if agent else "missing"
        problems.append(f"agentIdentifier: {what}")
    version = _version(names, problems)
    kind = reach.kind_of(names)
    if (other := reach.kind_problem(kind)) is not None:
        problems.append(other)
    price, source, options = price_of_sources(names, version, network, problems)
    if kind == reach.STANDARD:  # the price of another kind is paid elsewhere, so it is not judged
        problems.extend(price.problems)
    notes.extend(price_notes(price))
    key = _seller_key(names, problems)
    url = names.text(*_URLS) or ""
    if url:
        _check_url(url, problems)
    elif listed and kind == reach.STANDARD and agent:
        problems.append("apiBaseUrl: missing, so that the service cannot be asked")
    _check_state(names, problems, notes)
    policy = agent[:56].lower()
    capability = names.object("Capability")
    author = names.object("Author")
    return Listing(
        agent_identifier=agent,
        name=names.text("name", "display", "agentName") or "",
        description=names.text("description") or "",
        api_base_url=url,
        price=price,
        seller_vkey=key,
        status=names.text("status") or "",
        source_type=_contract(names, source, version, policy),
        source_index=index_of(source) if source else None,
        network=(source.text("network") if source else None)
        or names.text("network")
        or _POLICY_NETWORK.get(policy),
        tags=tuple(tag for tag in map(joined, names.list("Tags")) if tag),
        capability=" ".join(filter(None, map(capability.text, ("name", "version")))) if capability else "",
        example_outputs=tuple(_examples(names)),
        author=names.text("authorName", "authorOrganization")
        or (author.text("name") if author else None)
        or "",
        entry_id=names.text("id"),
        problems=tuple(problems),
        notes=tuple(notes),
        kind=kind,
        sources=options,
        superseded_by=(names.text("supersededByAgentIdentifier") or "").lower(),
        supersedes=(names.text("supersedesAgentIdentifier") or "").lower(),
        health=reach.health(names),
        registered_ms=reach.moment(names.get("createdAt")),
        score=reach.score(names),
        claims=tuple(reach.claims(names)),
        out_of_reach=reach.out_of_reach(url) if url else "",
    )


def _seller_key(names: Names, problems: list[str]) -> str | None:
    wallet = names.object("sellerWallet", "SmartContractWallet")
    key = names.text("sellerVkey") or (wallet.text("vkey", "walletVkey") if wallet else None)
    if key is not None and not _KEY_HASH.fullmatch(key):
        problems.append(f"sellerVkey: {quoted(key)} is not a key hash of 56 hex digits")
    return key


def _contract(names: Names, source: Names | None, version: int | None, policy: str) -> str | None:
    """Which of the escrow contracts is paid into: as it says, else by the version or the policy."""
    said = (source.text("paymentSourceType") if source else None) or names.text(
        "paymentType", "paymentSourceType"
    )
    if said in (V1, V2):
        return said
    return V2 if version == 2 or policy == _V2_POLICY else V1 if version == 1 else None


def _version(names: Names, problems: list[str]) -> int | None:
    """The metadata version, a number or text of one; the node accepts 1 and 2 only (protocol N13)."""
    value = names.get("metadataVersion")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return None
    if str(value).strip() in ("1", "2"):
        return int(str(value).strip())
    problems.append(f"metadataVersion: {quoted(value)} is neither 1 nor 2")
    return None


def _check_url(url: str, problems: list[str]) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not re.search(r"[0-9a-zA-Z]", host):
        problems.append(f"apiBaseUrl: {quoted(url)} is not a web address")
    elif parts.query or parts.fragment:
        problems.append(
            f"apiBaseUrl: {quoted(url)} has a query or fragment, so that no path can be put after it"
        )


def _check_state(names: Names, problems: list[str], notes: list[str]) -> None:
    state = names.text("state") or ""
    if (
        state
        and state.lower().startswith(("registration", "deregistration", "update"))
        and state
        not in (
            "RegistrationConfirmed",
            "UpdateConfirmed",
        )
    ):
        problems.append(f"state: {state}, so that it is not (or no longer) registered on chain")
    status = (names.text("status") or "").lower()
    if status == "deregistered":
        problems.append("status: Deregistered, the agent was taken off the registry")
    elif status in ("offline", "invalid"):
        notes.append(f"status: the registry's last look found it {status}")


def _examples(names: Names) -> Iterator[tuple[str, str]]:
    for entry in names.list("ExampleOutputs", "ExampleOutput")[:25]:
        example = Names(entry) if isinstance(entry, Mapping) else None
        if example is not None and (url := example.text("url")):
            yield example.text("name") or "", url
