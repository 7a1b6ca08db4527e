"""Models that follow a script: they stand in for real ones, so that the examples need no key and no network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def chat_model(*turns: Any) -> Any:
    """A LangChain chat model that says `turns` one after the other.

    A turn is a text, or (tool name, arguments) for a tool call. After the last turn it repeats what the
    tool said last, in one line.
    """
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage, ToolMessage

    class Scripted(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **options: Any) -> Any:
            return self

        def _generate(self, messages: Any, *args: Any, **options: Any) -> Any:
            said = [m for m in messages if isinstance(m, ToolMessage)]
            waiting.append(AIMessage(" ".join(str(said[-1].content).split()) if said else "done"))
            return super()._generate(messages, *args, **options)

    waiting: list[AIMessage] = []

    def script() -> Iterator[AIMessage]:
        for number, turn in enumerate(turns):
            if isinstance(turn, str):
                yield AIMessage(turn)
            else:
                name, arguments = turn
                yield AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{number}"}])
        while True:
            yield waiting[-1]

    return Scripted(messages=script())


def crew_llm(*turns: Any) -> Any:
    """A CrewAI LLM that says `turns` one after the other, and the last one from then on.

    A turn is a text, (tool name, arguments) for a tool call, or a function of the prompt's text.
    """
    from crewai import BaseLLM

    class Scripted(BaseLLM):
        def call(self, messages: Any, *args: Any, **options: Any) -> Any:
            turn: Any = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if callable(turn):
                turn = turn(messages if isinstance(messages, str) else str(messages[-1]["content"]))
            if isinstance(turn, str):
                return turn
            name: str = turn[0]
            arguments: dict[str, Any] = turn[1]
            return [{"id": "call", "type": "function", "function": {"name": name, "arguments": arguments}}]

        def supports_function_calling(self) -> bool:
            return True

        def supports_stop_words(self) -> bool:
            return False

        def get_context_window_size(self) -> int:
            return 100_000

        def get_input_tokens_count(self, *args: Any, **options: Any) -> int:
            return 1  # without it CrewAI prints that it can only guess

    waiting = list(turns)
    return Scripted(model="scripted")
