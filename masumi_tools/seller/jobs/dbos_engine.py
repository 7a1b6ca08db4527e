"""DBOS as the engine: a queue in the database, shared by every process that works for the service.

What was learnt of it is kept here (guides/dependencies 1.3, 1.4): an executor id of our own for each
process, a fixed application version, JSON instead of pickle, WAL, and nothing that waits for a buyer or
for people inside a workflow. A workflow of a dead process is cancelled by whoever notices the death, and
its job enqueued anew under its next attempt; DBOS by itself leaves it pending for ever.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import _dbos as _dbos_module
from dbos._serialization import DBOSPortableJSONSerializer

from masumi_tools.journal.database import open_engine
from masumi_tools.seller.jobs.engine import Dead, Perform, Waiting
from masumi_tools.seller.work.human import Abandoned

APP = "masumi-seller"
VERSION = f"{APP}-1"  # raised when a running workflow could not go on with the new code
QUEUE = "masumi-jobs"
_LOOKS_EVERY_S = 0.2
_ENDS = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


def in_use() -> str | None:
    """Why DBOS cannot be used in this process, or None: there is only one DBOS in a process."""
    if getattr(_dbos_module, "_dbos_global_instance", None) is not None:
        return "this process uses DBOS already, and there can be only one"
    return None


class DbosEngine:
    """Durable queue and workers of DBOS. One in a process; each service has a file or schema of its own."""

    name = "dbos"

    def __init__(self, database_url: str, process: str, service: str = "") -> None:
        self._process = process
        config: DBOSConfig = {
            "name": APP,
            "executor_id": process,
            "application_version": VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "ERROR",
            "notification_listener_polling_interval_sec": _LOOKS_EVERY_S,
            "run_migrations": True,
        }
        url = sa.make_url(database_url)
        if url.get_backend_name() == "sqlite":
            own = url.set(database=f"{url.database}-dbos{service}")
            open_engine(own.render_as_string(hide_password=False)).connect().close()  # puts the file in WAL
            config["system_database_url"] = own.set(drivername="sqlite").render_as_string(hide_password=False)
        else:
            config["dbos_system_schema"] = f"masumi_dbos{service}"
            config["system_database_url"] = url.set(drivername="postgresql").render_as_string(
                hide_password=False
            )
        self._config = config
        self._workflow: Any = None

    def start(self, perform: Perform, waiting: Waiting, workers: int, dead: Dead) -> None:
        self._dead = dead
        DBOS(config=self._config)
        logging.getLogger("dbos").setLevel(logging.ERROR)

        @DBOS.workflow(name="masumi_job")
        def masumi_job(job_id: str, attempt: int) -> str:
            try:
                perform(job_id, attempt)
            except Abandoned:
                return "abandoned"
            return "performed"

        self._workflow = masumi_job
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=workers,
            polling_interval_sec=_LOOKS_EVERY_S,
            on_conflict="always_update",
        )

    def enqueue(self, job_id: str, attempt: int) -> None:
        if attempt > 1:
            with contextlib.suppress(Exception):  # what a dead process left pending
                DBOS.cancel_workflow(f"{job_id}:{attempt - 1}")
        for turn in itertools.count():
            workflow_id = f"{job_id}:{attempt}" + (f":{turn}" if turn else "")
            found = DBOS.get_workflow_status(workflow_id)
            if found is None:
                with SetWorkflowID(workflow_id):
                    DBOS.enqueue_workflow(QUEUE, self._workflow, job_id, attempt)
                return
            if found.status == "PENDING" and found.executor_id and self._dead(found.executor_id):
                DBOS.resume_workflow(workflow_id, queue_name=QUEUE)  # its process died before it took the job
                return
            if found.status not in _ENDS:
                return
            # it ended without taking the job, because its process was told to stop: once more

    def stop(self) -> None:
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=0)
