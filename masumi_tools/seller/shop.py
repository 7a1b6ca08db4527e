"""One process of a service: table, node, workers and watch, and what the routes ask of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from uuid import uuid4

from httpx import AsyncBaseTransport

from masumi_tools.calls.registry import payment_information
from masumi_tools.errors import InputError, JournalError, SettingsError, WireError
from masumi_tools.inputs import check, read_input_schema
from masumi_tools.models import JobTimes, NodePayment, read_payment_information
from masumi_tools.money import Amount, total
from masumi_tools.net.http import AsyncHttp
from masumi_tools.proof.hashing import check_hashable, input_hash, output_candidates
from masumi_tools.seller.clock import Clock
from masumi_tools.seller.fast.saver import Saver
from masumi_tools.seller.jobs.alive import Life, process_name
from masumi_tools.seller.jobs.contract import Contracts
from masumi_tools.seller.jobs.job import Job, JobState, Rules, answer_too_late, lose, move
from masumi_tools.seller.jobs.queue import Queue
from masumi_tools.seller.jobs.runner import Runner
from masumi_tools.seller.jobs.table import JobTable, Told, service_key
from masumi_tools.seller.jobs.watch import Watch
from masumi_tools.seller.logs import JobLog
from masumi_tools.seller.metrics import Now, metrics_for
from masumi_tools.seller.offering import Offer
from masumi_tools.seller.payment_node import NodeTrouble, SellerNode, seen
from masumi_tools.seller.web.limits import Limits, Room
from masumi_tools.seller.web.requests import Refusal, bad, down, first, read_start_job, schema_hashes
from masumi_tools.seller.work.base import Work
from masumi_tools.settings import Settings

log = logging.getLogger("masumi_tools.seller")

AGENT_FACT = "agent_identifier"
SILENT_S = 8.0  # four beats that could not be saved


class Shop:
    """One process of a service. `start` and `stop` belong to its event loop; the rest is for the routes."""

    def __init__(
        self,
        offer: Offer,
        work: Work,
        settings: Settings,
        *,
        rules: Rules,
        limits: Limits,
        workers: int,
        hash_form: Literal["escaped", "raw"],
        interval_s: float,
    ) -> None:
        self.offer = offer
        self.settings = settings
        self.limits = limits
        self.rules = rules
        self.clock = Clock()
        self.owner = process_name()
        self.metrics = metrics_for(offer.name)
        self.table = JobTable(settings.database_url, rules, offer.name, self._told())
        self.agent_identifier = settings.agent_identifier or self.table.fact(AGENT_FACT) or ""
        self.seller_vkey = settings.seller_vkey
        self.source_index = offer.source_index
        self._work = work
        self._hash_form = hash_form
        self._quick = _quick_transport()  # only the user's own node and registry are asked over it
        self._http = AsyncHttp(settings, on_sandbox_now=self.clock.heard, async_transport=self._quick)
        self.node = SellerNode(settings, self._http, self.metrics.called if self.metrics else None)
        self.contracts = Contracts(self.table, offer)
        self.runner = Runner(
            self.table,
            work,
            lambda job: self.contracts.values(job, work),
            rules,
            owner=self.owner,
            workers=workers,
            now_ms=self.clock.now_ms,
            result_hash=self._result_hash,
            finished=lambda job_id: self.watch.finished(job_id),
        )
        self.queue = Queue(self.runner.claim, self.runner.perform, lambda: self.runner.free)
        self.life = Life(
            settings.database_url, service_key(offer.name), self.owner, lambda: self.watch.turning
        )
        self.watch = Watch(
            self.table,
            self.node,
            self.life,
            self.clock,
            rules,
            owner=self.owner,
            wake=self.runner.wake,
            ready=self.queue.poke,
            interval_s=interval_s,
        )
        self._saver = Saver(self.table, self.clock.now_ms)
        self._room = Room(limits)
        self._watching: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.draining = False

    def _told(self) -> Told:
        tellers: list[Told] = [JobLog(self.offer.name)]
        if self.metrics is not None:
            tellers.append(self.metrics.changed)

        def told(before: Job | None, job: Job) -> None:
            for tell in tellers:
                tell(before, job)

        return told

    async def start(self) -> None:
        """Begin to watch and to work."""
        self.loop = asyncio.get_running_loop()
        if self.agent_identifier:
            earlier = await asyncio.to_thread(self.table.adopt, self.agent_identifier)
            if earlier:
                log.warning("the jobs of this agent were kept under the name %r; they go on here", earlier)
        await asyncio.to_thread(self.life.start)
        await asyncio.to_thread(self.contracts.keep, self.clock.now_ms())
        if not self.offer.free:
            await self._learn_of_ourselves()
        self.queue.start()
        self._watching = asyncio.create_task(self.watch.run())
        log.info("selling %r with %d workers", self.offer.name, self.runner.workers)

    async def drain(self, seconds: float) -> None:
        """Take and begin no new job, and wait at most so long for those at work and for their results' way."""
        self.draining = True
        self.queue.stop()
        log.info("no new jobs are begun; %d at work get %g s", self.runner.busy, seconds)
        await asyncio.to_thread(self._idle, time.monotonic() + seconds)

    def _idle(self, end: float) -> None:
        while time.monotonic() < end and (self.runner.busy or self.watch.delivering):
            time.sleep(0.05)

    async def stop(self, wait_s: float = 5.0) -> None:
        """Stop; work in progress gets `wait_s` to end, the rest begins again at the next start."""
        if self._watching is not None:
            self._watching.cancel()
        self.queue.stop()
        await asyncio.to_thread(self.runner.stop, wait_s)
        await self._saver.end()
        await self._http.close()
        if self._quick is not None:
            await self._quick.aclose()
        try:
            await asyncio.to_thread(self.watch.give_back)
        except JournalError as error:  # the others find out by themselves
            log.warning("the jobs of this process could not be given back: %s", error)
        await asyncio.to_thread(self.life.stop)
        self.table.close()

    async def _learn_of_ourselves(self) -> None:
        """The kind of escrow and the seller's key, as far as others tell; all of it can come later too."""
        agent = self.agent_identifier
        if not agent:
            log.warning("no agent identifier yet: set MASUMI_AGENT_IDENTIFIER or run masumi-tools register")
            return
        try:
            kind = await self.node.source_of(agent)
            if self.source_index is None and kind == "Web3CardanoV2":
                self.source_index = 0
            if self.seller_vkey is None:
                self.seller_vkey = await self.node.seller_vkey(agent, kind)
        except (NodeTrouble, SettingsError) as error:
            log.warning("the node did not tell about this agent: %s", error)
        if self.seller_vkey is None and self.settings.registry_url is not None:
            reply = await self._http.send(payment_information(self.settings.registry_api, agent))
            if reply.ok:
                with contextlib.suppress(WireError):
                    self.seller_vkey = read_payment_information(reply.body).seller_vkey

    def _result_hash(self, job: Job, text: str) -> str:
        return output_candidates(job.identifier_from_purchaser, text)[self._hash_form]

    # POST /start_job ---------------------------------------------------------------------------------

    async def start_job(self, body: Mapping[str, Any], client: str) -> Job:
        """A new job with its payment made at the node; Refusal else, and nothing is kept."""
        if self.draining:
            raise down("this service is being stopped; nothing was begun, try again in a minute")
        identifier, data = read_start_job(body, self.offer, self._work)
        with self._room.place(client, self.watch.counts, self.watch.counted_s):
            return await self._begun(identifier, data, client)

    async def _begun(self, identifier: str, data: dict[str, Any], client: str) -> Job:
        now = self.clock.now_ms()
        times = self.offer.times(now)
        hashed = input_hash(identifier, data)
        state = JobState.READY
        terms: dict[str, Any] = {"free": True, "attempt": 1}
        if not self.offer.free:
            state = JobState.AWAITING_PAYMENT
            terms = self._terms(await self._payment(identifier, hashed, times, data))
        job = Job(
            job_id=str(uuid4()),
            state=state,
            agent_identifier=self.agent_identifier,
            identifier_from_purchaser=identifier,
            input_sent=data,
            input_hash=hashed,
            created_ms=now,
            changed_ms=now,
            client=client,
            contract=self.contracts.key,
            **{"submit_result_time": times.submit_result_time, **terms},
        )
        await self._save(job)
        if job.state is JobState.READY:
            self.queue.poke()
        return job

    async def _save(self, job: Job) -> None:
        try:
            await self._saver.add(job)
        except JournalError as error:
            log.error("a new job could not be saved: %s", error)
            raise down("the job could not be saved; nothing was begun, try again later") from error

    async def _payment(
        self, identifier: str, hashed: str, times: JobTimes, data: dict[str, Any]
    ) -> NodePayment:
        if not self.agent_identifier:
            raise down("this service is not registered yet")
        try:
            # A price function may compute or ask: not on the loop that every other request waits for.
            funds = await asyncio.to_thread(self.offer.funds, data) if self.offer.price_of else ()
        except Exception as error:
            log.exception("the price of a new job could not be made")
            raise down("no price can be made for this input at the moment; nothing was begun") from error
        try:
            return await self.node.make_payment(
                agent_identifier=self.agent_identifier,
                identifier_from_purchaser=identifier,
                input_hash=hashed,
                times=times,
                funds=funds,
                source_index=self.source_index,
            )
        except (NodeTrouble, SettingsError) as error:
            log.error("no payment could be made for a new job: %s", error)
            raise down(
                "the payment node makes no payment at the moment; nothing was begun, try again later"
            ) from error

    def _terms(self, payment: NodePayment) -> dict[str, Any]:
        """What a new job keeps of its payment; Refusal where the payment is not for this service's price."""
        asked = self.offer.price or payment.requested_funds
        if payment.requested_funds and total(payment.requested_funds) != total(asked):
            log.error(
                "the registry's price is %s, this service asks %s: register the new price",
                _words(payment.requested_funds), _words(asked),
            )  # fmt: skip
            raise down("this service's price is being changed; nothing was begun, try again later")
        self.seller_vkey = payment.wallet_vkey or self.seller_vkey
        return {
            "price": tuple((amount.quantity, amount.unit) for amount in asked),
            "blockchain_identifier": payment.blockchain_identifier,
            "seller_vkey": payment.wallet_vkey or self.seller_vkey or "",
            "source_type": payment.source_type or "",
            "source_index": self.source_index,
            "seller_return_address": payment.seller_return_address,
            "pay_by_time": payment.times.pay_by_time,
            "submit_result_time": payment.times.submit_result_time,
            "unlock_time": payment.times.unlock_time,
            "external_dispute_unlock_time": payment.times.external_dispute_unlock_time,
            "chain": seen(payment).chain,
        }

    # GET /status and POST /provide_input -------------------------------------------------------------

    async def job(self, job_id: str) -> Job:
        """The job; Refusal 404 else. SQLite answers in a fraction of a millisecond, so no thread is used."""
        job = self.table.get(job_id) if self.table.sqlite else await asyncio.to_thread(self.table.get, job_id)
        if job is None:
            raise Refusal(404, f"there is no job {job_id[:60]!r}")
        return job

    async def provide_input(self, body: Mapping[str, Any]) -> tuple[Job, str]:
        """Take people's answer to the job's question; the job and the answer's hash. Refusal else."""
        job_id = first(body, "job_id", "jobId")
        if not isinstance(job_id, str) or not job_id:
            raise bad("job_id is missing", {"job_id": ["is missing"]})
        job = await self.job(job_id)
        data = first(body, "input_data", "inputData", "input")
        if not isinstance(data, dict):
            raise bad("input_data must be an object", {"input_data": ["must be an object"]})
        try:
            check_hashable(data)
            hashed = input_hash(job.identifier_from_purchaser, data)
        except InputError as error:
            raise bad(error.message, error.field_errors) from error
        status_id = first(body, "status_id", "statusId")
        question = job.question
        if status_id and any(q.status_id == status_id and q.answer == data for q in job.questions):
            return job, hashed  # the same answer again, after a lost reply
        if question is None:
            raise Refusal(409, f"the job is {job.state.value} and awaits no input")
        if status_id and status_id != question.status_id:
            raise Refusal(409, "status_id is not that of the open question")
        schema_hash = body.get("input_schema_hash")
        if schema_hash and str(schema_hash) not in schema_hashes(question.schema):
            raise Refusal(409, "input_schema_hash is not that of the open question")
        try:
            check(read_input_schema(question.schema), data)
        except InputError as error:
            raise bad(error.message, error.field_errors) from error
        after = await asyncio.to_thread(self._answer, job_id, question.status_id, data)
        if after is None:
            late = answer_too_late(job, self.clock.now_ms(), self.rules)
            raise Refusal(409, late or "the question was answered already")
        return after, hashed

    def _answer(self, job_id: str, status_id: str, data: dict[str, Any]) -> Job | None:
        now = self.clock.now_ms()

        def how(job: Job) -> Job | None:
            question = job.question
            if question is None or question.status_id != status_id:
                return None
            if answer_too_late(job, now, self.rules) is not None:
                return None
            answered = replace(question, answer=data, answered_ms=now)
            job = move(job, "answered", now, questions=(*job.questions[:-1], answered))
            if not job.owner or self.life.dead(job.owner):
                job = lose(job, now, self.rules)
            return job

        after = self.table.change(job_id, now, how)
        if after is not None:
            if after.state is JobState.READY:
                self.queue.poke()
            else:
                self.runner.wake(job_id)
        return after

    # GET /availability -------------------------------------------------------------------------------

    def now(self) -> Now:
        """What the metrics show of it at this moment."""
        runner, life = self.runner, self.life
        ready = not self.wrong()
        return Now(self.watch.counts.states, runner.workers, runner.free, life.living, life.leads, ready)

    def wrong(self) -> dict[str, str]:
        """What keeps this process from doing its work now, by what is not well; empty when all is."""
        wrong: dict[str, str] = {}
        if self.draining:
            wrong["process"] = "it is being stopped"
        if self.life.silent_s > SILENT_S:
            wrong["database"] = "it does not answer"
        if not self.watch.turning:
            wrong["watch"] = "it stands still"
        if not self.offer.free:
            if not self.agent_identifier:
                wrong["registration"] = "the service is not registered yet"
            if not self.node.answers:
                wrong["node"] = "the payment node does not answer"
        return wrong

    def checks(self) -> dict[str, Any]:
        """For /ready: True or what is wrong, by part, and how many places are free."""
        parts = ("process", "database", "watch") + (() if self.offer.free else ("registration", "node"))
        wrong = self.wrong()
        return {**{part: wrong.get(part, True) for part in parts}, "free_places": self.runner.free}

    def unavailable(self) -> str | None:
        """Why a job begun now would not end well; None when it would."""
        wrong = self.wrong()
        for part, words in (
            ("process", "the service is being stopped"),
            ("database", "the database does not answer"),
            ("watch", "the service's watch stands still"),
        ):
            if part in wrong:
                return words
        if not self.offer.free:
            if not self.agent_identifier:
                return "the service is not registered yet"
            if not self.node.answers:
                return "the payment node does not answer"
        states = self.watch.counts.states
        ahead = states.get("ready", 0) + states.get("running", 0)
        wait_s = (ahead / self.runner.workers + 1) * self.runner.usual_s
        if wait_s > self.offer.work_s:
            return f"{ahead} jobs wait; a new one would not be done in time"
        return None

    @property
    def free_places(self) -> str:
        """How many of this process's places are free, in words."""
        workers = self.runner.workers
        return f"{workers - self.runner.busy} of {workers} places are free"


def _quick_transport() -> AsyncBaseTransport | None:
    try:
        from masumi_tools.seller.fast.transport import NodeTransport
    except ModuleNotFoundError:  # uvicorn without its standard extra
        return None
    return NodeTransport()


def _words(amounts: Sequence[Amount]) -> str:
    return " + ".join(str(amount) for amount in amounts) or "nothing"
