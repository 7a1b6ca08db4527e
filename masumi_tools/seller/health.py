"""Whether one process of a shop can do its work now, for machines, for buyers and for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from masumi_tools.seller.agent import Agent
from masumi_tools.seller.jobs.alive import Life
from masumi_tools.seller.jobs.runner import Runner
from masumi_tools.seller.jobs.watch import Watch
from masumi_tools.seller.metrics import Now
from masumi_tools.seller.offering import Offer
from masumi_tools.seller.payment_node import SellerNode

SILENT_S = 8.0  # four beats that could not be saved
# Without these nothing can be begun, and buyers are told why.
_WORDS = {
    "process": "the service is being stopped",
    "database": "the database does not answer",
    "watch": "the service's watch stands still",
}


class Health:
    """Looks at the parts of a process. `stopping` tells whether it takes no new jobs any more."""

    def __init__(
        self,
        offer: Offer,
        agent: Agent,
        node: SellerNode,
        life: Life,
        watch: Watch,
        runner: Runner,
        stopping: Callable[[], bool],
    ) -> None:
        self._offer = offer
        self._agent = agent
        self._node = node
        self._life = life
        self._watch = watch
        self._runner = runner
        self._stopping = stopping

    def now(self) -> Now:
        """What the metrics show of it at this moment."""
        runner, life = self._runner, self._life
        ready = not self.wrong()
        return Now(self._watch.counts.states, runner.workers, runner.free, life.living, life.leads, ready)

    def wrong(self) -> dict[str, str]:
        """What keeps this process from doing its work now, by what is not well; empty when all is."""
        wrong: dict[str, str] = {}
        if self._stopping():
            wrong["process"] = "it is being stopped"
        if self._life.silent_s > SILENT_S:
            wrong["database"] = "it does not answer"
        if not self._watch.turning:
            wrong["watch"] = "it stands still"
        if not self._offer.free:
            if not self._agent.identifier:
                wrong["registration"] = "the service is not registered yet"
            if not self._node.answers:
                wrong["node"] = "the payment node does not answer"
        return wrong

    def checks(self) -> dict[str, Any]:
        """For /ready: True or what is wrong, by part, and how many places are free."""
        parts = ("process", "database", "watch") + (() if self._offer.free else ("registration", "node"))
        wrong = self.wrong()
        return {**{part: wrong.get(part, True) for part in parts}, "free_places": self._runner.free}

    def unavailable(self) -> str | None:
        """Why a job begun now would not end well; None when it would."""
        wrong = self.wrong()
        if (part := next((part for part in _WORDS if part in wrong), None)) is not None:
            return _WORDS[part]
        if not self._offer.free:
            if not self._agent.identifier:
                return "the service is not registered yet"
            if not self._node.answers:
                return "the payment node does not answer"
        states = self._watch.counts.states
        ahead = states.get("ready", 0) + states.get("running", 0)
        wait_s = (ahead / self._runner.workers + 1) * self._runner.usual_s
        if wait_s > self._offer.deadlines.work_s:
            return f"{ahead} jobs are queued; a new one would miss its deadline"
        return None

    @property
    def free_places(self) -> str:
        """How many of this process's places are free, in words."""
        workers = self._runner.workers
        return f"{workers - self._runner.busy} of {workers} places are free"
