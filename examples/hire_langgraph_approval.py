"""An agent that asks a person before it spends: LangGraph pauses the run, and goes on with the answer.

Run it with: python examples/hire_langgraph_approval.py
"""

from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from scripted import chat_model

from masumi_tools import Budget, MasumiAgentTool, Settings
from masumi_tools.langchain import approval
from masumi_tools.sandbox import Sandbox


def main(decision: str = "approve") -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)  # the real network: Settings.from_env()
        echo = sandbox.service("echo").agent_identifier  # ... and an identifier of `masumi-tools find`
        tool = MasumiAgentTool.for_agent(echo, budget=Budget("20 ADA"), settings=settings)

        # A real model: init_chat_model("openai:gpt-5-mini") of langchain.chat_models
        model = chat_model((tool.name, {"text": "is this worth it?"}))
        agent = create_agent(
            model,
            [tool],
            middleware=[HumanInTheLoopMiddleware(interrupt_on=approval(tool, above="0.5 ADA"))],
            checkpointer=InMemorySaver(),
        )
        config: RunnableConfig = {"configurable": {"thread_id": "1"}}
        state = agent.invoke(
            {"messages": [{"role": "user", "content": "Put 'is this worth it?' in capitals."}]}, config
        )
        (question,) = state["__interrupt__"]
        print(question.value["action_requests"][0]["description"], "\n")

        print(f"The person says: {decision}\n")
        resume: Command[Any] = Command(resume={"decisions": [{"type": decision}]})
        state = agent.invoke(resume, config)
        print(state["messages"][-1].text)
        tool.close()


if __name__ == "__main__":
    main()
