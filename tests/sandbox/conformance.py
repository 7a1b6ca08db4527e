"""Replays recorded exchanges of the real node and registry against the sandbox, and counts what is right.

``python -m tests.sandbox.conformance FILE...`` prints the counts by area and names each wrong exchange. The format is
told in the file's own ``format`` key: stories of steps, setups as data, links between steps, tokens by label.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from masumi_tools.sandbox import node
from masumi_tools.sandbox.chain.escrow import World
from masumi_tools.sandbox.registry import routes
from masumi_tools.sandbox.wire import Request, Response
from tests.harness import counted, decided, verdict_of

from . import links
from .comparing import Comparison
from .fixture_world import add_key, build, force_state, token_of

Step = dict[str, Any]
BASELINE = Path(__file__).with_name("decided.txt")
CHECKED_HEADERS = ("content-type", "allow", "retry-after")
STEP = {
    "id", "title", "area", "agent", "service", "role", "precondition", "now_ms", "request", "response", "links",
    "time_offsets_ms", "setup", "concurrent_group", "note",
}  # fmt: skip
REQUEST = {"method", "path", "query", "headers", "body", "raw_body", "raw_hex", "body_generated"}
"""All that a step and its request may have; a replay that passes over something else replays another exchange."""
LOSERS = {404, 409, 500}
"""What may become of all but one of several identical requests that were sent at the same moment."""


@dataclass
class Outcome:
    """One exchange: ``verdict`` is right, wrong or left out; ``reasons`` say what differs."""

    id: str
    area: str
    verdict: str
    reasons: list[str] = field(default_factory=list)


class Replay:
    """The replay of one corpus; ``outcomes()`` runs it."""

    def __init__(self, corpus: dict[str, Any]) -> None:
        self.corpus = corpus
        self.compare = Comparison(corpus["volatile"])
        first = min((step["now_ms"] for step in self._steps()), default=0)
        self.compare.since_ms = first
        made = {
            op["label"] for step in self._steps() for op in step.get("setup", []) if op["op"] == "api_key"
        }
        self.world: World = build(corpus["fixtures"], first, made)
        self._tokens: dict[str, str] = {}
        self._sent: dict[str, dict[str, Any]] = {}

    def _steps(self) -> Iterator[Step]:
        for story in self.corpus["stories"]:
            yield from story["steps"]

    def outcomes(self) -> Iterator[Outcome]:
        for story in self.corpus["stories"]:
            self.world.forget_rows()
            self._sent.clear()
            self.compare.new_story()
            for group, listed in groupby(story["steps"], key=lambda step: step.get("concurrent_group")):
                steps = list(listed)
                yield from self._together(steps) if group else map(self._one, steps)

    def _one(self, step: Step) -> Outcome:
        response = self._tried(step)
        if isinstance(response, Outcome):
            return response
        if response.status == 501:
            return Outcome(step["id"], step["area"], "left out", [_message(response)])
        reasons = self._differences(step, response)
        return Outcome(step["id"], step["area"], "wrong" if reasons else "right", reasons)

    def _together(self, steps: list[Step]) -> Iterator[Outcome]:
        """Steps sent at once: the one that won goes first here, each other one must lose as some loser may."""
        for step in sorted(steps, key=lambda step: step["response"]["status"] != 200):
            response = self._tried(step)
            if isinstance(response, Outcome):
                yield response
            elif {response.status, step["response"]["status"]} <= LOSERS:
                yield Outcome(step["id"], step["area"], "right")
            else:
                reasons = self._differences(step, response)
                yield Outcome(step["id"], step["area"], "wrong" if reasons else "right", reasons)

    # Sending

    def _tried(self, step: Step) -> Response | Outcome:
        """The answer; an Outcome that is wrong by name where the replay does not know how to send this step."""
        try:
            if strange := [*(set(step) - STEP), *(set(step["request"]) - REQUEST)]:
                raise ValueError(f"unknown key {sorted(strange)[0]!r}")
            return self._send(step)
        except (LookupError, TypeError, ValueError) as error:  # a link or setup that nothing answers to
            return Outcome(step["id"], step["area"], "wrong", [f"not sent: {type(error).__name__}: {error}"])

    def _send(self, step: Step) -> Response:
        for op in step.get("setup", []):
            self._set_up(op)
        self._move_to(step["now_ms"])
        return self._exchange(step)

    def _exchange(self, step: Step) -> Response:
        request = json.loads(json.dumps(step["request"]))
        for place, link in step.get("links", {}).items():
            links.put(request, place, links.resolve(link, self._lookup))
        answer = routes.answer if step["service"] == "registry" else node.answer
        response = answer(self.world, self._wire(request))
        try:
            body = response.json()
        except ValueError:
            body = None
        self._sent[step["id"].split("/")[-1]] = {"request": request, "response": body, "step": step}
        self._learn_tokens(step["response"]["body"], body)
        return response

    def _wire(self, request: dict[str, Any]) -> Request:
        headers: dict[str, str] = {}
        for name, value in request["headers"].items():
            told = self._token(value)
            if told is not None:
                headers[name.lower()] = told
        body = request.get("body")
        if "raw_body" in request:
            payload = request["raw_body"].encode()
        elif "raw_hex" in request:
            payload = bytes.fromhex(request["raw_hex"])
        else:
            more = request.get("body_generated")
            if more:
                body = dict(body or {}) | {more["field"]: more["char"] * more["count"]}
            payload = b"" if body is None else json.dumps(body).encode()
        if payload:
            headers.setdefault("content-type", "application/json")
        query = {name: _query(name, value) for name, value in (request.get("query") or {}).items()}
        return Request(request["method"], request["path"], query, headers, payload)

    def _token(self, value: str) -> str | None:
        """A header's value with ``<token:label>`` replaced; None when the header is not sent at all."""
        if value == "<token:none>":
            return None
        if "<token:" in value:
            before, _, rest = value.partition("<token:")
            label, _, after = rest.partition(">")
            return before + self._tokens.get(label, token_of(label)) + after
        return value

    def _learn_tokens(self, recorded: Any, replayed: Any) -> None:
        if isinstance(recorded, dict) and isinstance(replayed, dict):
            for name, value in recorded.items():
                if name == "token" and isinstance(value, str) and value.startswith("<token:"):
                    self._tokens[value[len("<token:") : -1]] = str(replayed.get(name))
                self._learn_tokens(value, replayed.get(name))

    def _lookup(self, place: str) -> Any:
        step, _, path = place.partition(":")
        if step == "fixtures":
            return links.walk(self.corpus["fixtures"], path)
        return links.walk(self._sent[step.split("/")[-1]], path)

    # Setting up

    def _set_up(self, op: dict[str, Any]) -> None:
        match op["op"]:
            case "force_state":
                self._move_to(op["at_ms"])
                data = self._sent[op["step"].split("/")[-1]]["response"]["data"]
                find = self.world.purchase if op["row"] == "purchase" else self.world.payment
                row = find(data["PaymentSource"]["network"], data["blockchainIdentifier"])
                if row is None:
                    raise ValueError(f"no row for {op['step']}")
                force_state(self.world, row, op)
            case "api_key":
                self._api_key(op)
            case "repeat":
                step = self._sent[op["step"].split("/")[-1]]["step"]
                for _ in range(op["times"]):
                    self._exchange(step)
            case unknown:
                raise ValueError(f"unknown setup {unknown!r}")

    def _api_key(self, op: dict[str, Any]) -> None:
        """The fixtures tell the key with its id in the recording; without them the sandbox makes one."""
        told = self.corpus["fixtures"]["keys"]["payment-node"].get(op["label"])
        if told is not None:
            add_key(self.world, op["label"], told)
            return
        headers = {"token": token_of("admin"), "content-type": "application/json"}
        body = json.dumps(op["body"]).encode()
        made = node.answer(self.world, Request("POST", node.BASE + "/api-key", {}, headers, body))
        self._tokens[op["label"]] = made.json()["data"]["token"]

    def _move_to(self, now_ms: int) -> None:
        self.world.clock.move_to(max(now_ms, self.world.clock.now_ms()))

    # Comparing

    def _differences(self, step: Step, response: Response) -> list[str]:
        recorded = step["response"]
        found = []
        self.compare.now_ms = step["now_ms"]
        if response.status != recorded["status"]:
            found.append(f"status {response.status} ({_message(response)}) instead of {recorded['status']}")
        for name in CHECKED_HEADERS:
            old, new = recorded["headers"].get(name), response.headers.get(name)
            if old != new:
                found.append(f"header {name}: {new!r} instead of {old!r}")
        try:
            body: Any = response.json()
        except ValueError:
            body = response.body.decode(errors="replace")
        if response.status == recorded["status"] and _is_parse_error(step):
            return found + self.compare.differences(
                recorded["body"] | {"error": None}, body | {"error": None}
            )
        return found + self.compare.differences(recorded["body"], body)


def _query(name: str, value: Any) -> str | list[str]:
    """A query parameter as it goes over the wire; a list is one that comes several times."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in values):
        raise ValueError(f"query {name!r} has the form {value!r}, which is not known")
    texts = [str(one).lower() if isinstance(one, bool) else str(one) for one in values]
    return texts if isinstance(value, list) else texts[0]


def _is_parse_error(step: Step) -> bool:
    """Whether the answer's text comes from the JavaScript engine's own parser, which varies (volatile)."""
    raw = "raw_body" in step["request"] or "raw_hex" in step["request"]
    return raw and step["response"]["status"] == 400 and "JSON" in json.dumps(step["response"]["body"])


def _message(response: Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.body[:80].decode(errors="replace")


def replay(corpus: dict[str, Any]) -> list[Outcome]:
    """The outcome of every exchange of a corpus."""
    return list(Replay(corpus).outcomes())


def report(outcomes: list[Outcome]) -> str:
    """The counts by area, then each wrong exchange with its reasons, then what is left out."""
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.area, Counter())[outcome.verdict] += 1
    lines = [f"{'area':<12}{'right':>7}{'wrong':>7}{'left out':>10}"]
    for area, found in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
        lines.append(f"{area:<12}{found['right']:>7}{found['wrong']:>7}{found['left out']:>10}")
    for verdict in ("wrong", "left out"):
        for outcome in outcomes:
            if outcome.verdict == verdict:
                lines.append(f"{verdict}: {outcome.id}: {'; '.join(outcome.reasons)}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Exit status 0 when nothing is wrong but what the baseline names, 1 otherwise, 2 for wrong usage or an empty file."""
    if not arguments:
        print("usage: python -m tests.sandbox.conformance FILE...", file=sys.stderr)
        return 2
    baseline, lines = decided(BASELINE), []
    wrong: list[str] = []
    right: list[str] = []
    for name in arguments:
        file = Path(name).name
        outcomes = replay(json.loads(Path(name).read_text(encoding="utf-8")))
        if not outcomes:
            print(f"{name}: there is no exchange in it", file=sys.stderr)
            return 2
        print(report(outcomes))
        lines.append(counted(file, (outcome.verdict for outcome in outcomes)))
        wrong += [f"{file}: {outcome.id}" for outcome in outcomes if outcome.verdict == "wrong"]
        right += [f"{file}: {outcome.id}" for outcome in outcomes if outcome.verdict == "right"]
    status, told = verdict_of(wrong, right, baseline)
    print("\n".join([*lines, *told]))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
