"""The journal's table of approvals: questions to a person, and the first answer to each, which alone counts.

Beside them, the ends that somebody waits for: a row for each way of telling, told as a question is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from masumi_tools.journal.database import explained
from masumi_tools.journal.tables import approvals, hires, pages

TELLINGS = 8  # how often a notice is tried
FIRST_PAUSE_MS = 60_000  # after the first try; doubled after each other one, up to an hour
# In the place of a digest: the end of a hire, to be posted, to be given to a function, to be told to an equal call.
ENDS = END_POSTED, END_CALLED, END_ASKED = "end.posted", "end.called", "end.asked"


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one hire as it was then (its digest), and the answer: "yes", "no", "expired" or ""."""

    hire_id: str
    digest: str
    asked_ms: int
    until_ms: int
    answer: str = ""
    by: str = ""
    why: str = ""
    at_ms: int = 0
    tellings: int = 0  # how often somebody was told of it; -1 when it has arrived
    tell_ms: int = 0  # before which it is not told again


class Questions:
    """What a Journal does with questions and answers. Each write is one transaction."""

    @property
    def _engine(self) -> sa.Engine:
        raise NotImplementedError

    @property
    def _reading(self) -> sa.Engine:
        raise NotImplementedError

    def ask(self, question: Question) -> Question:
        """Keep the question; one that was asked of the same hire in the same words keeps its answer."""
        with explained("asking for approval"):
            try:
                with self._engine.begin() as db:
                    db.execute(approvals.insert().values(**_columns(question)))
                return question
            except sa.exc.IntegrityError:
                return self.question(question.hire_id, question.digest) or question

    def answer(self, question: Question, answer: str, by: str, why: str, at_ms: int) -> tuple[Question, bool]:
        """The question with its answer, and whether it is this one: the first answer stays."""
        mine = sa.and_(
            approvals.c.hire_id == question.hire_id,
            approvals.c.digest == question.digest,
            approvals.c.answer == "",
        )
        with explained("answering"), self._engine.begin() as db:
            values = {"answer": answer, "answered_by": by, "why": why, "at_ms": at_ms}
            won = db.execute(approvals.update().where(mine).values(**values)).rowcount == 1
        return self.question(question.hire_id, question.digest) or question, won

    def question(self, hire_id: str, digest: str | None = None) -> Question | None:
        """The newest question about this hire, or that of this digest; None where nothing was asked."""
        query = sa.select(approvals).where(approvals.c.hire_id == hire_id, _IS_QUESTION)
        if digest is not None:
            query = query.where(approvals.c.digest == digest)
        with explained("reading"), self._reading.connect() as db:
            found = db.execute(query.order_by(*_NEWEST).limit(1)).first()
        return _question(found) if found else None

    def unanswered(self, state: str, limit: int = 1_000) -> list[Question]:
        """The open questions about hires in this state, the oldest first, at most `limit` of them."""
        query = (
            sa.select(approvals)
            .join(hires, hires.c.hire_id == approvals.c.hire_id)
            .where(approvals.c.answer == "", hires.c.state == state, _IS_QUESTION)
            .order_by(approvals.c.asked_ms, approvals.c.hire_id, approvals.c.digest)
            .limit(limit)
        )
        with explained("reading"), self._reading.connect() as db:
            return [_question(found) for found in db.execute(query)]

    def to_tell(self, question: Question, now: int) -> bool:
        """Whether this caller is the one to tell of the question now; it is not told again for a while."""
        if question.answer or not 0 <= question.tellings < TELLINGS or now < question.tell_ms:
            return False
        pause = min(FIRST_PAUSE_MS << question.tellings, 60 * 60_000)
        mine = sa.and_(
            approvals.c.hire_id == question.hire_id,
            approvals.c.digest == question.digest,
            approvals.c.tellings == question.tellings,
        )
        with explained("telling of a question"), self._engine.begin() as db:
            values = {"tellings": question.tellings + 1, "tell_ms": now + pause}
            return db.execute(approvals.update().where(mine).values(**values)).rowcount == 1

    def told(self, question: Question) -> None:
        """The notice has arrived. An end that was told has no row any more."""
        mine = sa.and_(approvals.c.hire_id == question.hire_id, approvals.c.digest == question.digest)
        with explained("telling of a question"), self._engine.begin() as db:
            db.execute(approvals.delete().where(mine, ~_IS_QUESTION))
            db.execute(approvals.update().where(mine).values(tellings=-1))

    def await_end(self, hire_id: str) -> None:
        """Somebody was told that the hire goes on: its end is to be told, once in each way."""
        with explained("saving who waits"), self._engine.begin() as db:
            db.execute(approvals.delete().where(approvals.c.hire_id == hire_id, ~_IS_QUESTION))
            ends = (Question(hire_id, way, asked_ms=0, until_ms=0) for way in ENDS)
            db.execute(approvals.insert(), [_columns(end) for end in ends])

    def end_heard(self, hire_id: str) -> None:
        """Who waited has the end already: it is not told any more."""
        with explained("saving who waits"), self._engine.begin() as db:
            db.execute(approvals.delete().where(approvals.c.hire_id == hire_id, ~_IS_QUESTION))

    def awaits(self, hire_id: str) -> bool:
        """Whether who wants the same as this hire gave was told last that it goes on."""
        mine = sa.and_(approvals.c.hire_id == hire_id, approvals.c.digest == END_ASKED)
        with explained("reading"), self._reading.connect() as db:
            return db.scalar(sa.select(sa.exists().where(mine))) is True

    def to_be_told(
        self, way: str, states: Sequence[str], since_ms: int, now: int, limit: int = 100
    ) -> list[Question]:
        """The ends that are to be told in this way now, of hires that came into one of these states since then."""
        query = (
            sa.select(approvals)
            .join(hires, hires.c.hire_id == approvals.c.hire_id)
            .where(approvals.c.digest == way, approvals.c.tellings.between(0, TELLINGS - 1))
            .where(approvals.c.tell_ms <= now, hires.c.state.in_(states), hires.c.changed_ms >= since_ms)
            .order_by(hires.c.changed_ms, approvals.c.hire_id)
            .limit(limit)
        )
        with explained("reading"), self._reading.connect() as db:
            return [_question(found) for found in db.execute(query)]

    def page_runs(self, url: str, until_ms: int) -> None:
        """A page over this journal can be reached at `url`, at least until then (this machine's clock)."""
        with explained("saving the page's address"), self._engine.begin() as db:
            db.execute(pages.delete().where(pages.c.url == url))
            if until_ms:
                db.execute(pages.insert().values(url=url, until_ms=until_ms))

    def page(self, now: int) -> str | None:
        """The address of a page that runs now; None where none does."""
        query = sa.select(pages.c.url).where(pages.c.until_ms > now).order_by(pages.c.until_ms.desc())
        with explained("reading"), self._reading.connect() as db:
            return db.scalar(query.limit(1))


_IS_QUESTION = approvals.c.digest.not_in(ENDS)
_NEWEST = (approvals.c.asked_ms.desc(), approvals.c.digest.desc())


def _columns(question: Question) -> dict[str, Any]:
    return {
        "hire_id": question.hire_id,
        "digest": question.digest,
        "asked_ms": question.asked_ms,
        "until_ms": question.until_ms,
        "answer": question.answer,
        "answered_by": question.by,
        "why": question.why,
        "at_ms": question.at_ms,
        "tellings": question.tellings,
        "tell_ms": question.tell_ms,
    }


def _question(found: Any) -> Question:
    return Question(
        hire_id=found.hire_id,
        digest=found.digest,
        asked_ms=found.asked_ms,
        until_ms=found.until_ms,
        answer=found.answer,
        by=found.answered_by,
        why=found.why,
        at_ms=found.at_ms,
        tellings=found.tellings,
        tell_ms=found.tell_ms,
    )
