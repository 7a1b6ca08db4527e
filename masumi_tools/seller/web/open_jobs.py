"""What is asked of jobs that there are: where one is, and the answers of the buyer's people to its questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.inputs import check, read_input_schema
from masumi_tools.proof.hashing import check_hashable, input_hash
from masumi_tools.seller.jobs.job import Job, JobState, Rules, answer_too_late, lose, move
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.seller.web.requests import Refusal, bad, first, schema_hashes


class OpenJobs:
    """Reads jobs and takes answers. `ready` hears of a job that waits for a worker, `wake` of one that goes on."""

    def __init__(
        self,
        table: JobTable,
        rules: Rules,
        *,
        dead: Callable[[str], bool],
        now_ms: Callable[[], int],
        ready: Callable[[], None],
        wake: Callable[[str], None],
    ) -> None:
        self._table = table
        self._rules = rules
        self._dead = dead
        self._now_ms = now_ms
        self._ready = ready
        self._wake = wake

    async def named(self, job_id: str) -> Job:
        """The job; Refusal 404 otherwise. SQLite answers in a fraction of a millisecond, so no thread is used."""
        job = (
            self._table.get(job_id)
            if self._table.sqlite
            else await asyncio.to_thread(self._table.get, job_id)
        )
        if job is None:
            raise Refusal(404, f"there is no job {job_id[:60]!r}")
        return job

    async def answer(self, body: Mapping[str, Any]) -> tuple[Job, str]:
        """Take people's answer to the job's question; the job and the answer's hash. Refusal otherwise."""
        job_id = first(body, "job_id", "jobId")
        if not isinstance(job_id, str) or not job_id:
            raise bad("job_id is missing", {"job_id": ["is missing"]})
        job = await self.named(job_id)
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
            late = answer_too_late(job, self._now_ms(), self._rules)
            raise Refusal(409, late or "the question was answered already")
        return after, hashed

    def _answer(self, job_id: str, status_id: str, data: dict[str, Any]) -> Job | None:
        now = self._now_ms()

        def how(job: Job) -> Job | None:
            question = job.question
            if question is None or question.status_id != status_id:
                return None
            if answer_too_late(job, now, self._rules) is not None:
                return None
            answered = replace(question, answer=data, answered_ms=now)
            job = move(job, "answered", now, questions=(*job.questions[:-1], answered))
            if not job.owner or self._dead(job.owner):
                job = lose(job, now, self._rules)
            return job

        after = self._table.change(job_id, now, how)
        if after is not None:
            self._ready() if after.state is JobState.READY else self._wake(job_id)
        return after
