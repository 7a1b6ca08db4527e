"""A chat model that says what a script tells it: step n where it has spoken n times already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

Step = AIMessage | str | Callable[[list[BaseMessage]], AIMessage | str]


class Scripted(FakeChatModel):
    """Stateless, so that one object serves parallel runs and runs that are resumed in another process."""

    steps: Sequence[Any] = ()
    bound: list[Any] = []

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        self.bound.append(list(tools))
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        spoken = sum(isinstance(message, AIMessage) for message in messages)
        step = self.steps[spoken]
        said = step(messages) if callable(step) else step
        message = AIMessage(said) if isinstance(said, str) else said
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        return self._generate(messages)


def calls(*wanted: tuple[str, dict[str, Any]], ids: Sequence[str] = ()) -> AIMessage:
    """A message that calls tools, each (name, arguments)."""
    names = ids or [f"call-{number}" for number in range(len(wanted))]
    return AIMessage(
        "",
        tool_calls=[
            {"name": name, "args": args, "id": call_id, "type": "tool_call"}
            for (name, args), call_id in zip(wanted, names, strict=True)
        ],
    )


def said(messages: list[BaseMessage]) -> str:
    """The last thing that a tool said: the end of most scripts."""
    return str(messages[-1].text)


def answers(state: dict[str, Any]) -> list[ToolMessage]:
    """What the tools said in a run."""
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]
