"""Crews with a scripted model: native calls or the text path, one crew for each test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM


class Scripted(BaseLLM):
    """Says what its script says, one step after the other."""

    steps: list[Any] = []
    native: bool = True
    seen: list[Any] = []

    def call(self, messages: Any, tools: Any = None, *args: Any, **options: Any) -> Any:
        self.seen.append((list(messages) if isinstance(messages, list) else messages, tools))
        step = self.steps.pop(0)
        return step(messages) if callable(step) else step

    async def acall(self, messages: Any, tools: Any = None, *args: Any, **options: Any) -> Any:
        return self.call(messages, tools)

    def supports_function_calling(self) -> bool:
        return self.native

    def get_context_window_size(self) -> int:
        return 100_000


def native(*wanted: tuple[str, Any]) -> Any:
    """Native calls, each (name, arguments); text stands as it is."""
    return [
        {
            "id": f"call-{number}",
            "type": "function",
            "function": {"name": name, "arguments": args if isinstance(args, str) else json.dumps(args)},
        }
        for number, (name, args) in enumerate(wanted)
    ]


def text(name: str, args: Any) -> str:
    """One action of the text path."""
    words = args if isinstance(args, str) else json.dumps(args)
    return f"Thought: I use a tool\nAction: {name}\nAction Input: {words}"


DONE = "Thought: I know enough\nFinal Answer: done"


def crew_of(tools: Sequence[Any], steps: Sequence[Any], *, as_text: bool = False, **options: Any) -> Crew:
    """A crew of one agent with these tools and one task; `.model` is its scripted model."""
    model = Scripted(model="scripted", steps=[*steps, DONE], native=not as_text, seen=[])
    agent = Agent(role="buyer", goal="hire", backstory="a buyer", llm=model, tools=list(tools), verbose=False)
    task = Task(description="Have it done.", expected_output="the result", agent=agent)
    return Crew(agents=[agent], tasks=[task], **options)


def heard(crew: Crew) -> str:
    """All that the model was shown, as one text."""
    model: Any = crew.agents[0].llm
    return "\n".join(
        str(message.get("content") or "") for messages, _ in model.seen[-1:] for message in messages
    )
