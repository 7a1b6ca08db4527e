"""Figures for Prometheus, by prometheus-client (extra `metrics`). Without it nothing is counted and all else works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from masumi_tools.seller.jobs.job import ENDED, Job

_WORK_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600)
_CALL_S = (0.01, 0.05, 0.1, 0.5, 1, 5, 30)


@dataclass(frozen=True, slots=True)
class Now:
    """A shop at one moment: the open jobs of the whole service by state, and this process's places."""

    states: Mapping[str, int]
    workers: int
    free: int
    living: int
    leads: bool
    ready: bool


class Metrics:
    """What one process of a service counted since it started; gauges are read when they are asked for."""

    def __init__(self, prometheus: Any, service: str) -> None:
        self._prometheus = prometheus
        self._service = service
        self._registry = registry = prometheus.CollectorRegistry()
        self._moves = prometheus.Counter(
            "masumi_job_changes", "Jobs that came into a state here.", ["service", "state"], registry=registry
        )
        self._work = prometheus.Histogram(
            "masumi_work_seconds", "From the begin of the work to its end.", ["service", "state"],
            buckets=_WORK_S, registry=registry,
        )  # fmt: skip
        self._calls = prometheus.Histogram(
            "masumi_node_call_seconds", "Calls to the payment node.", ["call", "outcome"],
            buckets=_CALL_S, registry=registry,
        )  # fmt: skip
        self._income = prometheus.Counter(
            "masumi_income_base_units", "What was paid out, before the network's fee.", ["service", "unit"],
            registry=registry,
        )  # fmt: skip

    def changed(self, before: Job | None, job: Job) -> None:
        """A job was saved."""
        if before is None or before.state is not job.state:
            self._moves.labels(self._service, job.state.value).inc()
            if job.started_ms is not None and job.finished_ms and before and not before.finished_ms:
                took_s = max(0.0, (job.finished_ms - job.started_ms) / 1000)
                self._work.labels(self._service, job.state.value).observe(took_s)
        if before is not None and before.money != "earned" and job.money == "earned":
            for quantity, unit in job.price:
                self._income.labels(self._service, unit or "lovelace").inc(quantity)

    def called(self, name: str, took_s: float, outcome: str) -> None:
        """The node was asked; `outcome` is "ok", "refused" or "down"."""
        self._calls.labels(name, outcome).observe(took_s)

    def shown(self, now: Now) -> tuple[bytes, str]:
        """The text for Prometheus, and its content type."""
        registry = self._prometheus.CollectorRegistry()
        registry.register(_Gauges(self._prometheus, self._service, now))
        text = self._prometheus.generate_latest(registry) + self._prometheus.generate_latest(self._registry)
        return text, self._prometheus.CONTENT_TYPE_LATEST


class _Gauges:
    """What Prometheus asks for when it comes: one reading of the shop."""

    def __init__(self, prometheus: Any, service: str, now: Now) -> None:
        self._gauge = prometheus.metrics_core.GaugeMetricFamily
        self._service = service
        self._now = now

    def collect(self) -> Iterable[Any]:
        now, name = self._now, self._service
        jobs = self._gauge("masumi_jobs", "Open jobs of the service, by state.", labels=["service", "state"])
        for state, count in now.states.items():
            if state not in ENDED:
                jobs.add_metric([name, state], count)
        yield jobs
        for title, words, value in (
            ("masumi_workers", "Places for work in this process.", now.workers),
            ("masumi_workers_free", "Places that are free in this process.", now.free),
            ("masumi_processes", "Processes of the service that live.", now.living),
            ("masumi_leads", "1 where this process looks after everybody's jobs.", now.leads),
            ("masumi_ready", "1 where this process can do its work.", now.ready),
        ):
            gauge = self._gauge(title, words, labels=["service"])
            gauge.add_metric([name], float(value))
            yield gauge


def metrics_for(service: str) -> Metrics | None:
    """Metrics of this service, or None where prometheus-client is not installed."""
    try:
        import prometheus_client
    except ModuleNotFoundError:
        return None
    return Metrics(prometheus_client, service)
