"""The tools without a transport, and the two things that a person is asked: to approve a price, and to answer a service."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import anyio.to_thread
from pydantic import ValidationError

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import AmountsLike
from masumi_tools.hire.receipt import Receipt
from masumi_tools.mcp.answers import OUTPUT, hints, result
from masumi_tools.mcp.session import Answered, Reply, Session, heartbeat_s
from masumi_tools.tools.actions import Actions
from masumi_tools.tools.approval import Approval
from masumi_tools.tools.questions import form_of, form_words
from masumi_tools.tools.talk import Call, Said
from masumi_tools.tools.toolset import ANSWER, HIRE, Card, agent_card, cards
from masumi_tools.tools.wording import not_hired

WAIT_S: Final = 45.0  # hosts give a call up after 60 s
LEAST_WAIT_S: Final = 5.0  # for how long a hire is waited for after its person has answered
MOST_QUESTIONS: Final = 3  # of a service within one call

_APPROVAL: Final = "approval"
_APPROVE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"approve": {"type": "boolean", "title": "Pay for this hire?"}},
    "required": ["approve"],
}


class McpTools:
    """The tools without a transport: what they are called, and what a call comes to as plain JSON values."""

    def __init__(
        self, actions: Actions, approve_above: AmountsLike | None = None, wait_s: float = WAIT_S
    ) -> None:
        self.actions = actions
        self.wait_s = wait_s
        self.declined: set[str] = set()  # questions that a person does not want to see again
        self._above = approve_above
        budget = actions.buyers.budget
        self._waits = budget is not None and budget.approve_above is not None and budget.approve is None
        self._cards: dict[str, Card] = {card.name: card for card in cards(actions)}
        self._seal = secrets.token_bytes(32)

    async def add(self, services: Sequence[str]) -> None:
        """A typed tool for each of these services; MasumiError when one cannot be hired, InputError on twins."""
        for target in services:
            quote = await self.actions.buyers.awaiting().quote(target)
            card = agent_card(self.actions, quote, None, None)
            if card.name in self._cards:
                raise InputError(
                    f"two tools would have the name {card.name!r}; leave one of the services out"
                )
            self._cards[card.name] = card

    def listed(self) -> list[dict[str, Any]]:
        """Every tool as MCP lists it."""
        return [
            {
                "name": card.name,
                "description": card.description,
                "inputSchema": card.args.model_json_schema(),
                "outputSchema": OUTPUT,
                "annotations": hints(card),
            }
            for card in self._cards.values()
        ]

    async def call(self, name: str, given: dict[str, Any], session: Session) -> dict[str, Any]:
        """The result of one call. Never raises for what a model or a service did."""
        card = self._cards.get(name)
        if card is None:
            return result(Said(f"There is no tool {name!r}. Nothing was paid.", True, "invalid_input"))
        try:
            arguments = card.args.model_validate(given).model_dump(exclude_unset=True)
        except ValidationError as error:
            words = "\n".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors()[:10])
            return result(Said(f"{words}\nNothing was paid.", True, "invalid_input"))
        asking = _Asking(self, card, arguments, session)
        answered = session.answered(_Asking.KEY)
        async with session.telling(heartbeat_s(self.wait_s)) as listener:
            if answered is None and self._above is not None and (card.name == HIRE or card.quote is not None):
                stopped = await self._unapproved(card, arguments, session)
                if stopped is not None:
                    return stopped
            call = Call(listener=listener, wait_s=asking.left_s)
            if answered is None:
                said = await asking.put(await self.actions.arun(card.act(arguments, call)), call)
            else:
                said = await asking.take(answered, call)
        if isinstance(said, dict):
            return said
        if said.code == "needs_approval" and said.receipt is not None:
            hire_id = said.receipt.hire_id
            how = f"The user answers with: masumi-tools approve {hire_id}, or masumi-tools deny {hire_id}."
            said = replace(said, text=f"{said.text} {how}")
        return result(said)

    # The person's yes ------------------------------------------------------------------------

    async def _unapproved(
        self, card: Card, arguments: dict[str, Any], session: Session
    ) -> dict[str, Any] | None:
        """What is answered instead of a hire that a person has not approved; None where it may go on.

        Only a clear yes pays. The hire is held to the price that the person was shown.
        """
        approving = Approval(self.actions, card.quote.target if card.quote else None, self._above)
        call = Call()
        if not await anyio.to_thread.run_sync(approving.asks, arguments, call):
            return None
        question = await anyio.to_thread.run_sync(approving.question, arguments, call)
        seal = self.seal_of(card.name, arguments, question)
        answered = session.answered(_APPROVAL)
        if session.asks_by_result and answered is None:
            return session.question(_APPROVAL, question, _APPROVE, seal)
        if session.asks_by_result and answered is not None:
            reply = answered.reply if hmac.compare_digest(answered.state, seal) else Reply("none")
        else:
            reply = await session.ask(question, _APPROVE)
        if reply.action == "accept" and reply.content.get("approve") is True:
            approving.vouch(arguments, call, "the user of an MCP host")
            return None
        if not session.can_ask and self._waits:
            return None  # the question waits in the journal, and the hire for its answer
        why = "this host cannot ask its user" if not session.can_ask else "it was not approved"
        words = f"the price needs the user's approval, and {why}; the limit is --approve-above"
        return result(Said(not_hired(words), True, "refused"))

    def seal_of(self, name: str, arguments: dict[str, Any], question: str) -> str:
        """Binds an answer to this server, this very call and the price that was shown."""
        asked = json.dumps([name, arguments, question], sort_keys=True, default=repr)
        return hmac.new(self._seal, asked.encode(), hashlib.sha256).hexdigest()


class _Asking:
    """The question of a service (`needs_input`), put to the person of one call in a form.

    Only what the person sends is answered. Declined, closed, broken or not a flat form: the question stays
    open, and the text of the answer names the tool that answers it.
    """

    KEY: Final = "answer"

    def __init__(self, tools: McpTools, card: Card, arguments: dict[str, Any], session: Session) -> None:
        self._tools, self._session = tools, session
        self._call = (card.name, arguments)
        self._until = time.monotonic() + tools.wait_s

    @property
    def left_s(self) -> float:
        """For how long this call still waits for a hire: the person's time counts."""
        return max(self._until - time.monotonic(), LEAST_WAIT_S)

    async def put(self, said: Said, call: Call) -> Said | dict[str, Any]:
        """The words of a call, after its service's questions were answered as far as a person did."""
        for _ in range(MOST_QUESTIONS):
            receipt = said.receipt
            form = form_of(receipt) if said.code == "needs_input" and receipt else None
            if receipt is None or form is None or not self._session.can_ask:
                break
            if _identity(receipt) in self._tools.declined:
                return _noted(said, "decline")
            if self._session.asks_by_result:
                state = f"{receipt.hire_id} {self._seal(receipt)}"
                return self._session.question(self.KEY, form_words(receipt), form, state)
            reply = await self._session.ask(form_words(receipt), form)
            said = await self._answer(said, receipt, reply, call)
            if reply.action != "accept":
                break
        return said

    async def take(self, answered: Answered, call: Call) -> Said | dict[str, Any]:
        """The words of a second call, which brings what the person answered to the question of the first."""
        actions = self._tools.actions
        hire_id, _, seal = answered.state.partition(" ")
        said = await actions.arun(actions.check(hire_id, call, 0))
        if said.receipt is None or not hmac.compare_digest(seal, self._seal(said.receipt)):
            return said
        if said.code != "needs_input":
            return said
        said = await self._answer(said, said.receipt, answered.reply, call)
        return await self.put(said, call) if answered.reply.action == "accept" else said

    async def _answer(self, said: Said, receipt: Receipt, reply: Reply, call: Call) -> Said:
        if reply.action == "decline":
            self._tools.declined.add(_identity(receipt))
        if reply.action != "accept":
            return _noted(said, reply.action)
        actions = self._tools.actions
        now = await actions.arun(actions.check(receipt.hire_id, call, 0))
        if now.receipt is None or now.receipt.question != receipt.question:
            return now  # another has answered it meanwhile
        made = await actions.arun(actions.answer(receipt.hire_id, reply.content, call, self.left_s))
        if made.code == "invalid_input":
            how = f"The question is still open: ask the user, then call {ANSWER} with hire_id {receipt.hire_id}."
            made = replace(made, text=f"{made.text} {how}")
        return made

    def _seal(self, receipt: Receipt) -> str:
        name, arguments = self._call
        return self._tools.seal_of(name, arguments, _identity(receipt))


def _identity(receipt: Receipt) -> str:
    """One question of one hire."""
    return json.dumps([receipt.hire_id, receipt.question], sort_keys=True, default=repr)


_NOTES: Final = {
    "decline": "The user was shown the question in a form and declined to answer it; the question stays open.",
    "cancel": "The user closed the form with the question and did not answer it; the question stays open.",
    "none": "This host could not show the question to the user in a form; the question stays open.",
}


def _noted(said: Said, action: str) -> Said:
    state, newline, rest = said.text.partition("\n")
    return replace(said, text=f"{state} {_NOTES[action]}{newline}{rest}")
