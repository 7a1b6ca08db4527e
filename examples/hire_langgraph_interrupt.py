"""A budget that asks a person in the middle of a LangGraph run: `interrupt()` inside `approve`. Offline, no keys.

Run it with: python examples/hire_langgraph_interrupt.py
"""

from typing import Any

from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from scripted import chat_model

from masumi_tools import Budget, MasumiAgentTool, Settings
from masumi_tools.hire.budget import Asked
from masumi_tools.sandbox import Sandbox


def ask(asked: Asked) -> bool:
    """The run pauses here; what it is resumed with is the answer."""
    answer: object = interrupt(f"Hire {asked.name} for {asked.price_text}?")
    return answer == "yes"


def main(answer: str = "yes") -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)  # the real network: Settings.from_env()
        budget = Budget("20 ADA", approve_above="0.5 ADA", approve=ask)
        tool = MasumiAgentTool.for_agent("echo", budget=budget, settings=settings)

        # A real model: init_chat_model("openai:gpt-5-mini") of langchain.chat_models
        model = chat_model((tool.name, {"text": "is this worth it?"}))
        agent = create_agent(model, [tool], checkpointer=InMemorySaver())
        thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
        state = agent.invoke({"messages": [{"role": "user", "content": "Shout: is this worth it?"}]}, thread)
        print(state["__interrupt__"][0].value)
        print("Waiting, unpaid:", [waiting.price_text for waiting in tool.buyer.approvals()])

        resume: Command[Any] = Command(resume=answer)
        state = agent.invoke(resume, thread)  # the same hire continues, and pays once
        print(state["messages"][-1].text)
        tool.close()


if __name__ == "__main__":
    main()
