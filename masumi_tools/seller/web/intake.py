"""New jobs: who has a place, what the payment node asks for them, and the record that is kept before a buyer pays."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from masumi_tools.errors import JournalError, SettingsError
from masumi_tools.models import JobTimes, NodePayment
from masumi_tools.money import Amount, total
from masumi_tools.proof.hashing import input_hash
from masumi_tools.seller.agent import Agent
from masumi_tools.seller.fast.saver import Saver
from masumi_tools.seller.jobs.job import Job, JobState
from masumi_tools.seller.jobs.table import Counts
from masumi_tools.seller.offering import Offering
from masumi_tools.seller.payment_node import NodeTrouble, SellerNode, seen
from masumi_tools.seller.web.limits import Room
from masumi_tools.seller.web.requests import down, read_start_job

log = logging.getLogger("masumi_tools.seller")


class Intake:
    """Takes new jobs for one process. `counted` tells the open jobs, and when that count began; `count` counts anew."""

    def __init__(
        self,
        offering: Offering,
        agent: Agent,
        node: SellerNode,
        saver: Saver,
        *,
        contract: str,
        counted: Callable[[], tuple[Counts, float]],
        count: Callable[[], Awaitable[None]],
        now_ms: Callable[[], int],
    ) -> None:
        self._offering = offering
        self._offer = offering.offer
        self._agent = agent
        self._node = node
        self._saver = saver
        self._contract = contract
        self._counted = counted
        self._count = count
        self._now_ms = now_ms
        self._room = Room(offering.limits)

    async def begin(self, body: Mapping[str, Any], client: str) -> Job:
        """A new job with its payment made at the node; Refusal otherwise, and nothing is kept."""
        identifier, data = read_start_job(body, self._offer, self._offering.work)
        while not self._room.take(client, *self._counted()):
            await self._count()
        try:
            job = await self._begun(identifier, data, client)
        except BaseException:
            self._room.give(client)
            raise
        self._room.keep(client)
        return job

    async def _begun(self, identifier: str, data: dict[str, Any], client: str) -> Job:
        now = self._now_ms()
        times = self._offer.deadlines.times(now)
        hashed = input_hash(identifier, data)
        state = JobState.READY
        terms: dict[str, Any] = {"free": True, "attempt": 1}
        if not self._offer.free:
            state = JobState.AWAITING_PAYMENT
            terms = self._terms(await self._payment(identifier, hashed, times, data))
        job = Job(
            job_id=str(uuid4()),
            state=state,
            agent_identifier=self._agent.identifier,
            identifier_from_purchaser=identifier,
            input_sent=data,
            input_hash=hashed,
            created_ms=now,
            changed_ms=now,
            client=client,
            contract=self._contract,
            **{"submit_result_time": times.submit_result_time, **terms},
        )
        await self._save(job)
        return job

    async def _save(self, job: Job) -> None:
        try:
            await self._saver.add(job)
        except JournalError as error:
            log.error("a new job could not be saved: %s", error)
            raise down("the job could not be saved; no job was started, try again later") from error

    async def _payment(
        self, identifier: str, hashed: str, times: JobTimes, data: dict[str, Any]
    ) -> NodePayment:
        if not self._agent.identifier:
            raise down("this service is not registered yet")
        try:
            # A price function may compute or ask: not on the loop that every other request waits for.
            funds = await asyncio.to_thread(self._offer.funds, data) if self._offer.price_of else ()
        except Exception as error:
            log.exception("the price of a new job could not be made")
            raise down("no price can be made for this input at the moment; no job was started") from error
        try:
            return await self._node.make_payment(
                agent_identifier=self._agent.identifier,
                identifier_from_purchaser=identifier,
                input_hash=hashed,
                times=times,
                funds=funds,
                source_index=self._agent.source_index,
            )
        except (NodeTrouble, SettingsError) as error:
            log.error("no payment could be made for a new job: %s", error)
            raise down(
                "the payment node cannot create a payment now; no job was started, try again later"
            ) from error

    def _asked(self, payment: NodePayment) -> Sequence[Amount]:
        """This service's price; Refusal where the registry has another one."""
        made = payment.requested_funds
        asked = self._offer.price or made
        if made and made != asked and total(made) != total(asked):
            log.error(
                "the registry's price is %s, this service asks %s: register the new price",
                _words(made), _words(asked),
            )  # fmt: skip
            raise down("this service's price is being changed; no job was started, try again later")
        return asked

    def _terms(self, payment: NodePayment) -> dict[str, Any]:
        """What a new job keeps of its payment; Refusal where the payment is not for this service's price."""
        asked = self._asked(payment)
        self._agent.seller_vkey = payment.wallet_vkey or self._agent.seller_vkey
        return {
            "price": tuple((amount.quantity, amount.unit) for amount in asked),
            "blockchain_identifier": payment.blockchain_identifier,
            "seller_vkey": payment.wallet_vkey or self._agent.seller_vkey or "",
            "source_type": payment.source_type or "",
            "source_index": self._agent.source_index,
            "seller_return_address": payment.seller_return_address,
            "pay_by_time": payment.times.pay_by_time,
            "submit_result_time": payment.times.submit_result_time,
            "unlock_time": payment.times.unlock_time,
            "external_dispute_unlock_time": payment.times.external_dispute_unlock_time,
            "chain": seen(payment).chain,
        }


def _words(amounts: Sequence[Amount]) -> str:
    return " + ".join(str(amount) for amount in amounts) or "nothing"
