"""Small crews without a model behind them: the LLM is scripted, and tells what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM


class Scripted(BaseLLM):
    """Answers by a function of the last prompt; every prompt is kept in `heard`."""

    def __init__(self, answer: Callable[[str], str] = lambda prompt: "an answer") -> None:
        super().__init__(model="scripted")
        object.__setattr__(self, "answer", answer)
        object.__setattr__(self, "heard", [])
        object.__setattr__(self, "lock", threading.Lock())

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
        prompt = messages if isinstance(messages, str) else "\n".join(str(m.get("content")) for m in messages)
        with self.lock:  # type: ignore[attr-defined]
            self.heard.append(prompt)  # type: ignore[attr-defined]
        return f"Thought: I know.\nFinal Answer: {self.answer(prompt)}"  # type: ignore[attr-defined]

    async def acall(self, messages: Any, *args: Any, **kwargs: Any) -> str:
        return self.call(messages)

    def supports_function_calling(self) -> bool:
        return False

    def supports_stop_words(self) -> bool:
        return False

    def get_context_window_size(self) -> int:
        return 8192

    def __copy__(self) -> Scripted:
        return self

    def __deepcopy__(self, memo: object) -> Scripted:
        return self


def crew(
    *descriptions: str,
    llm: Scripted | None = None,
    expected: str = "some text",
    role: str = "Writer",
    human: bool = False,
    **more: Any,
) -> Crew:
    """A crew of one agent with one task for each description."""
    agent = Agent(role=role, goal="to write", backstory="a writer", llm=llm or Scripted(), verbose=False)
    tasks = [
        Task(description=text, expected_output=expected, agent=agent, human_input=human)
        for text in descriptions
    ]
    return Crew(agents=[agent], tasks=tasks, verbose=False, **more)
