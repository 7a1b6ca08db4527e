"""The work: what the service's answers mean while a job runs, asks for input, ends or fails."""

from __future__ import annotations

import re
from dataclasses import replace

from masumi_tools.calls.call import Reply
from masumi_tools.hire.purchase import ON_DEMAND, Event, Purchase, State
from masumi_tools.hire.replies.proof import given_again
from masumi_tools.hire.replies.words import said
from masumi_tools.hire.steps import LAST_ASKS, Ways, is_over
from masumi_tools.models import JobState, JobStatus, read_ack, read_status
from masumi_tools.text import quoted, redact

# In a row: answers "completed" without a text before the money is asked back, and no answer at all before
# a hire without escrow is given up. What was said before, while the job ran, is none of them.
EMPTY_ENOUGH = 3
GONE_ENOUGH = 20
# So many times the longest pause without a word of the service are worth telling.
SILENT_POLLS = 5
SILENT = "the service does not report how its job stands"
OTHER_WORDS = "the service says of its job"
_UNKNOWN_JOB = re.compile(
    r"\b(?:job|task|run|execution|session)(?:\b|_).{0,80}\b(?:not found|not exist|unknown|not known)"
    r"|\b(?:unknown|no such|invalid|cannot find|could not find)\s+(?:job|task|run)(?:\b|_)",
    re.IGNORECASE | re.DOTALL,
)
# The same question this long after it was answered is asked anew.
SAME_QUESTION_MS = 60_000


def status(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """GET /status. Silence, errors and 404 change nothing: the deadlines of the job decide (protocol T1)."""
    polls = p.quiet_polls + 1
    wait = min(ways.pace.job_ms * (1 + polls // 2), ways.pace.job_max_ms)
    if reply.retry_after_s is not None:
        wait = max(wait, int(reply.retry_after_s * 1000))
    asks = p.last_asks + 1 if is_over(p, now) else 0
    silent = p.silent_polls + 1
    quiet = p.but(
        quiet_polls=polls, silent_polls=silent, next_job_ms=now + wait, last_asks=min(asks, LAST_ASKS)
    )
    job = _readable(reply)
    if job is not None and job.state is JobState.UNKNOWN:
        return _in_other_words(quiet, job, now)
    if job is None:
        if p.free and silent >= GONE_ENOUGH:
            return p.move(Event.BROKEN, now, reason=f"the free service stopped answering: {said(reply)}")
        lasts = now - max(p.last_seen_job_ms, p.changed_ms) >= SILENT_POLLS * ways.pace.job_max_ms
        if lasts and p.state in (State.LOCKED, State.RUNNING) and not p.refund_wanted:
            return quiet.but(reason=f"{SILENT} ({said(reply)}); it is asked until the deadline")
        return quiet
    if p.reason.startswith((SILENT, OTHER_WORDS)):
        quiet = quiet.but(reason="")
    job = replace(job, progress=_clean(job.progress), error=_clean(job.error))
    told = p.job is None or (job.state, job.progress) != (p.job.state, p.job.progress)
    quiet = quiet.but(job=job, last_seen_job_ms=now, silent_polls=0, **({"quiet_polls": 0} if told else {}))
    if p.doubted:  # nothing but a result says anything about the one that is here
        given = job.result if job.state is JobState.COMPLETED and job.has_answer else None
        return quiet if given is None else given_again(quiet, given, now)
    if job.state in (JobState.FAILED, JobState.REFUNDED):
        return _failed(quiet, job, now, ways)
    quiet = quiet.but(failed_ms=0, reason="") if p.failed_ms and not p.refund_wanted else quiet
    if job.state is JobState.COMPLETED and job.has_answer and job.result is not None:
        return _delivered(quiet, job.result, now)
    if job.state is JobState.COMPLETED:
        why = "the service says it completed, but gives no result"
        return _without_result(quiet, why, now, quiet.quiet_polls + 1 >= EMPTY_ENOUGH)
    if job.state is JobState.AWAITING_INPUT:
        return _asks(quiet, job, now, ways)
    if p.state is State.NEEDS_INPUT:
        event = Event.FREE if p.free else Event.ANSWERED
        return quiet.move(event, now, answer=None, answer_attempts=0, answered_status=None)
    return quiet.but(answered_status=None)


def _in_other_words(p: Purchase, job: JobStatus, now: int) -> Purchase:
    """A word that is not known is an answer all the same: it is told, and decides nothing."""
    word = redact(job.word or "", 80)
    p = p.but(last_seen_job_ms=now, silent_polls=0)
    if p.state not in (State.LOCKED, State.RUNNING):
        return p
    progress = ", ".join(filter(None, (word, _clean(job.progress))))
    told = p.but(job=replace(job, progress=progress, error=_clean(job.error)))
    if p.refund_wanted:
        return told
    return told.but(
        reason=f"{OTHER_WORDS} {quoted(word)}, which is not known here; it is asked on until its deadline"
    )


def _clean(text: str | None) -> str | None:
    """Words of the service that are kept, without anything that looks like a secret."""
    return redact(text, 500) if text else text


def answered(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
    """POST /provide_input. After a lost reply only the status tells whether the answer arrived."""
    ack = read_ack(reply.content, reply.status) if reply.status is not None else None
    if ack is not None and ack.accepted:
        seen = _status_mark(p.job)
        event = Event.FREE if p.free else Event.ANSWERED
        return p.move(
            event,
            now,
            answer=None,
            answer_attempts=0,
            answered_status=seen,
            answered_ms=now,
            reason="",
            next_job_ms=now,
            quiet_polls=0,
        )
    attempts = p.answer_attempts + 1
    clear = ack is not None and ack.accepted is False and reply.status is not None and reply.status < 500
    if clear and reply.status != 429 and attempts > 1:
        reason = f"the service refused the answer: {said(reply)}"
        return p.but(answer=None, answer_attempts=0, reason=reason, next_job_ms=now)
    if attempts > 5:
        reason = f"the answer could not be delivered: {said(reply)}"
        return p.but(answer=None, answer_attempts=0, reason=reason, next_job_ms=now)
    return p.but(answer_attempts=attempts, next_job_ms=now + ways.pace.job_ms)


def _delivered(p: Purchase, result: str, now: int) -> Purchase:
    got = {"result": result, "result_ms": now, "reason": ""}
    if p.free:
        return p.move(Event.DELIVERED, now, verified=None, **got)
    if p.state in (State.LOCKED, State.NEEDS_INPUT):
        wanted = p.refund_wanted if p.refund_wanted == ON_DEMAND else ""
        return p.move(Event.DELIVERED, now, next_node_ms=now, refund_wanted=wanted, **got)
    # The money is being asked back already; the result is kept all the same.
    return p.but(next_node_ms=now, **got)


def _failed(p: Purchase, job: JobStatus, now: int, ways: Ways) -> Purchase:
    """One word of a service moves no money for good: a failure is believed when it lasts."""
    why = f"the service says that the job failed: {quoted(job.error) if job.error else 'no reason given'}"
    since = p.failed_ms or now
    p = p.but(failed_ms=since)
    if now - since >= ways.pace.failure_ms:
        return _without_result(p, why, now, True)
    again = min(p.next_job_ms, since + ways.pace.failure_ms)
    if p.state in (State.LOCKED, State.RUNNING) and not p.refund_wanted:
        return p.but(reason=f"{why}; it is asked again", next_job_ms=again)
    return p.but(next_job_ms=again)


def _without_result(p: Purchase, why: str, now: int, sure: bool) -> Purchase:
    if not sure:
        return p
    if p.free:
        return p.move(Event.BROKEN, now, reason=why)
    if p.state in (State.REFUND_REQUESTED, State.DISPUTED) or p.refund_wanted:
        return p
    return p.but(refund_wanted=why, reason=why, refund_due_ms=now)


def _asks(p: Purchase, job: JobStatus, now: int, ways: Ways) -> Purchase:
    if _status_mark(job) == p.answered_status and now - p.answered_ms < SAME_QUESTION_MS:
        return p  # the service has not taken note of the answer yet
    if p.state is State.NEEDS_INPUT:
        return p.but(next_job_ms=now + ways.pace.job_max_ms) if p.answer is None else p
    if p.state in (State.LOCKED, State.RUNNING):
        return p.move(Event.ASKS, now)
    return p


def _status_mark(job: JobStatus | None) -> str:
    """What tells one question from the next: the schema, since status ids change at every poll (protocol S5)."""
    return repr(job.input_schema) if job is not None else ""


def _readable(reply: Reply) -> JobStatus | None:
    """What the answer says of the job; None where it says nothing about it."""
    if reply.status is None:
        return None
    job = read_status(reply.content, reply.status)
    if job.state is JobState.FAILED and job.error and _UNKNOWN_JOB.search(job.error):
        return None  # a service that has forgotten a job says nothing of how it ended
    if job.state is JobState.UNKNOWN and job.word:
        return job
    return None if job.state in (JobState.NOT_FOUND, JobState.ERROR, JobState.UNKNOWN) else job
