"""A LangChain agent with a budget hires a service and tells the user. Offline, no keys.

Run it with: python examples/hire_langchain.py
"""

from langchain.agents import create_agent
from scripted import chat_model

from masumi_tools import Budget, MasumiAgentTool, Settings
from masumi_tools.sandbox import Sandbox


def main() -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)  # the real network: Settings.from_env()
        echo = sandbox.service("echo").agent_identifier  # ... and an identifier of `masumi-tools find`
        budget = Budget("20 ADA", per_hire="2 ADA", name="research")

        tool = MasumiAgentTool.for_agent(echo, budget=budget, settings=settings)
        print(f"{tool.name}{tuple(tool.args)}: {tool.description.splitlines()[0]}\n")

        # A real model: init_chat_model("openai:gpt-5-mini") of langchain.chat_models
        model = chat_model((tool.name, {"text": "hello from the agent economy"}))
        agent = create_agent(model, [tool])
        state = agent.invoke(
            {"messages": [{"role": "user", "content": "Put 'hello from the agent economy' in capitals."}]}
        )
        print(state["messages"][-1].text, "\n")

        for receipt in tool.buyer.hires():
            print(receipt)
        print(*tool.buyer.budget_lines())
        tool.close()


if __name__ == "__main__":
    main()
