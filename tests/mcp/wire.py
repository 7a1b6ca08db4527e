"""A server over stdio that is spoken to line by line, for what an official client hides: its process and its wire."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.layers import REPO
from tests.ports import free_port

HERE = "127.0.0.1:"
MAIN = "from masumi_tools.cli import main; main()"


def command(*flags: str, python: str | Sequence[str] = sys.executable, code: str = MAIN) -> list[str]:
    return [*([python] if isinstance(python, str) else python), "-c", code, "mcp", *flags]


@contextmanager
def over_http_at(
    token: Path,
    flags: list[str],
    env: dict[str, str],
    errors: Path,
    python: str = sys.executable,
    host: str = HERE,
    code: str = MAIN,
) -> Iterator[str]:
    """The address of a server process that serves HTTP with the token in this file."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    flags = [*flags, "--http", f"{host}{port}", "--token-file", str(token)]
    with errors.open("ab") as told:
        process = subprocess.Popen(
            command(*flags, python=python, code=code),
            env=env,
            cwd=REPO,
            stdout=subprocess.DEVNULL,
            stderr=told,
        )
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            httpx.get(f"http://{address}/mcp")
            break
        except httpx.TransportError:
            assert process.poll() is None, errors.read_text()
            time.sleep(0.05)
    try:
        yield f"http://{address}/mcp"
    finally:
        process.terminate()
        assert process.wait(20) in (0, -signal.SIGTERM)  # uvicorn ends by the signal that it was sent


class Wire:
    """One server process and its JSON-RPC lines; use it as a context manager, which ends the process."""

    def __init__(
        self,
        flags: list[str],
        env: dict[str, str],
        errors: Path,
        code: str = MAIN,
        python: str | Sequence[str] = sys.executable,
        can: dict[str, Any] | None = None,
    ) -> None:
        self.lines: list[str] = []
        self._id = 0
        self._can = can or {}
        with errors.open("ab") as told:
            self.process = subprocess.Popen(
                command(*flags, python=python, code=code),
                env=env,
                cwd=REPO,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
            )

    def __enter__(self) -> Wire:
        client = {"name": "test", "version": "1"}
        asked = {"protocolVersion": "2025-06-18", "capabilities": self._can, "clientInfo": client}
        self.answer_to(self.ask("initialize", asked))
        self.notify("notifications/initialized")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(20)
        for end in (self.process.stdin, self.process.stdout):
            if end is not None:
                end.close()

    def ask(self, method: str, params: dict[str, Any]) -> int:
        self._id += 1
        self._send({"id": self._id, "method": method, "params": params})
        return self._id

    def notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        self._send({"method": method, "params": params or {}})

    def refuse(self, request: Any) -> None:
        """Answer a request of the server with an error."""
        self._send({"id": request, "error": {"code": -32603, "message": "the form is broken"}})

    def call(self, name: str, arguments: dict[str, Any]) -> int:
        """Call a tool with a token for progress; its request id."""
        return self.ask(
            "tools/call", {"name": name, "arguments": arguments, "_meta": {"progressToken": "steps"}}
        )

    def told(self) -> Iterator[dict[str, Any]]:
        """Every message of the server as it comes, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.decode())
            yield json.loads(line)

    def until(self, words: str) -> dict[str, Any]:
        """The first message that has these words."""
        return next(message for message in self.told() if words in json.dumps(message))

    def answer_to(self, request: int) -> dict[str, Any]:
        for message in self.told():
            if message.get("id") == request:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
        raise AssertionError("the server ended without an answer")

    def end_of_input(self) -> int:
        """Close its stdin; its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(30)

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()
