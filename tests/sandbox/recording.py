"""Records the sandbox itself in the format of the recorded node exchanges: a small corpus for every clone.

``python -m tests.sandbox.recording FILE`` writes it. It holds one story of each kind that the replay knows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from masumi_tools.sandbox.chain.escrow import TUSDM, World
from masumi_tools.sandbox.chain.objects import api_key_json
from masumi_tools.sandbox.chain.rows import Agent
from masumi_tools.sandbox.clock import Clock
from masumi_tools.sandbox.registry import routes
from masumi_tools.sandbox.timetext import HOUR, MINUTE, iso

from .conformance import CHECKED_HEADERS, Replay
from .market import INPUT_HASH, NONCE, RESULT_HASH, START_MS, TERMS

VOLATILE = [
    "id",
    "createdAt",
    "updatedAt",
    "blockchainIdentifier (fresh seller nonce and signature each time)",
    "nextActionLastChangedAt",
    "onChainStateOrResultLastChangedAt",
    "nextActionOrOnChainStateOrResultLastChangedAt",
    "CurrentTransaction.{id,createdAt,updatedAt,txHash,blockTime}",
    "object.{id,sellerWalletId,nextActionId,currentTransactionId,agentIdentifierSyncedAt,agentNameSyncedAt}",
    "entries[].{createdAt,updatedAt,statusUpdatedAt,lastUptimeCheck}",
    "text of a JSON parse error (V8)",
]
Json = dict[str, Any]


def fixtures() -> Json:
    """A small network: both contracts, four agents, five keys, and the registry's entries."""
    world = World(clock=Clock("manual", now_ms=START_MS), seed=11)
    agents = {
        "V1 fixed": world.register_agent("Echo", "http://127.0.0.1:9/", {"": 1_000_000, TUSDM: 5}),
        "V1 dynamic": world.register_agent("Bargain", "http://127.0.0.1:9/", None, "Dynamic"),
        "V1 free": world.register_agent("Gift", "http://127.0.0.1:9/", None, "Free"),
        "V2 fixed": world.register_agent("Echo two", "http://127.0.0.1:9/", {"": 3_000_000}, "Fixed", 2),
    }
    keys = {
        "admin": world.add_key(admin=True),
        "pay": world.add_key(pay=True),
        "pay2": world.add_key(pay=True),
        "read": world.add_key(),
        "limited": world.add_key(pay=True, usage_limited=True, credits=[(9_000_000, ""), (9, TUSDM)]),
        "rated": world.add_key(pay=True),
    }
    state = routes.state_of(world)
    routes.follow_chain(world, state)
    return {
        "network": world.network,
        "payment_sources": [
            {
                "id": source.id,
                "network": source.network,
                "paymentSourceType": source.source_type,
                "policyId": source.policy_id,
                "smartContractAddress": source.contract_address,
                "cooldownTime_ms": source.cooldown_ms,
                "feeRatePermille": source.fee_permille,
            }
            for source in world.sources
        ],
        "wallets": [
            {
                "walletAddress": wallet.address,
                "walletVkey": wallet.vkey,
                "type": wallet.kind,
                "id": wallet.id,
                "paymentSourceId": wallet.source.id,
                "collectionAddress": None,
            }
            for wallet in world.wallets
        ],
        "agents": {name: _agent(agent) for name, agent in agents.items()},
        "keys": {
            "payment-node": {label: api_key_json(key) for label, key in keys.items()},
            "registry": {"admin": {"permission": "Admin", "usageLimited": False, "status": "Active"}},
        },
        "registry_entries": state.entries,
    }


def _agent(agent: Agent) -> Json:
    return {
        "agentIdentifier": agent.agent_identifier,
        "policyId": agent.source.policy_id,
        "paymentSourceType": agent.source.source_type,
        "holderAddress": agent.holder_address,
        "holderVkey": agent.seller_vkey,
        "onchain_metadata": agent.metadata,
    }


class Script:
    """Writes down the steps of the stories; the recorder fills in what was answered."""

    def __init__(self, told: Json) -> None:
        self.fixtures = told
        self.stories: list[Json] = []
        self._now_ms = START_MS

    def story(self, name: str, title: str) -> None:
        self.stories.append({"story": name, "title": title, "steps": []})

    def step(
        self,
        name: str,
        area: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "pay",
        service: str = "payment-node",
        links: Json | None = None,
        query: Json | None = None,
        setup: list[Json] | None = None,
        group: str | None = None,
        **extras: Any,
    ) -> None:
        story = self.stories[-1]
        self._now_ms += 0 if group else 1000
        step: Json = {
            "id": f"{story['story']}/{name}",
            "title": name,
            "area": area,
            "service": service,
            "now_ms": self._now_ms,
            "request": {
                "method": method,
                "path": "/api/v1" + path,
                "headers": {"token": f"<token:{token}>"},
                "body": body,
                **extras,
            },
            "response": {"status": 0, "headers": {}, "body": None},
        }
        if query:
            step["request"]["query"] = query
        for key, value in (("links", links), ("setup", setup), ("concurrent_group", group)):
            if value:
                step[key] = value
        story["steps"].append(step)

    def pay(self, name: str, agent: str, area: str = "payment", **changes: Any) -> None:
        told = self.fixtures["agents"][agent]
        body = {
            "network": "Preprod",
            "agentIdentifier": told["agentIdentifier"],
            "inputHash": INPUT_HASH,
            "identifierFromPurchaser": NONCE,
            "payByTime": iso(self._now_ms + 20 * MINUTE),
            "submitResultTime": iso(self._now_ms + HOUR),
        } | changes
        if agent.startswith("V2"):
            body.setdefault("supportedPaymentSourceIndex", 0)
        body = {key: value for key, value in body.items() if value is not None}
        self.step(name, area, "POST", "/payment", body)

    def buy(
        self,
        name: str,
        agent: str,
        offer: str = "pay",
        *,
        token: str = "pay",
        group: str | None = None,
        links: Json | None = None,
        **changes: Any,
    ) -> None:
        told = self.fixtures["agents"][agent]
        body: Json = {name_: "" for name_ in TERMS} | {
            "network": "Preprod",
            "sellerVkey": told["holderVkey"],
            "identifierFromPurchaser": NONCE,
        }
        if agent.startswith("V2"):
            body["supportedPaymentSourceIndex"] = 0
        given = {f"body.{term}": f"{offer}:response.data.{term}" for term in TERMS if term not in changes}
        self.step(
            name,
            "purchase",
            "POST",
            "/purchase",
            body | changes,
            token=token,
            group=group,
            links=given | (links or {}),
        )

    def about(self, name: str, area: str, path: str, offer: str = "pay", **more: Any) -> None:
        """A step that names an identifier, such as resolve or request-refund."""
        body = {"blockchainIdentifier": "", "network": "Preprod"} | more.pop("body", {})
        links = {"body.blockchainIdentifier": f"{offer}:response.data.blockchainIdentifier"}
        self.step(name, area, "POST", path, body, links=links, **more)

    def forced(self, row: str, step: str, state: str | None, action: str, **more: Any) -> Json:
        return {
            "op": "force_state",
            "row": row,
            "step": f"{self.stories[-1]['story']}/{step}",
            "at_ms": self._now_ms + 500,
            "onChainState": state,
            "requestedAction": action,
            "errorType": None,
            "errorNote": None,
            "transaction": {"status": "Confirmed", "has_hash": True},
            "wallet": "the source's wallet",
        } | more


def script(told: Json) -> list[Json]:
    """The stories: one of each kind that the format knows."""
    s = Script(told)
    resolve = "/purchase/resolve-blockchain-identifier"
    waiting = "WaitingForExternalAction"

    s.story("payment", "POST /payment: taken and refused")
    s.pay("v1", "V1 fixed")
    s.pay("v2", "V2 fixed", metadata="order 7")
    s.pay("dynamic", "V1 dynamic", RequestedFunds=[{"amount": "007", "unit": "Lovelace"}])
    s.pay("free", "V1 free")
    s.pay("no-hash", "V1 fixed", inputHash=None)
    s.pay("offset", "V1 fixed", payByTime="2026-11-25T10:00:00+00:00")
    s.pay("too-soon", "V1 fixed", submitResultTime=iso(START_MS + 10 * MINUTE))
    s.pay("no-index", "V2 fixed", supportedPaymentSourceIndex=7)

    s.story("purchase", "POST /purchase: bought once, however often asked")
    s.pay("pay", "V1 fixed")
    s.buy("wrong-price", "V1 fixed", Amounts=[{"amount": "1", "unit": ""}])
    s.buy("late-seconds", "V1 fixed", payByTime="1")
    changed = {"from": "pay:response.data.unlockTime", "how": "add", "ms": 1}
    s.buy("tampered", "V1 fixed", links={"body.unlockTime": changed})
    s.buy("buy", "V1 fixed")
    s.buy("again", "V1 fixed", token="pay2")
    upper = {"from": "pay:response.data.blockchainIdentifier", "how": "upper"}
    s.buy("spelled", "V1 fixed", links={"body.blockchainIdentifier": upper})
    cut = {"from": "pay:response.data.blockchainIdentifier", "how": "prefix", "length": 402}
    s.buy("cut", "V1 fixed", links={"body.blockchainIdentifier": cut})
    s.step("count", "list", "GET", "/purchase/count", query={"network": "Preprod"})

    s.story("v2", "V2: the index is signed, lists hide the purchase")
    s.pay("pay", "V2 fixed")
    s.buy("no-index", "V2 fixed", supportedPaymentSourceIndex=1)
    s.buy("buy", "V2 fixed")
    s.step("hidden", "list", "GET", "/purchase", query={"network": "Preprod"})
    v2 = {"network": "Preprod", "filterPaymentSourceType": "Web3CardanoV2", "limit": "2.5"}
    s.step("shown", "list", "GET", "/purchase", query=v2)

    s.story("concurrent", "the same purchase posted three times at once")
    s.pay("pay", "V1 fixed")
    for place in range(3):
        s.buy(f"par-{place}", "V1 fixed", group="par")
    s.about("one-row", "resolve", resolve)

    s.story("refund", "refund and result through the states")
    s.pay("pay", "V1 fixed")
    s.buy("buy", "V1 fixed")
    s.about("early", "refund", "/purchase/request-refund")
    locked = [
        s.forced("purchase", "buy", "FundsLocked", waiting),
        s.forced("payment", "pay", "FundsLocked", waiting),
    ]
    s.about("locked", "resolve", resolve, setup=locked, body={"includeHistory": "true"})
    s.about("other-key", "refund", "/purchase/request-refund", token="pay2")
    s.about("request", "refund", "/purchase/request-refund")
    s.about("request-again", "refund", "/purchase/request-refund")
    s.about("result", "result", "/payment/submit-result", body={"submitResultHash": RESULT_HASH})
    s.about("result-short", "result", "/payment/submit-result", body={"submitResultHash": "ab"})
    s.about("resolve-seller", "resolve", "/payment/resolve-blockchain-identifier")

    s.story("recovery", "a failed lock is queued again")
    s.pay("pay", "V1 fixed")
    s.buy("buy", "V1 fixed")
    poor = {
        "errorType": "InsufficientFunds",
        "errorNote": "Not enough funds in wallets",
        "transaction": "unchanged",
        "wallet": "unchanged",
    }
    failed = [s.forced("purchase", "buy", None, "WaitingForManualAction", **poor)]
    s.about("failed", "resolve", resolve, setup=failed)
    body = {"updatedAt": "", "retryPreviousAction": True, "blockchainIdentifier": "", "network": "Preprod"}
    links = {
        "body.blockchainIdentifier": "pay:response.data.blockchainIdentifier",
        "body.updatedAt": "failed:response.data.updatedAt",
    }
    s.step("retry", "recovery", "POST", "/purchase/error-state-recovery", body, links=links)
    s.step("changes", "diff", "GET", "/purchase/diff/next-action", query={"network": "Preprod", "limit": "5"})
    s.step("bad-date", "diff", "GET", "/payment/diff", query={"network": "Preprod", "lastUpdate": "xx"})

    s.story("errors", "tokens, paths, verbs, bodies, rates")
    s.step("no-token", "auth", "GET", "/purchase", token="none", query={"network": "Preprod"})
    s.step("read-key", "auth", "POST", "/purchase", {}, token="read")
    s.step("nope", "errors", "GET", "/nope", token="none")
    s.step("patch", "errors", "PATCH", "/purchase", {})
    s.step("malformed", "errors", "POST", "/payment", raw_body="{bad")
    generated = {"field": "metadata", "char": "x", "count": 110_000}
    s.step("big", "errors", "POST", "/payment", {}, body_generated=generated)
    rated = [{"op": "api_key", "label": "rated", "body": {"usageLimited": "false", "UsageCredits": []}}]
    hook = {"webhookId": "nope"}
    s.step("hook", "errors", "POST", "/webhooks/test", hook, token="rated", setup=rated)
    more = [{"op": "repeat", "step": "errors/hook", "times": 9}]
    s.step("eleventh", "errors", "POST", "/webhooks/test", hook, token="rated", setup=more)
    s.step("swap", "errors", "GET", "/swap/confirm", token="admin")

    s.story("keys", "a usage-limited key loses all its credit with one purchase")
    s.pay("pay", "V1 fixed")
    s.step("before", "key", "GET", "/api-key-status", token="limited")
    s.buy("buy", "V1 fixed", token="limited")
    s.step("after", "key", "GET", "/api-key-status", token="limited")

    s.story("registry", "what node and registry tell of an agent")
    agent = told["agents"]["V2 fixed"]["agentIdentifier"]
    asked = {"network": "Preprod", "agentIdentifier": agent}
    s.step("node", "registry", "GET", "/registry/agent-identifier", query=asked)
    there = {"service": "registry", "token": "admin"}
    s.step("entries", "registry", "POST", "/registry-entry", {"network": "Preprod", "limit": 2}, **there)
    wanted = {"agentIdentifier": told["agents"]["V1 fixed"]["agentIdentifier"]}
    s.step("information", "registry", "GET", "/payment-information", query=wanted, **there)
    return s.stories


class Recorder(Replay):
    """Runs the script and fills in the requests as sent and the answers as given."""

    def record(self) -> Json:
        for story in self.corpus["stories"]:
            self.world.forget_rows()
            self._sent.clear()
            for step in story["steps"]:
                response = self._send(step)
                told = step["id"].split("/")[-1]
                step["request"] = self._sent[told]["request"]
                headers = {
                    name: response.headers[name] for name in CHECKED_HEADERS if name in response.headers
                }
                step["response"] = {"status": response.status, "headers": headers, "body": response.json()}
        return self.corpus


def record() -> Json:
    """The whole small corpus."""
    told = fixtures()
    corpus = {
        "source": "the sandbox of this repository, recorded by tests/sandbox/recording.py",
        "format": "as the recorded exchanges of the real node; see tests/sandbox/conformance.py",
        "volatile": VOLATILE,
        "fixtures": told,
        "stories": script(told),
    }
    return Recorder(json.loads(json.dumps(corpus))).record()


def written(corpus: Json) -> str:
    """The corpus as JSON with one exchange a line, so that a change shows as the exchanges that changed."""
    head = json.dumps({key: value for key, value in corpus.items() if key != "stories"})
    stories = []
    for story in corpus["stories"]:
        steps = ",\n".join(json.dumps(step) for step in story["steps"])
        about = json.dumps({key: value for key, value in story.items() if key != "steps"})
        stories.append(f'{about[:-1]}, "steps": [\n{steps}]}}')
    return head[:-1] + ', "stories": [\n' + ",\n".join(stories) + "]}\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(written(record()), encoding="utf-8")
