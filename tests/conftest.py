"""What holds for every test: no network but loopback, and nothing of the person who runs them.

pytest-socket (see pyproject.toml) stops connections to other machines; names are resolved here only
when they are numbers or localhost. Settings, keys, proxies and home folders are taken away before
anything is imported, because frameworks read theirs at import.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import shutil
import signal
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest

from tests import postgres

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so says a shell to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOM = 4 << 30
KEPT = {"MASUMI_SHARED"}  # where big samples lie: read by tests/shared.py alone
OURS = ("MASUMI_", "SSL_CERT_FILE", "PAYMENT_", "REGISTRY_", "AGENT_IDENTIFIER", "NETWORK", "SELLER_VKEY")
FOREIGN = ("_API_KEY", "_PROXY", "_proxy")
TRACES = ("LANGCHAIN_", "LANGSMITH_")
QUIET = {
    "CREWAI_DISABLE_TELEMETRY": "true",  # else names are looked up, and the exit hangs for 10 s
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_TRACING_ENABLED": "false",  # else the first kickoff in a new home waits for 5 s
    "OTEL_SDK_DISABLED": "true",
    "LANGSMITH_TRACING": "false",
    "ANONYMIZED_TELEMETRY": "false",
    "HF_HUB_OFFLINE": "1",
    "NO_COLOR": "1",  # texts are compared as people read them
}


def _clean_environment(home: Path) -> None:
    for name in list(os.environ):
        if name not in KEPT and (name.startswith(OURS + TRACES) or name.endswith(FOREIGN)):
            del os.environ[name]
    os.environ.update(QUIET)
    os.environ["HOME"] = os.environ["USERPROFILE"] = str(home)
    for folder in ("DATA", "CONFIG", "CACHE", "STATE"):
        os.environ[f"XDG_{folder}_HOME"] = str(home / folder.lower())


def _files_in_memory() -> None:
    """Temporary files lie in memory where there is room: no test needs the disk that each save would wait for."""
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not memory.is_dir() or not os.access(memory, os.W_OK | os.X_OK):
        return
    if os.statvfs(memory).f_flag & os.ST_NOEXEC or shutil.disk_usage(memory).free < ROOM:
        return
    os.environ["TMPDIR"] = tempfile.tempdir = str(memory)


_files_in_memory()
_HOME = Path(tempfile.mkdtemp(prefix="masumi-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
_clean_environment(_HOME)

_resolve = socket.getaddrinfo


def _resolve_locally(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any]:
    """What a machine without a network answers: numbers and localhost are known, no other name is."""
    if host is not None and host not in ("localhost", b"localhost"):
        flags |= socket.AI_NUMERICHOST
    return _resolve(host, port, family, type, proto, flags)


socket.getaddrinfo = _resolve_locally

# httpx reads the authorities anew for each client and each call without one, which takes longer than the call.
httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)  # type: ignore[attr-defined]

# Looking for circles after every 700 new objects, as Python does, is a tenth of the time of a simulated history.
RARELY = (20_000, 20, 20)

# A slow machine is no failure, and CI runs the same examples every time. `few` is for other versions of the
# libraries (see the Makefile): most of what the examples vary is our own.
EXAMPLES = {"deadline": None, "print_blob": True, "derandomize": bool(os.environ.get("CI"))}
hypothesis.settings.register_profile("ours", **EXAMPLES)
hypothesis.settings.register_profile("few", max_examples=20, **EXAMPLES)
hypothesis.settings.load_profile("ours")


def pytest_collection_finish() -> None:
    """What was imported and collected stays: to look through all of it again takes half a second each time."""
    gc.freeze()
    gc.set_threshold(*RARELY)


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default journal of each test is its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(_HOME / "data" / uuid.uuid4().hex))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a new SQLite database of this test."""
    return f"sqlite:///{tmp_path / f'{uuid.uuid4().hex}.sqlite'}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL server of this test run on loopback; skips where none is installed."""
    with postgres.serve() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> str:
    """The URL of a new database of this test on a real PostgreSQL server."""
    return postgres_server.new_database()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new database of this test: the test runs on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue(f"{request.param}_url"))
