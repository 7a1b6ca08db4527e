"""What the processes of test_killed.py do: a crew that hires in its second task, and dies on order or goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from crewai import Agent, Crew, Task
from crewai.events import crewai_event_bus
from crewai.state.checkpoint_config import CheckpointConfig
from crewai.state.runtime import RuntimeState
from crewai.utilities.task_output_storage_handler import TaskOutputStorageHandler

from masumi_tools import Budget
from masumi_tools.crewai import MasumiAgentTool
from tests.crewai.models import DONE, Scripted, native
from tests.processes.acts import Points, install

HIRING, HIRED = 2, 1  # so many steps of the script are left
THOUGHT = "Thought: I know enough\nFinal Answer: a plan"
TOLD = "told"


class Watched(Scripted):
    """Tells how many steps are left, each time that it is asked. CrewAI writes and copies what an object has."""

    asked: ClassVar[Callable[[int], None]]

    def call(self, *args: Any, **options: Any) -> Any:
        type(self).asked(len(self.steps))
        return super().call(*args, **options)


def crew(agent: str, text: str, budget: str, folder: str, then: str, kill_at: str | None = None) -> int:
    """Kick off, go on from the checkpoint or replay (`then`); print what the model heard and the points passed."""
    points = Points(kill_at)
    install(points)
    checkpoints = Path(folder)

    def asked(left: int) -> None:
        if left == HIRING and then == "kickoff" and not checkpoints.exists():
            crewai_event_bus.flush()  # CrewAI's own listener writes while others still change what it writes
            RuntimeState(root=[made]).checkpoint(folder)
        if left == HIRED:
            points.reach(TOLD)

    steps = [THOUGHT, native(("hire_echo", {"text": text})), DONE]
    model = Watched(model="scripted", steps=steps[then == "checkpoint" :], seen=[])
    Watched.asked = asked
    made = _restored(checkpoints, model) if then == "checkpoint" else _new(agent, budget, model)
    if then == "replay":
        first, *_ = TaskOutputStorageHandler().load() or []
        made.replay(first["task_id"])
    else:
        made.kickoff()
    crewai_event_bus.flush()
    heard = [str(message.get("content") or "") for messages, _ in model.seen for message in messages]
    print(json.dumps({"heard": "\n".join(heard), "passed": points.passed}))
    return 0


def _new(agent: str, budget: str, model: Scripted) -> Crew:
    tool = MasumiAgentTool(agent, budget=Budget("20 ADA", name=budget))
    buyer = Agent(role="buyer", goal="hire", backstory="a buyer", llm=model, tools=[tool], verbose=False)
    tasks = [Task(description=words, expected_output="text", agent=buyer) for words in ("Plan.", "Hire.")]
    return Crew(agents=[buyer], tasks=tasks)


def _restored(checkpoints: Path, model: Scripted) -> Crew:
    last = max(checkpoints.rglob("*.json"), key=os.path.getmtime)
    made = Crew.from_checkpoint(CheckpointConfig(restore_from=str(last)))
    for agent in made.agents:  # CrewAI restores the models that it knows
        agent.llm = model
        if executor := getattr(agent, "agent_executor", None):
            executor.llm = model
    return made
