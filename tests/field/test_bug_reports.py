"""Bug reports of the field, each as a test of its id's name: hiring, money and budgets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from masumi_tools.cli.run import run
from masumi_tools.errors import InputError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.buyer import AsyncBuyer, Buyer
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.net.http import Http
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from masumi_tools.tools import wording
from tests.gallery.seller import MINUTE
from tests.gallery.serving import Asked, Told
from tests.gallery.standard import Spec
from tests.gallery.street import OpenStreet
from tests.hire.clocked import ClockedAsyncBuyer, ClockedBuyer, Crash, purchases, sent
from tests.tools.market import environment_of

HELLO = {"text": "hello"}
HOUR = 3_600_000


def agent(sandbox: Sandbox, name: str) -> str:
    return sandbox.service(name).agent_identifier


class Listening(httpx.BaseTransport):
    """The sandbox, and the bytes of every POST /purchase."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._inner = sandbox.transport()
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/api/v1/purchase"):
            self.bodies.append(request.read())
        return self._inner.handle_request(request)


# ---- what the network and its services do ---------------------------------------------------------------


def test_stale_twins_in_registry(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Sandbox(seed=2) as served:
        first = served.register_service("twin", "http://127.0.0.1:9/old", "1 ADA")
        entries = [first]
        served._services.pop("twin")
        entries.append(served.register_service("twin", "http://127.0.0.1:9/new", "3 ADA"))
        for name, value in environment_of(served, f"sqlite:///{tmp_path / 'twins.sqlite3'}").items():
            monkeypatch.setenv(name, value)
        served._services["old twin"] = first  # its health check finds both up

        status = run(["hire", "twin", "text=hello", "--budget", "5 ADA"])

        told = capsys.readouterr().err
        assert status == 2, told
        assert all(entry.agent_identifier in told for entry in entries), told
        assert "1 ADA" in told and "3 ADA" in told and "Online" in told
        assert served.ledger()["purchases"] == []


def test_generic_500_hides_reason(sandbox: Sandbox, journal: Journal) -> None:
    sandbox.arm({"on": "POST /purchase", "do": "error-500", "times": 4})

    receipt = ClockedBuyer(sandbox, Budget("20 ADA"), journal).hire(
        agent(sandbox, "echo"), HELLO, patience_s=120
    )

    assert receipt.outcome == "completed"
    assert len(purchases(sandbox)) == sent(sandbox).count("POST /start_job") == 1


def test_generic_500_hides_reason_for_ever(sandbox: Sandbox, journal: Journal) -> None:
    """Nobody learns whether it was stored: the money is "maybe" until the pay window has passed."""
    sandbox.arm({"on": "POST /purchase", "do": "error-500", "times": 10_000})
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)

    first = buyer.hire(agent(sandbox, "echo"), HELLO, patience_s=120)
    second = buyer.hire(agent(sandbox, "echo"), HELLO, patience_s=120)

    assert (first.outcome, first.money) == ("open", "maybe")
    assert (second.hire_id, second.outcome) == (first.hire_id, "open")
    assert (purchases(sandbox), sent(sandbox).count("POST /start_job")) == ([], 1)


def test_provider_quota_402(street: OpenStreet) -> None:
    """The node sent the lock and its chain provider confirms nothing: nobody may say "unspent"."""
    seller, buyer = street.open(Spec), street.buyer()
    jobs = street.sandbox.world.jobs
    for job in ("_land_lock", "_expire", "_time_out"):
        setattr(jobs, job, lambda *_: None)

    receipt = buyer.hire(seller.agent, HELLO, patience_s=2 * 3600)

    row = street.purchases(seller)[0]
    assert row["NextAction"]["requestedAction"] in ("FundsLockingInitiated", "WaitingForExternalAction")
    assert (receipt.outcome, receipt.money) == ("open", "maybe")
    assert "has not seen it confirmed" in receipt.reason
    assert "In progress" in wording.told(receipt, street.now_ms())
    assert buyer.budget_lines()[0].used == 1_000_000


def test_create_retried_after_timeout(street: OpenStreet) -> None:
    class Late(Spec):
        def start_job(self, body: Any) -> Told:
            super().start_job(body)
            return Told(0, None)

    seller = street.open(Late)

    receipt = street.buyer().hire(seller.agent, HELLO, patience_s=600)

    assert (receipt.outcome, street.purchases(seller)) == ("refused", [])
    assert "may or may not have started the job" in receipt.reason
    assert street.serving.count("spec", "POST /start_job") == len(seller.jobs) == 1


def test_liveness_kill_mid_build(street: OpenStreet) -> None:
    """The seller vanishes while it works: that is told, with the money, after so many failed polls."""

    class Vanishing(Spec):
        work_ms = 40 * MINUTE

        def status(self, asked: Asked) -> Told:
            job = self.jobs[asked.query["job_id"]]
            return Told(0, None) if job.state == "running" and job.polls > 8 else super().status(asked)

        def finish(self, job: Any) -> None:
            return None

    seller, buyer = street.open(Vanishing), street.buyer()

    receipt = buyer.hire(seller.agent, HELLO, patience_s=15 * 60)
    polls = street.serving.count("spec", "GET /status")
    last = buyer.hire(seller.agent, HELLO, patience_s=4 * 3600)

    assert (receipt.outcome, receipt.money) == ("open", "locked")
    assert "does not report how its job stands" in receipt.reason
    assert "is locked in escrow" in wording.told(receipt, street.now_ms())
    assert polls < 100
    assert (last.outcome, last.refunded_text) == ("refunded", "1 ADA")


# ---- long-running tools ---------------------------------------------------------------------------------


def test_soft_timeout_not_error(sandbox: Sandbox, journal: Journal) -> None:
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    data = {"text": "ten minutes", "seconds": 600}

    handles = [buyer.hire(agent(sandbox, "slow"), data, patience_s=60) for _ in range(2)]
    done = buyer.hire(agent(sandbox, "slow"), data, patience_s=900)

    assert {handle.outcome for handle in handles} == {"open"}
    assert {handle.hire_id for handle in handles} == {done.hire_id}
    assert all("continues this hire" in wording.told(handle, sandbox.now_ms()) for handle in handles)
    assert done.outcome == "completed"
    assert len(purchases(sandbox)) == sent(sandbox).count("POST /start_job") == 1


async def test_ten_second_client_limit() -> None:
    with Sandbox(seed=2) as served:
        settings = Settings.from_sandbox(served)
        data = {"text": "slow", "seconds": 3}
        async with AsyncBuyer(settings, budget=Budget("20 ADA")) as buyer:
            for _ in range(3):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(buyer.hire(agent(served, "slow"), data), 0.7)
            done = await asyncio.wait_for(buyer.hire(agent(served, "slow"), data), 20)

        assert done.outcome == "completed"
        assert len(served.ledger()["purchases"]) == 1
        assert [seen.path for seen in served.requests].count("/start_job") == 1


# ---- budgets --------------------------------------------------------------------------------------------


def spend(buyer: ClockedBuyer, ada: int, text: str) -> Receipt:
    """A hire of a service that costs so many ADA and keeps them."""
    sandbox = buyer.sandbox
    name = f"costs {ada}"
    if name not in {service.name for service in sandbox.services}:
        sandbox.register_service(name, "http://127.0.0.1:9/x", f"{ada} ADA")
    return buyer.hire(agent(sandbox, name), {"text": text}, patience_s=5)


@pytest.mark.parametrize(("price", "fit"), [("0.5 ADA", 0), ("0.1 ADA", 1)])
def test_fan_out_over_ceiling(street: OpenStreet, price: str, fit: int) -> None:
    class Cheap(Spec):
        name = "cheap"

    class Dear(Spec):
        name = "dear"

    Cheap.price, Dear.price = price, "9.9 ADA"
    cheap, dear, buyer = street.open(Cheap), street.open(Dear), street.buyer("10 ADA")
    assert buyer.hire(dear.agent, HELLO, patience_s=0).outcome == "open"

    made = buyer.hire_many([(cheap.agent, {"text": str(n)}) for n in range(5)], patience_s=0)

    assert sorted(receipt.outcome for receipt in made) == ["open"] * fit + ["refused"] * (5 - fit)
    assert len(street.purchases(cheap)) == fit


def test_fan_out_over_ceiling_releases_what_a_failed_hire_held(street: OpenStreet) -> None:
    class Broken(Spec):
        def start_job(self, body: Any) -> Told:
            return Told(500, {"detail": "no"})

    seller, buyer = street.open(Broken), street.buyer("1 ADA")

    made = [buyer.hire(seller.agent, {"text": str(n)}, patience_s=60) for n in range(3)]

    assert all("may or may not have started the job" in receipt.reason for receipt in made)
    assert buyer.budget_lines()[0].used == 0


def test_pending_not_counted(street: OpenStreet) -> None:
    street.sandbox.world.jobs._send_lock = lambda row: None  # type: ignore[method-assign]

    class Three(Spec):
        price = "3 ADA"

    seller, buyer = street.open(Three), street.buyer("5 ADA")

    first = buyer.hire(seller.agent, {"text": "one"}, patience_s=10)
    second = buyer.hire(seller.agent, {"text": "two"}, patience_s=10)

    assert (first.outcome, first.money, second.outcome) == ("open", "maybe", "refused")
    assert "2 ADA of it is left" in second.reason
    assert len(street.purchases(seller)) == 1


def test_limit_set_but_never_read(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tool, async tool, command line, many at once, a resumed hire: a cap of nothing holds for each."""
    pytest.importorskip("langchain_core")
    from masumi_tools.langchain import MasumiAgentTool, MasumiToolkit

    nothing = Budget("0 ADA")
    with Sandbox(seed=2) as served:
        echo = agent(served, "echo")
        settings = Settings.from_sandbox(served, database_url=sqlite_url)
        with Buyer(settings, budget=nothing) as buyer:
            tool = MasumiAgentTool.for_agent(echo, buyer=buyer)
            kit = {one.name: one for one in MasumiToolkit(buyer=buyer).get_tools()}
            told = [
                tool.invoke(HELLO),
                asyncio.run(tool.ainvoke(HELLO)),
                kit["masumi_hire"].invoke({"agent": echo, "input_data": HELLO}),
                kit["masumi_hire"].invoke({"agent": echo, "input_data": HELLO, "max_price": "9 ADA"}),
            ]
            outcomes = [
                receipt.outcome for receipt in buyer.hire_many([(echo, HELLO), (echo, {"text": "b"})])
            ]
            outcomes.append(buyer.hire(echo, HELLO, max_price="9 ADA").outcome)
            outcomes.append(buyer.hire(echo, HELLO, quote=buyer.quote(echo)).outcome)

        def stops(progress: Progress) -> None:
            if progress.state is State.LISTED:
                raise Crash

        with Buyer(settings, budget=Budget("20 ADA"), on_progress=stops) as first, pytest.raises(Crash):
            first.hire(echo, {"text": "interrupted"})
        with Buyer(settings, budget=nothing) as heir:
            outcomes += [receipt.outcome for receipt in heir.sweep()]
        for name, value in environment_of(served, sqlite_url).items():
            monkeypatch.setenv(name, value)
        status = run(["hire", echo, "text=hello", "--budget", "0 ADA", "--json"])
        shown = json.loads(capsys.readouterr().out)

        assert all("Nothing was paid" in text for text in told)
        assert set(outcomes) == {"refused"}
        assert (status, shown["outcome"]) == (1, "refused")
        assert served.ledger()["purchases"] == []
        assert "/start_job" not in [seen.path for seen in served.requests]


# ---- paying and the journal -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deed", ["hang", "drop-request", "drop-reply", "error-500", "error-500-after-commit"]
)
def test_fresh_token_on_retry(sandbox: Sandbox, journal: Journal, deed: str) -> None:
    """Each repeat is the same bytes, which the node answers by what it has; never a fresh identifier."""
    sandbox.arm({"on": "POST /purchase", "do": deed, "times": 2})
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    heard = Listening(sandbox)
    buyer._http = Http(buyer.settings, transport=heard)

    receipt = buyer.hire(agent(sandbox, "echo"), HELLO, patience_s=120)

    assert receipt.outcome == "completed"
    assert len(set(heard.bodies)) == 1
    assert len(purchases(sandbox)) == sent(sandbox).count("POST /start_job") == 1


def test_same_id_other_input(sandbox: Sandbox, sqlite_url: str) -> None:
    first = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))

    def dies(told: Progress) -> None:
        if told.state is State.LOCKED:
            raise Crash

    first._flows._on_progress = dies
    with pytest.raises(Crash):
        first.hire(agent(sandbox, "echo"), HELLO, call_id="call-1")
    first._flows._on_progress = None
    for other in ((agent(sandbox, "echo"), {"text": "other"}), (agent(sandbox, "slow"), HELLO)):
        with pytest.raises(InputError, match="call_id belongs to a hire of another service or with another"):
            first.hire(*other, call_id="call-1")

    heir = ClockedBuyer(sandbox, Budget("20 ADA"), Journal(sqlite_url))
    done = heir.hire(agent(sandbox, "echo"), HELLO, call_id="call-1", patience_s=60)

    assert (done.outcome, done.result) == ("completed", "HELLO")
    assert len(purchases(sandbox)) == 1


async def test_pool_timeout_in_gather(sandbox: Sandbox, journal: Journal) -> None:
    """Two hundred hires of one caller wait for slots and for nothing else."""
    buyer = ClockedAsyncBuyer(sandbox, Budget("500 ADA"), journal)
    orders = [(agent(sandbox, "echo"), {"text": str(n)}) for n in range(60)]

    made = await buyer.hire_many(orders, patience_s=300)

    assert {receipt.outcome for receipt in made} == {"completed"}
    assert not [note for receipt in made for note in receipt.notes]
