"""A service as it is operated: health, readiness, metrics, proxies, drain, slow clients, mounting, tracing."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from masumi_tools.errors import SettingsError
from masumi_tools.seller import sell
from masumi_tools.seller.jobs.alive import Life
from masumi_tools.seller.jobs.job import Chain, Job, JobState
from masumi_tools.seller.logs import AsJson, JobLog
from masumi_tools.seller.shop import Shop
from masumi_tools.seller.web import protocol
from masumi_tools.settings import Serving, Settings
from tests.ports import free_port
from tests.seller.support import until
from tests.seller.test_jobs import job

FREE = {"input_data": {"text": "x"}}


def shouts(text: str) -> str:
    return text.upper()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path}/jobs.sqlite")


def free_service(settings: Settings, work: Any = shouts, **more: Any) -> Any:
    return sell(work, name="Free", price="free", settings=settings, interval_s=0.1, **more)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(free_service(settings).app, client=("203.0.113.9", 1)) as one:
        yield one


def done(client: Any, prefix: str = "") -> dict[str, Any]:
    started = client.post(f"{prefix}/start_job", json=FREE)
    assert started.status_code == 200, started.text

    def completed() -> Any:
        body = client.get(f"{prefix}/status", params={"job_id": started.json()["id"]}).json()
        return body if body["status"] == "completed" else None

    return dict(until(completed, "the work"))


# Health and readiness -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/health", "/ready", "/availability"])
def test_all_is_well_is_said_to_get_and_head(client: TestClient, method: str, path: str):
    answer = client.request(method, path)

    assert answer.status_code == 200 and (answer.content == b"") == (method == "HEAD")


def test_ready_says_what_is_checked_and_how_many_places_are_free(client: TestClient):
    assert client.get("/ready").json() == {
        "status": "ready",
        "checks": {"process": True, "database": True, "watch": True, "free_places": 4},
    }


@pytest.mark.parametrize(
    ("spoil", "part", "words"),
    [
        (lambda shop: setattr(shop.life, "_beaten_s", -1e9), "database", "does not answer"),
        (lambda shop: setattr(type(shop.watch), "turning", False), "watch", "stands still"),
        (lambda shop: setattr(shop, "draining", True), "process", "being stopped"),
    ],
)
def test_what_is_wrong_turns_ready_and_availability_and_health_stays(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, spoil: Any, part: str, words: str
):
    monkeypatch.setattr(Life, "beat", lambda self: None)
    shop = client.app.state.shop  # type: ignore[attr-defined]
    monkeypatch.setattr(type(shop.watch), "turning", True)
    spoil(shop)

    answer = client.get("/ready")
    assert answer.status_code == 503 and words in answer.json()["checks"][part]
    assert words in client.get("/availability").json()["message"]
    assert client.get("/health").status_code == 200


# Metrics --------------------------------------------------------------------------------------------


def test_metrics_are_for_this_machine_or_who_has_the_token(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("prometheus_client")
    monkeypatch.setenv("MASUMI_METRICS_TOKEN", "hush")
    with TestClient(free_service(settings).app, client=("127.0.0.1", 1)) as here:
        done(here)
        text = here.get("/metrics").text
        through_a_proxy = here.get("/metrics", headers={"X-Forwarded-For": "1.2.3.4"})
    with TestClient(free_service(settings).app, client=("203.0.113.9", 1)) as there:
        without, wrong, right = (
            there.get("/metrics", headers=headers).status_code
            for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Bearer hush"})
        )

    assert 'masumi_job_changes_total{service="Free",state="completed"} 1.0' in text
    assert 'masumi_work_seconds_count{service="Free",state="finished"} 1.0' in text
    assert 'masumi_workers{service="Free"} 4.0' in text and 'masumi_leads{service="Free"} 1.0' in text
    assert through_a_proxy.status_code == 404
    assert (without, wrong, right) == (404, 404, 200)


def test_income_is_counted_when_it_is_paid_out(settings: Settings):
    prometheus = pytest.importorskip("prometheus_client")
    from masumi_tools.seller.metrics import Metrics

    metrics = Metrics(prometheus, "Shop")
    before = job(JobState.COMPLETED, price=((2_000_000, ""),), chain=Chain("ResultSubmitted"))
    metrics.changed(before, job(JobState.COMPLETED, price=((2_000_000, ""),), chain=Chain("Withdrawn")))
    metrics.called("POST /payment", 0.2, "ok")
    text = prometheus.generate_latest(metrics._registry).decode()

    assert 'masumi_income_base_units_total{service="Shop",unit="lovelace"} 2e+06' in text
    assert 'masumi_node_call_seconds_count{call="POST /payment",outcome="ok"} 1.0' in text


# The log --------------------------------------------------------------------------------------------


def said(before: Job | None, after: Job, caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    with caplog.at_level(logging.INFO, "masumi_tools.seller"):
        JobLog("Shop")(before, after)
    return [json.loads(AsJson().format(record)) for record in caplog.records]


def test_a_line_of_the_log_holds_the_job_as_fields(caplog: pytest.LogCaptureFixture):
    before = job(JobState.READY, price=((2_000_000, ""),))
    after = job(JobState.FAILED, price=((2_000_000, ""),), error="no", changed_ms=before.created_ms + 1500)
    [line] = said(before, after, caplog)

    assert line["message"] == "job j: ready -> failed (no)"
    assert (line["job_id"], line["state"], line["was"], line["why"]) == ("j", "failed", "ready", "no")
    assert (line["duration_s"], line["price"], line["level"]) == (1.5, "2 ADA", "info")


def test_a_save_that_changes_nothing_for_people_is_not_logged(caplog: pytest.LogCaptureFixture):
    assert said(job(), job(tries=1), caplog) == []


def test_nothing_is_configured_where_the_program_logs_its_own_way(monkeypatch: pytest.MonkeyPatch):
    from masumi_tools.seller import logs

    ours = logging.getLogger("masumi_tools")
    logs.configure(Serving(log="json"))  # pytest's own handlers are there

    assert not any(isinstance(handler.formatter, AsJson) for handler in ours.handlers)


# From the environment --------------------------------------------------------------------------------


def test_how_a_service_is_run_is_read_from_the_environment():
    env = {
        "HOST": "0.0.0.0",
        "PORT": "9000",
        "MASUMI_DRAIN_S": "3.5",
        "MASUMI_TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1",
        "MASUMI_CORS": "https://a.example",
        "MASUMI_LOG": "json",
        "MASUMI_LOG_LEVEL": "info",
        "MASUMI_METRICS_TOKEN": "hush",
    }
    found = Serving.from_env(env)

    assert (found.host, found.port, found.drain_s, found.log, found.log_level) == (
        "0.0.0.0", 9000, 3.5, "json", "INFO",
    )  # fmt: skip
    assert found.trusted_proxies == ("10.0.0.0/8", "127.0.0.1") and found.cors == ("https://a.example",)
    assert "hush" not in repr(found)
    assert Serving.from_env({}) == Serving()


@pytest.mark.parametrize("name", ["PORT", "MASUMI_DRAIN_S", "MASUMI_LOG", "MASUMI_LOG_LEVEL"])
def test_a_variable_that_is_not_understood_is_named(name: str):
    with pytest.raises(SettingsError, match=name):
        Serving.from_env({name: "what"})


# Mounted, extended, traced -----------------------------------------------------------------------------


def test_a_service_works_where_it_is_mounted_in_another_app(settings: Settings):
    outer = FastAPI()
    outer.mount("/svc", free_service(settings).app)
    with TestClient(outer) as client:
        assert client.get("/svc/availability").json()["status"] == "available"
        assert done(client, "/svc")["result"] == "X"


def test_pages_of_named_origins_may_call(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASUMI_CORS", "https://a.example")
    with TestClient(free_service(settings).app) as client:
        named, other = (
            client.post("/start_job", json=FREE, headers={"Origin": origin}).headers
            for origin in ("https://a.example", "https://b.example")
        )

    assert named["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in other


def test_the_short_cut_is_taken_and_steps_aside_for_whoever_extends_the_app(settings: Settings):
    plain = free_service(settings).app
    assert plain.untouched

    met: list[str] = []
    extended = free_service(settings).app

    @extended.middleware("http")
    async def meet(request: Request, call_next: Any) -> Any:
        met.append(request.url.path)
        return await call_next(request)

    with TestClient(extended) as client:
        done(client)
    assert not extended.untouched and "/start_job" in met and "/status" in met


@pytest.mark.parametrize(
    "extend",
    [
        lambda app: app.dependency_overrides.__setitem__(shouts, shouts),
        lambda app: app.router.routes.insert(0, app.router.routes.pop()),
        lambda app: app.add_exception_handler(ValueError, lambda request, error: None),
        lambda app: setattr(app, "build_middleware_stack", app.build_middleware_stack),
        lambda app: setattr(app, "_is_instrumented_by_opentelemetry", True),
    ],
    ids=["override", "route", "handler", "stack", "OpenTelemetry"],
)
def test_each_way_to_extend_the_app_is_seen(settings: Settings, extend: Any):
    app = free_service(settings).app
    extend(app)

    assert not app.untouched


@pytest.mark.parametrize("instrumented", ["not", "this app", "every app"])
def test_requests_jobs_and_calls_have_spans_where_opentelemetry_is_set_up(tmp_path: Path, instrumented: str):
    """Jobs have spans of their own; FastAPI's instrumentor sees every request, the short cut stands aside."""
    pytest.importorskip("opentelemetry.instrumentation.fastapi")
    code = """
import sys
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
if sys.argv[2] == "every app":
    FastAPIInstrumentor().instrument()
from fastapi.testclient import TestClient
from tests.seller.test_operating import *
settings = Settings(database_url=sys.argv[1])
app = free_service(settings).app
if sys.argv[2] == "this app":
    FastAPIInstrumentor.instrument_app(app)
def work_span():
    return [one for one in kept.get_finished_spans() if one.name == "masumi job"]
with TestClient(app) as client:
    made = done(client)
    until(work_span, "the span")
assert made["job_id"] == work_span()[0].attributes["masumi.job_id"]
print(json.dumps(sorted({one.name for one in kept.get_finished_spans()})))
"""
    env = {name: value for name, value in os.environ.items() if name != "OTEL_SDK_DISABLED"}
    said = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path}/jobs.sqlite", instrumented],
        env=env, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert said.returncode == 0, said.stderr[-2000:]
    spans = {"masumi job", *(("POST /start_job", "GET /status") if instrumented != "not" else ())}

    assert spans <= set(json.loads(said.stdout.splitlines()[-1]))


# Proxies, connections ----------------------------------------------------------------------------------


class Process:
    """A free service as a process of its own."""

    def __init__(
        self, folder: Path, work: str = "return text.upper()", workers: str = "4", **env: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        file = folder / "shop.py"
        file.write_text(
            "import time\nfrom masumi_tools.seller import sell, Limits\n"
            f"def work(text: str) -> str:\n    {work}\n"
            "service = sell(work, name='Free', price='free', interval_s=0.1,"
            f" limits=Limits(unpaid_per_client=2), workers={workers})\n"
            "service.run()\n"
        )
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = self._started(file, folder, log, env)

    def _started(self, file: Path, folder: Path, log: Any, env: dict[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(file)],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
                "MASUMI_DATABASE_URL": f"sqlite:///{folder}/jobs.sqlite",
                "HOST": "127.0.0.1",
                "PORT": str(self.port),
                **env,
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Process:
        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return httpx.get(f"{self.url}/health", timeout=1).status_code == 200
            except httpx.HTTPError:
                return False

        until(answers, "the start", 40)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.mark.slow
def test_sigterm_drains(tmp_path: Path):
    """Work in progress ends and its result is fetched; no new job is begun; the process ends well by itself."""
    with Process(
        tmp_path,
        "time.sleep(1.5); return text.upper()",
        MASUMI_DRAIN_S="20",
        MASUMI_LOG="json",
        MASUMI_LOG_LEVEL="INFO",
    ) as one:
        with httpx.Client(base_url=one.url, timeout=5) as client:
            job_id = client.post("/start_job", json=FREE).json()["id"]
            until(lambda: client.get("/ready").json()["checks"]["free_places"] == 3, "the begin")
            one.process.send_signal(signal.SIGTERM)
            until(lambda: client.get("/ready").status_code == 503, "the drain")
            refused = client.post("/start_job", json=FREE)
            assert refused.status_code == 503 and "being stopped" in refused.text

            def result() -> Any:
                return client.get("/status", params={"job_id": job_id}).json()["result"]

            assert until(result, "the result") == "X"
        assert one.process.wait(20) == 0
        lines = [json.loads(line) for line in one.log.read_text().splitlines() if line.startswith("{")]
        assert {"completed"} <= {line.get("state") for line in lines if line.get("job_id") == job_id}


@pytest.mark.slow
def test_what_does_not_end_in_time_is_given_back_and_the_next_start_goes_on_at_once(tmp_path: Path):
    with Process(tmp_path, "time.sleep(30); return text", MASUMI_DRAIN_S="0.3") as one:
        job_id = httpx.post(f"{one.url}/start_job", json=FREE).json()["id"]
        until(lambda: httpx.get(f"{one.url}/ready").json()["checks"]["free_places"] == 3, "the begin")
        begun = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        one.process.wait(20)
        assert time.monotonic() - begun < 8
    with Process(tmp_path) as two:
        seen = until(
            lambda: httpx.get(f"{two.url}/status", params={"job_id": job_id}).json()["result"], "the work", 8
        )
    assert seen == "X"


def test_x_forwarded_for_is_believed_from_named_proxies_only(tmp_path: Path):
    from masumi_tools.seller.web import serving

    seen: list[str] = []
    for named in ((), ("127.0.0.1",)):
        app = free_service(Settings(database_url=f"sqlite:///{tmp_path}/{len(named)}.sqlite")).app
        start_job = Shop.start_job

        async def noting(self: Shop, body: Any, client: str, real: Any = start_job) -> Job:
            seen.append(client)
            return await real(self, body, client)

        port = free_port()
        served = serving._server(
            app, lambda: None, drain_s=0, host="127.0.0.1", port=port,
            **serving.believes(named),
        )  # fmt: skip
        thread = threading.Thread(target=served.run, daemon=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Shop, "start_job", noting)
            thread.start()
            until(lambda one=served: one.started, "the start")
            httpx.post(
                f"http://127.0.0.1:{port}/start_job", json=FREE, headers={"X-Forwarded-For": "198.51.100.7"}
            )
            served.should_exit = True
            thread.join(20)

    assert seen == ["127.0.0.1", "198.51.100.7"]


def test_who_sends_nothing_or_half_a_request_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from masumi_tools.seller.web import serving

    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.3)
    app = free_service(Settings(database_url=f"sqlite:///{tmp_path}/jobs.sqlite")).app
    with serving.bound() as (listening, url), serving.served(app, listening):
        host, port = "127.0.0.1", int(url.rpartition(":")[2])
        for sent in (b"", b"GET /status HT", b"GET /health HTTP/1.1\r\nhost: x\r\n"):
            with socket.create_connection((host, port), 5) as slow:
                slow.sendall(sent)
                slow.settimeout(10)
                with contextlib.suppress(ConnectionResetError):
                    assert slow.recv(100) == b""
        with httpx.Client(base_url=url) as client:  # a connection that is used, and rests, stays
            client.get("/health")
            time.sleep(0.5)
            assert client.get("/health").status_code == 200


async def test_a_body_that_does_not_come_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    from masumi_tools.seller.web import app as room

    monkeypatch.setattr(room, "BODY_WITHIN_S", 0.05)
    app = free_service(settings).app
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        import asyncio

        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    async with app.router.lifespan_context(app):
        scope = {
            "type": "http", "method": "POST", "path": "/start_job", "headers": [], "query_string": b"",
            "client": None, "server": None, "scheme": "http", "http_version": "1.1", "root_path": "",
        }  # fmt: skip
        await app(scope, receive, send)

    assert sent[0]["status"] == 408


def test_connections_fit_into_what_the_system_allows(monkeypatch: pytest.MonkeyPatch):
    from masumi_tools.seller.web import serving

    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    asked: list[Any] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))

    assert serving.connections() == 4096 - 200 and asked == [(4096, 4096)]


def test_an_id_with_nul_is_no_job_on_either_database(database_url: str):
    settings = Settings(database_url=database_url)
    with TestClient(free_service(settings).app) as client:
        asked = client.get("/status", params={"job_id": "a\0b"})
        answered = client.post("/provide_input", json={"job_id": "a\0b", "input_data": {}})

    assert (asked.status_code, answered.status_code) == (404, 404)
