"""One call's line to its host, in either generation of the SDK: progress, and questions to its person."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import anyio

from masumi_tools.hire.flows import Progress
from masumi_tools.tools.progress import STEPS

log = logging.getLogger("masumi_tools.mcp")

HEARTBEAT_S: Final = 10.0  # the longest silence that a host is left in
PERSON_S: Final = 40.0  # for how long a person is waited for inside one call


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person did with a form; "none" where it could not be shown."""

    action: Literal["accept", "decline", "cancel", "none"]
    content: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: Any) -> Reply:
        action = getattr(answer, "action", None)
        if action == "accept":
            return cls("accept", dict(answer.content or {}))
        return cls(action if action in ("decline", "cancel") else "none")


@dataclass(frozen=True, slots=True)
class Answered:
    """What a second call brings: the state that the first one gave out, and the person's reply."""

    state: str
    reply: Reply


def heartbeat_s(wait_s: float) -> float:
    """How far apart the signs of life of a call are that waits for `wait_s`."""
    return min(HEARTBEAT_S, wait_s / 4)


def _has_forms(elicitation: Any) -> bool:
    """Whether a client can show a form: one that says nothing of forms can, unless it has URLs alone."""
    if elicitation is None:
        return False
    url_only = getattr(elicitation, "url", None) is not None and getattr(elicitation, "form", None) is None
    return not url_only


class Session:
    """The client of one call, in either generation of the SDK: it is told progress and asked questions.

    In 1.x the request's context has a session that sends; in 2.x the session is the request's own. Clients
    of the protocol of 2026-07-28 are asked by a result that they answer with a second call.
    """

    def __init__(self, context: Any, params: Any = None) -> None:
        self._context = context
        self._params = params
        session = getattr(context, "session", None)
        known = getattr(session, "client_capabilities", None)
        if known is None:
            known = getattr(getattr(session, "client_params", None), "capabilities", None)
        self.can_ask = _has_forms(getattr(known, "elicitation", None))
        self.asks_by_result = self.can_ask and str(getattr(context, "protocol_version", "")) >= "2026"

    @asynccontextmanager
    async def telling(self, beat_s: float) -> AsyncIterator[Callable[[Progress], None]]:
        """A listener whose steps are sent in order with rising numbers, and a sign of life after each `beat_s`."""
        steps: asyncio.Queue[str | None] = asyncio.Queue()

        async def tell() -> None:
            words: str | None = "working"
            for number in itertools.count(1):
                with suppress(TimeoutError):
                    words = await asyncio.wait_for(steps.get(), beat_s)
                if words is None:
                    return
                await self._progress(number, words)

        def listener(progress: Progress) -> None:
            steps.put_nowait(f"{STEPS[progress.state.value]} (hire_id {progress.hire_id})")

        task = asyncio.create_task(tell())
        try:
            yield listener
            steps.put_nowait(None)
            await task
        finally:
            task.cancel()

    async def _progress(self, number: int, words: str) -> None:
        session, meta = self._context.session, self._context.meta
        with suppress(Exception):  # a host that does not listen stops no hire
            if hasattr(session, "report_progress"):
                await session.report_progress(number, None, words)
            elif meta is not None and meta.progressToken is not None:
                request = str(self._context.request_id)
                await session.send_progress_notification(meta.progressToken, number, None, words, request)

    async def ask(self, question: str, schema: dict[str, Any]) -> Reply:
        """What the person answered; "none" where nobody could be asked."""
        if not self.can_ask:
            return Reply("none")
        try:
            with anyio.fail_after(PERSON_S):
                answer = await self._context.session.elicit_form(question, schema, self._context.request_id)
        except Exception as error:
            log.info("the client could not ask its person: %s", type(error).__name__)
            return Reply("none")
        return Reply.of(answer)

    def question(self, key: str, question: str, schema: dict[str, Any], state: str) -> dict[str, Any]:
        """The result that asks the client of today's protocol."""
        asked = {"mode": "form", "message": question, "requestedSchema": schema}
        return {
            "resultType": "input_required",
            "inputRequests": {key: {"method": "elicitation/create", "params": asked}},
            "requestState": state,
        }

    def answered(self, key: str) -> Answered | None:
        """The state and the answer that a second call brings; None where this is not one."""
        given = getattr(self._params, "input_responses", None) or {}
        if (answer := given.get(key)) is None:
            return None
        return Answered(str(getattr(self._params, "request_state", None) or ""), Reply.of(answer))
