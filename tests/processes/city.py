"""The sandbox as a process of its own, as the tests of processes see it: addresses, ledger, faults and clock."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STARTS_WITHIN_S = 30


@dataclass(frozen=True)
class City:
    """A sandbox that runs. `env` are the settings of a buyer that uses it."""

    ready: dict[str, Any]

    @property
    def origin(self) -> str:
        return str(self.ready["node_url"]).removesuffix("/api/v1")

    @property
    def env(self) -> dict[str, str]:
        return {
            "MASUMI_NODE_URL": self.ready["node_url"],
            "MASUMI_NODE_TOKEN": self.ready["token"],
            "MASUMI_REGISTRY_URL": self.ready["registry_url"],
            "MASUMI_REGISTRY_TOKEN": self.ready["token"],
            "MASUMI_NETWORK": "Preprod",
            "MASUMI_SANDBOX": "1",
        }

    def agent(self, name: str) -> str:
        """The agent identifier of a sample service."""
        found = next(entry for entry in self.ready["services"] if entry["name"] == name)
        return str(found["agent_identifier"])

    def purchases(self) -> list[dict[str, Any]]:
        return list(self.ledger()["purchases"])

    def ledger(self) -> dict[str, Any]:
        return dict(self._ask("GET", "/ledger"))

    def requests(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/requests")["requests"])

    def arm(self, **fault: Any) -> None:
        self._ask("POST", "/faults", fault)

    def disarm(self) -> None:
        self._ask("DELETE", "/faults")

    def advance(self, ms: int) -> None:
        self._ask("POST", "/clock", {"advance_ms": ms})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.origin}/_sandbox{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@contextlib.contextmanager
def city(folder: Path, *options: str) -> Iterator[City]:
    """`masumi-tools sandbox` in a process of its own for the time of the block."""
    ready = folder / "ready.json"
    command = [sys.executable, "-c", "from masumi_tools.cli import main; main()"]
    with (folder / "sandbox.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "sandbox", "--ready-file", str(ready), *options], stdout=log, stderr=log
        )
        try:
            until = time.monotonic() + STARTS_WITHIN_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the sandbox did not start: {(folder / 'sandbox.log').read_text()}")
                time.sleep(0.02)
            yield City(json.loads(ready.read_text()))
        finally:
            process.terminate()
            process.wait(10)
