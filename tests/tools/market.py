"""Services of a sandbox that take any input or say anything, and a counter of what they and the node saw."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.registry.listings import fixed_pricing
from masumi_tools.sandbox.registry.routes import state_of
from masumi_tools.sandbox.sellers.mip003 import Job, Sample, Service
from masumi_tools.sandbox.sellers.samples import SAMPLES
from masumi_tools.sandbox.services import Service as Listed
from masumi_tools.sandbox.wire import Request, Response, reply
from masumi_tools.settings import Settings

ECHO = next(sample for sample in SAMPLES if sample.name == "echo")


class Told(Service):
    """A service that serves any schema as it stands, and takes any object for input."""

    schema: Any = None

    def answer(self, asked: Request) -> Response:
        if asked.path.rstrip("/") == "/input_schema" and self.schema is not None:
            if isinstance(self.schema, str):
                return Response(200, {"content-type": "application/json"}, self.schema.encode())
            return reply(200, self.schema)
        return super().answer(asked)


def repeat(job: Job) -> str:
    """The input as it arrived."""
    return json.dumps(job.data, ensure_ascii=False)


def open_service(
    sandbox: Sandbox,
    name: str,
    *,
    schema: Any = None,
    work: Callable[[Job], str] = repeat,
    **more: Any,
) -> Listed:
    """A new service of the sandbox: `schema` is served as it stands, text as text (None: one field), `work` makes the result."""
    changes = {"title": name, "work": work, **more}
    sample: Sample = replace(ECHO, name=name, fields=() if schema is not None else ECHO.fields, **changes)
    sandbox._open(sample)
    listed = sandbox.service(name)
    seller = Told(sandbox.world, sample, sandbox._sellers[name].agent)
    seller.schema = schema
    sandbox._sellers[name] = seller
    return listed


def reprice(sandbox: Sandbox, name: str, lovelace: int) -> None:
    """The service costs another price from now on, on chain and where it is listed."""
    agent = sandbox._sellers[name].agent
    assert agent.metadata is not None
    agent.metadata["agentPricing"]["fixedPricing"] = [{"amount": str(lovelace), "unit": "lovelace"}]
    entry = state_of(sandbox.world).entry(agent.agent_identifier)
    if entry is not None:
        entry["AgentPricing"] = fixed_pricing([(str(lovelace), "")])


class Counter:
    """What happened in a sandbox since this counter was made."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._seen = len(sandbox.requests)
        self._bought = len(sandbox.ledger()["purchases"])

    @property
    def jobs(self) -> int:
        """How many start_job were answered with a job."""
        seen = self._sandbox.requests[self._seen :]
        return sum(one.path == "/start_job" and one.status == 200 for one in seen)

    @property
    def tried(self) -> int:
        """How many start_job and purchases were sent, whatever became of them."""
        seen = self._sandbox.requests[self._seen :]
        return sum(one.method == "POST" and one.path in ("/start_job", "/purchase") for one in seen)

    @property
    def purchases(self) -> int:
        """How many purchases the node has more."""
        return len(self._sandbox.ledger()["purchases"]) - self._bought

    @property
    def both(self) -> tuple[int, int]:
        """Jobs and purchases."""
        return self.jobs, self.purchases


def environment_of(sandbox: Sandbox, database_url: str) -> dict[str, str]:
    """The settings of a sandbox as a process reads them from its environment."""
    return {
        "MASUMI_NODE_URL": sandbox.node_url,
        "MASUMI_NODE_TOKEN": sandbox.token,
        "MASUMI_REGISTRY_URL": sandbox.registry_url,
        "MASUMI_REGISTRY_TOKEN": sandbox.token,
        "MASUMI_DATABASE_URL": database_url,
        "MASUMI_SANDBOX": "1",
    }


def settings_of(sandbox: Sandbox, folder: Any) -> Settings:
    """Settings with a journal of their own in this folder."""
    return Settings.from_sandbox(sandbox, database_url=f"sqlite:///{folder}/hires.sqlite3")
