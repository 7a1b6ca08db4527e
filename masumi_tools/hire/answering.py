"""A person's answers, in both colours of a buyer: yes or no to the price that a hire waits with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from masumi_tools.hire.approvals import Decision
from masumi_tools.hire.flows import Flows
from masumi_tools.hire.receipt import Receipt
from masumi_tools.keywords import keywords

PATIENCE_S = 600.0


class Answering:
    """What a Buyer has for the person who is asked."""

    _flows: Flows
    _drive: Callable[..., Any]

    @keywords()
    def approve(
        self, hire_id: str, *, by: str = "", seen: str = "", patience_s: float = PATIENCE_S
    ) -> Receipt:
        """Say yes, in the name of `by`, to the price that a hire waits with (outcome "needs_approval"), and go on.

        The budget is asked again first, with the limits that it had, and a price of long ago is looked up
        again: another one is asked about anew. `seen` is the `digest` of the `PendingApproval` that the person
        saw: the yes is to that alone; without it, to what is asked when the call reads it. StateError when
        somebody answered before, nothing is asked, or something else than was seen; UnknownHire when there is
        no such hire. Nothing was paid by this call then.
        """
        made: Receipt = self._drive(
            lambda owner: self._flows.decide(hire_id, Decision("yes", by, "", seen), patience_s, owner),
            patience_s,
        )
        return made

    @keywords()
    def deny(self, hire_id: str, why: str = "", *, by: str = "", patience_s: float = 60) -> Receipt:
        """Say no to the price that a hire waits with: it is refused and nothing is paid. Errors as of `approve`."""
        made: Receipt = self._drive(
            lambda owner: self._flows.decide(hire_id, Decision("no", by, why, ""), patience_s, owner),
            patience_s,
        )
        return made


class AsyncAnswering:
    """What an AsyncBuyer has for the person who is asked."""

    _flows: Flows
    _drive: Callable[..., Any]

    @keywords()
    async def approve(
        self, hire_id: str, *, by: str = "", seen: str = "", patience_s: float = PATIENCE_S
    ) -> Receipt:
        """As `Buyer.approve`."""
        made: Receipt = await self._drive(
            lambda owner: self._flows.decide(hire_id, Decision("yes", by, "", seen), patience_s, owner),
            patience_s,
        )
        return made

    @keywords()
    async def deny(self, hire_id: str, why: str = "", *, by: str = "", patience_s: float = 60) -> Receipt:
        """As `Buyer.deny`."""
        made: Receipt = await self._drive(
            lambda owner: self._flows.decide(hire_id, Decision("no", by, why, ""), patience_s, owner),
            patience_s,
        )
        return made
