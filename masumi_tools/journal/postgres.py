"""PostgreSQL with time limits: no call waits for ever for a server or a network that says nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools.errors import JournalError

_GRACE_S = 2.0  # the server is to end a slow statement itself, and say so
_LEAST_CONNECT_S = 2
_NO_LIMIT_S = 24 * 3600.0
_POOLED = (
    "the database is reached through a pooler that lends its connections by the transaction (such as "
    "pgbouncer in transaction mode); name the server itself, or a pooler in session mode"
)
# The session cannot write any more (a standby now), or the server is going: connect anew.
_RENEW = {"25006", "57P01", "57P02", "57P03"}
# A machine that loses its power says nothing, and its session stays for hours. What a transaction of it holds is free
# again after these milliseconds, for ours never think so long between two statements; the session ends a minute later.
_VANISHED = {
    "idle_in_transaction_session_timeout": 8_000,
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
}
_UNHURRIED_MS = 60_000
# What was committed is on the disk before anything is sent.
_ON_DISK = "SELECT set_config('synchronous_commit', 'local', false) WHERE current_setting('synchronous_commit') = 'off'"
_PASSING = sa.text(
    "SELECT relname AS name, relpersistence::text AS kept FROM pg_class "
    "JOIN unnest(CAST(:names AS text[])) AS named ON oid = to_regclass(named) WHERE relpersistence <> 'p'"
)
_unhurried: ContextVar[bool] = ContextVar("masumi_unhurried", default=False)


@contextmanager
def unhurried(db: sa.Connection) -> Iterator[None]:
    """No time limit for what this transaction does in the block, such as a migration of many rows."""
    if db.dialect.name == "postgresql":
        db.execute(sa.text("SET LOCAL statement_timeout = 0"))
        db.execute(sa.text(f"SET LOCAL idle_in_transaction_session_timeout = {_UNHURRIED_MS}"))
    token = _unhurried.set(True)
    try:
        yield
    finally:
        _unhurried.reset(token)


def pool(waits_s: Callable[[], float]) -> type[sa.QueuePool]:
    """Connections for which nobody waits longer than `waits_s()`, whoever has taken them all."""

    class Patient(sa.QueuePool):
        @property
        def _timeout(self) -> float:
            return waits_s()

        @_timeout.setter
        def _timeout(self, _longest: float) -> None:
            """It is asked for anew each time."""

    return Patient


def limit(engine: sa.Engine, wait_s: Callable[[], float], silent: Callable[[], None]) -> None:
    """From now on no call of this engine waits longer than `wait_s()` and some seconds, whatever the network does.

    `silent` is told when a server has not answered. What broke for good, or cannot write any more, is
    connected anew.
    """
    connection_class = _limited(wait_s, silent)

    def connect(_dialect: Any, _record: Any, args: list[Any], named: dict[str, Any]) -> Any:
        longest = int(named.get("connect_timeout") or _LEAST_CONNECT_S)
        named["connect_timeout"] = max(min(longest, math.ceil(wait_s())), _LEAST_CONNECT_S)
        try:
            return connection_class.connect(*args, **named)
        except Exception as error:
            if "unsupported startup parameter" in str(error):
                raise JournalError(_POOLED, phase="journal") from error
            raise

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "handle_error", _renew)


def begin_session(connection: Any, wait_ms: int) -> None:
    """Make a new session one that a journal can rely on; JournalError where it cannot be.

    The environment (PGOPTIONS), the URL, the role and the database may have set something else.
    """
    speaks = connection.info.parameter_status("server_encoding")
    if speaks != "UTF8":
        raise JournalError(
            f"the database keeps text as {speaks}, which cannot hold every result; "
            "make one with: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0",
            phase="journal",
            repeatable=False,
        )
    limits = {"statement_timeout": wait_ms, "lock_timeout": wait_ms, **_VANISHED}
    connection.autocommit = True
    connection.execute("; ".join(f"SET {name} = {limit}" for name, limit in limits.items()))
    connection.execute(_ON_DISK)
    connection.autocommit = False


def refuse_passing(db: sa.Connection, tables: Sequence[str]) -> None:
    """JournalError where one of the tables lasts no longer than its session, or than the server's next crash."""
    if db.dialect.name != "postgresql":
        return
    passing = db.execute(_PASSING, {"names": list(tables)}).all()
    if passing:
        raise JournalError(
            f"the table {passing[0].name} is {'temporary' if passing[0].kept == 't' else 'unlogged'}: what it "
            "holds of money would be lost; name a lasting schema in search_path, or ALTER TABLE ... SET LOGGED",
            phase="journal",
            repeatable=False,
        )


def refuse_pooler(engine: sa.Engine) -> None:
    """JournalError where two sessions that are open at once are served by one and the same process.

    Settings, locks and prepared statements of such a session are not its own.
    """
    with engine.connect() as first:
        mine = first.scalar(sa.select(sa.func.pg_backend_pid()))
        first.rollback()  # a session keeps its server process; a transaction gives it back
        with engine.connect() as second:
            shared = second.scalar(sa.select(sa.func.pg_backend_pid())) == mine
    if shared:
        raise JournalError(_POOLED, phase="journal")


def _renew(context: sa.engine.ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) in _RENEW:
        context.is_disconnect = True


def _limited(wait_s: Callable[[], float], silent: Callable[[], None]) -> Any:
    """psycopg's connection, which closes itself when the server says nothing for too long.

    The system's own limits do not see a server that is silent while its network still acknowledges.
    """
    import psycopg

    class Limited(psycopg.Connection[Any]):
        def wait(self, gen: Any, *args: Any, **named: Any) -> Any:
            most_s = _NO_LIMIT_S if _unhurried.get() else wait_s() + _GRACE_S
            return super().wait(self._until(gen, time.monotonic() + most_s), *args, **named)

        def _until(self, steps: Any, end: float) -> Generator[Any, Any, Any]:
            try:
                ready = yield next(steps)
                while True:
                    if not ready and time.monotonic() > end:  # woken by the clock alone
                        self.pgconn.finish()
                        silent()
                        raise psycopg.OperationalError("the server did not answer in time")
                    ready = yield steps.send(ready)
            except StopIteration as done:
                return done.value

    return Limited
