"""A PostgreSQL server of our own for tests: on loopback, in a temporary folder, ended by its own pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

USER = "masumi"
ACCOUNTS = ("postgres", "nobody")  # the server refuses to run as root
STARTS_WITHIN_S = 30
BIG = "/var/tmp"  # on the disk: its databases are more than fits into memory beside the tests


@dataclass(frozen=True)
class Server:
    """A server that runs. `log` says why when it does not do what it should; `restart` ends it by a signal first."""

    port: int
    log: Path
    restart: Callable[[signal.Signals], None]

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        name = f"t{uuid.uuid4().hex}"
        where = f"{self.url('postgres')}?connect_timeout=20&options=-c%20statement_timeout%3D20s"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def _programs() -> Path | None:
    """The folder with initdb and postgres; Debian keeps it out of PATH."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


def _account() -> dict[str, Any] | None:
    """How to start a process as somebody who may run the server: {} when we may, None when nobody may."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    return None


def _answers(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://{USER}@127.0.0.1:{port}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """Run a server for the time of the block; skip the test, with a sentence, where that is not possible."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: the extra postgres brings it")
    programs, account = _programs(), _account()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed here (initdb is not found)")
    if account is None:
        pytest.skip(f"PostgreSQL does not run as root, and there is no account {' or '.join(ACCOUNTS)}")
    folder = Path(tempfile.mkdtemp(prefix="masumi-postgres-", dir=BIG if os.access(BIG, os.W_OK) else None))
    try:
        if account:
            os.chown(folder, account["user"], account["group"])
        yield from _run(programs, account, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(programs: Path, account: dict[str, Any], folder: Path) -> Iterator[Server]:
    data, log, port = folder / "data", folder / "log", free_port()
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
        timeout=40,
        **account,
    )
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 200,
        "fsync": "off",  # the folder is thrown away; no test pulls the plug of the machine
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        with log.open("ab") as output:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                **account,
            )
        running.append(server)
        end = time.monotonic() + STARTS_WITHIN_S
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def stop(how: signal.Signals) -> None:
        server = running.pop()
        if server.poll() is None:
            server.send_signal(how)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def restart(how: signal.Signals) -> None:
        stop(how)
        start()

    try:
        start()
        yield Server(port, log, restart)
    finally:
        if running:
            stop(signal.SIGQUIT)  # at once: what is thrown away need not come to the disk first
