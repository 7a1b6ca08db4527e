"""The rooms of the page: which address shows what, and the forms, which do nothing but call a Buyer."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from masumi_tools.errors import JournalBusy, MasumiError, SettingsError, StateError
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import receipt_of
from masumi_tools.hire.rows import purchase_of
from masumi_tools.inputs import read_input_schema
from masumi_tools.journal.looking import Filter
from masumi_tools.journal.store import Journal, now_ms
from masumi_tools.page import views
from masumi_tools.page.guard import Guard, read_form
from masumi_tools.settings import Settings
from masumi_tools.text import plain_text
from masumi_tools.tools.arguments import read_arguments

HERE = Path(__file__).parent
MOST_CSV = 100_000
MOST_JOBS = 200
DRIVE_S = 3600.0
NO_JOBS: dict[str, Any] = {
    "jobs": [], "states": {}, "income": [], "expected": [], "refunded": [], "disputes": [], "periods": {},
    "left_out": 0, "contested": 0,
}  # fmt: skip


@dataclass
class Rooms:
    """The page over one journal. `buyer` is None where nothing may be changed."""

    journal: Journal
    guard: Guard
    buyer: Buyer | None
    by: str
    jobs_of: Callable[[int], dict[str, Any]] | None = None
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    _driving: set[str] = field(default_factory=set)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "page"))

    def __post_init__(self) -> None:
        self._html = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._html.filters |= {
            "when": views.when,
            "pretty": views.pretty,
            "mark": views.mark,
            "short": plain_text,
        }
        self._html.globals |= {"outcomes": views.OUTCOMES, "cells": views.amount_cells, "left": views.left}

    def app(self) -> Starlette:
        """The application, with its guard at the door."""
        routes = [
            Route("/", self.home),
            Route("/waiting", self.waiting),
            Route("/spending", self.spending),
            Route("/hires", self.hires),
            Route("/hires/{hire_id}", self.hire),
            Route("/shop", self.shop),
            Route("/events", self.events),
            Route("/{table}.csv", self.table),
            Route("/hires/{hire_id}/{deed}", self.deed, methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]
        door = Middleware(BaseHTTPMiddleware, dispatch=self.guard)
        return Starlette(routes=routes, middleware=[door], exception_handlers={MasumiError: self.failed})

    # Rooms --------------------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        return RedirectResponse("/waiting", 303)

    async def waiting(self, request: Request) -> Response:
        """What a person has to decide."""

        def read() -> dict[str, Any]:
            wanted = Filter(states=(State.NEEDS_INPUT.value,))
            made = views.receipts(self.journal, wanted)
            questions = [(one, read_input_schema(one.question)) for one in made]
            return {"asked": views.asked(self.journal), "questions": questions}

        return await self._page(request, "waiting", read)

    async def spending(self, request: Request) -> Response:
        """What was spent and is bound, per budget, day and service, never without its unit."""

        def read() -> dict[str, Any]:
            units = views.units(self.journal)
            chosen = request.query_params.get("unit", units[0][0] if units else "")
            if chosen not in [unit for unit, _ in units]:
                chosen = units[0][0] if units else ""
            return {
                "budgets": views.budgets(self.journal),
                "units": units,
                "unit": chosen,
                "unit_name": dict(units).get(chosen, ""),
                "days": views.by_day(self.journal, chosen) if units else [],
                "services": views.by_service(self.journal, chosen) if units else [],
                "deadlines": views.deadlines(self.journal),
            }

        return await self._page(request, "spending", read)

    async def hires(self, request: Request) -> Response:
        """All hires, by state, budget and words, fifty at a time."""
        given = request.query_params
        group, words, number = given.get("state", ""), given.get("q", "")[:200], _number(given.get("page"))

        def read() -> dict[str, Any]:
            wanted = Filter(
                states=views.GROUPS.get(group, ()), budget=given.get("budget") or None, words=words
            )
            count, ids = self.journal.found(wanted, views.PAGE, (number - 1) * views.PAGE)
            last = max(1, -(-count // views.PAGE))
            at = min(number, last)
            if at != number:
                count, ids = self.journal.found(wanted, views.PAGE, (at - 1) * views.PAGE)
            return {
                "made": views.receipts_of(self.journal, ids),
                "count": count,
                "at": at,
                "last": last,
                "groups": list(views.GROUPS),
                "group": group,
                "words": words,
                "budget": given.get("budget", ""),
                "names": [name for name in self.journal.budgets() if name],
            }

        return await self._page(request, "hires", read)

    async def hire(self, request: Request) -> Response:
        """One hire: its time line, its receipt, and what can be done."""
        hire_id = request.path_params["hire_id"]

        def read() -> dict[str, Any] | None:
            row = self.journal.get(hire_id)
            if row is None:
                return None
            made = receipt_of(purchase_of(row))
            spec = read_input_schema(made.question) if made.outcome == "needs_input" else None
            refundable = made.money in ("maybe", "locked") and made.result is None
            waits = views.waits(self.journal, row) if made.outcome == "needs_approval" else None
            return {
                "one": made,
                "checks": made.verify(),
                "spec": spec,
                "refundable": refundable,
                "waits": waits,
            }

        return await self._page(request, "hire", read)

    async def shop(self, request: Request) -> Response:
        """For sellers: jobs, income, what is due and what is disputed."""
        return await self._page(request, "shop", lambda: {"shop": self._jobs()})

    def _jobs(self, most: int = MOST_JOBS) -> dict[str, Any]:
        return self.jobs_of(most) if self.jobs_of else NO_JOBS

    async def table(self, request: Request) -> Response:
        """A room's table as CSV."""
        name = request.path_params["table"]
        made = await anyio.to_thread.run_sync(lambda: self._table(name))
        if made is None:
            return PlainTextResponse("There is no such table.", 404)
        headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
        return Response("".join(_csv(made)), media_type="text/csv; charset=utf-8", headers=headers)

    def _table(self, name: str) -> Sequence[Sequence[Any]] | None:
        if name == "hires":
            head = [
                "hire",
                "outcome",
                "service",
                "agent_identifier",
                "budget",
                "created_ms",
                "price",
                "paid",
                "back",
            ]
            made = views.receipts(self.journal, Filter(), limit=MOST_CSV)
            more = self.journal.count() - len(made) if len(made) == MOST_CSV else 0
            left_out = [[_and_more(more)]] if more > 0 else []
            return [head, *([r.hire_id, r.outcome, r.service, r.agent_identifier, r.budget, r.created_ms,
                             " + ".join(map(str, r.price)), r.paid_text, r.refunded_text] for r in made), *left_out]  # fmt: skip
        if name == "spending":
            parts = ("limit", "left", "reserved", "locked", "spent", "refunded")
            lines = [(view.name, shown) for view in views.budgets(self.journal) for _, shown, _ in view.lines]
            return [
                ["budget", *parts],
                *([one, *(shown.get(part, "") for part in parts)] for one, shown in lines),
            ]
        if name == "waiting":
            shown = [one for one, _ in views.asked(self.journal)]
            head = ["hire", "service", "price", "budget", "asked_ms", "until_ms"]
            return [
                head,
                *([s.hire_id, s.name, s.price_text, s.budget, s.asked_ms, s.until_ms] for s in shown),
            ]
        if name == "shop":
            found = self._jobs(MOST_CSV)
            head = list(found["jobs"][0]) if found["jobs"] else ["job_id"]
            left_out = [[_and_more(found["left_out"])]] if found["left_out"] else []
            return [head, *([job.get(column) for column in head] for job in found["jobs"]), *left_out]
        return None

    async def events(self, request: Request) -> Response:
        """Says that something was saved since the page was read, so that it may be read anew."""
        before = request.query_params.get("since") or await anyio.to_thread.run_sync(self.journal.stamp)

        async def told() -> Any:
            nonlocal before
            yield ": here\n\n"
            while not self.closing.is_set():
                for _ in range(4):
                    if await request.is_disconnected() or self.closing.is_set():
                        return
                    await asyncio.sleep(0.25)
                now = await anyio.to_thread.run_sync(self.journal.stamp)
                if now != before:
                    before = now
                    yield "data: changed\n\n"

        return StreamingResponse(told(), media_type="text/event-stream")

    # Deeds --------------------------------------------------------------------------------------

    async def deed(self, request: Request) -> Response:
        """approve, deny, answer or refund: one call of the buyer; the rest goes on in the background."""
        hire_id, deed = request.path_params["hire_id"], request.path_params["deed"]
        form, buyer = await read_form(request), self.buyer
        if buyer is None:
            return PlainTextResponse("This page only shows.", 403)

        def act() -> None:
            if deed == "approve":
                buyer.approve(hire_id, by=self.by, seen=form.get("seen") or "nothing", patience_s=0)
            elif deed == "deny":
                buyer.deny(hire_id, form.get("why", ""), by=self.by, patience_s=5)
            elif deed == "refund":
                buyer.refund(hire_id, patience_s=5)
            elif deed == "answer":
                question = buyer.receipt(hire_id).question
                if form.get("seen") != views.mark(question):
                    raise StateError(
                        "the service asks something else by now; nothing was sent: look at it again"
                    )
                spec = read_input_schema(question)
                given = {
                    name.removeprefix("field."): text for name, text in form.items() if name[:6] == "field."
                }
                data = read_arguments(spec, {name: text for name, text in given.items() if text != ""})
                buyer.answer(hire_id, data, seen=question, patience_s=0)

        if deed not in ("approve", "deny", "refund", "answer"):
            return PlainTextResponse("There is no such thing to do.", 404)
        try:
            await anyio.to_thread.run_sync(act)
        except MasumiError as error:
            words = error.message
            return await self._page(request, "sorry", lambda: {"words": words, "hire_id": hire_id}, 409)
        self._drive(hire_id)
        return RedirectResponse(f"/hires/{hire_id}", 303)

    def _drive(self, hire_id: str) -> None:
        """Go on with the hire in a thread; any other process may do the same, and one of them does."""
        buyer = self.buyer
        if buyer is None or hire_id in self._driving:
            return
        self._driving.add(hire_id)
        self._pool.submit(self._go_on, buyer, hire_id)

    def _go_on(self, buyer: Buyer, hire_id: str) -> None:
        try:
            while not self.closing.is_set():
                try:
                    buyer.resume(hire_id, patience_s=DRIVE_S)
                    return
                except JournalBusy:  # another process moves it just now
                    time.sleep(1)
        except MasumiError:
            pass  # the record says what is wrong, and the next call goes on
        finally:
            self._driving.discard(hire_id)

    # Inside --------------------------------------------------------------------------------------

    async def failed(self, request: Request, error: Exception) -> Response:
        """An error in words."""
        words = error.message if isinstance(error, MasumiError) else "Something went wrong here."
        return await self._page(request, "sorry", lambda: {"words": words, "hire_id": ""}, 503)

    async def _page(
        self, request: Request, room: str, read: Callable[[], dict[str, Any] | None], status: int = 200
    ) -> Response:
        def made() -> str | None:
            stamp = self.journal.stamp()
            found = read()
            if found is None:
                return None
            template = self._html.get_template(f"{room}.html")
            return template.render(
                room=room,
                now=self.now(),
                stamp=stamp,
                can_write=self.buyer is not None,
                csrf=lambda path: self.guard.csrf(request, path),
                **found,
            )

        text = await anyio.to_thread.run_sync(made)
        if text is None:
            return PlainTextResponse("There is no such hire in this journal.", 404)
        return HTMLResponse(text, status)

    def now(self) -> int:
        """The node's time as far as it is known, in ms."""
        return self.buyer.now_ms() if self.buyer else now_ms()

    def close(self) -> None:
        """Let go of what is driven; it stays resumable."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self.buyer is not None:
            self.buyer.close()
        self.journal.close()


def rooms_of(
    settings: Settings,
    guard: Guard,
    *,
    read_only: bool,
    by: str,
    shop: Callable[[int], dict[str, Any]] | None = None,
) -> Rooms:
    """The page over the journal of these settings; JournalError when it cannot be opened.

    Without a node nothing can be driven, so that the page only shows.
    """
    journal = Journal(settings.database_url)
    buyer = None
    if not read_only:
        try:
            buyer = Buyer(settings, journal=journal)
        except SettingsError:
            buyer = None
    return Rooms(journal, guard, buyer, by, shop)


def _number(text: str | None) -> int:
    return max(1, int(text)) if text and text.isascii() and text.isdigit() and len(text) < 7 else 1


def _csv(table: Sequence[Sequence[Any]]) -> Iterator[str]:
    out = io.StringIO()
    writer = csv.writer(out)
    for row in table:
        writer.writerow([_cell(value) for value in row])
    yield out.getvalue()


def _and_more(left_out: int) -> str:
    return f"and {left_out} more, which the command line writes: masumi-tools hires --csv, jobs --all --csv"


def _cell(value: Any) -> Any:
    """A value for a spreadsheet: services' own words are among them, and a leading sign would be a formula."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
