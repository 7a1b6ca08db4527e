"""A LangChain agent with two services under one budget: it takes the one that fits. Offline, no keys.

Run it with: python examples/hire_two_services.py
"""

from langchain.agents import create_agent
from scripted import chat_model

from masumi_tools import Budget, MasumiAgentTool, Settings
from masumi_tools.sandbox import Sandbox


def main() -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)  # the real network: Settings.from_env()
        budget = Budget("20 ADA", per_hire="2 ADA", name="assistant")
        # A name that the registry has exactly once, an agent identifier or a URL.
        capitals = MasumiAgentTool.for_agent("echo", budget=budget, settings=settings)
        weather = MasumiAgentTool.for_agent("free", budget=budget, settings=settings)

        # A real model: init_chat_model("openai:gpt-5-mini") of langchain.chat_models
        model = chat_model((weather.name, {"text": "Rome"}), (capitals.name, {"text": "sunny in Rome"}))
        agent = create_agent(model, [capitals, weather])
        state = agent.invoke({"messages": [{"role": "user", "content": "Shout the weather in Rome."}]})
        print(state["messages"][-1].text, "\n")

        for receipt in capitals.buyer.hires(budget="assistant"):
            print(f"{receipt.service}: {receipt.outcome}, {receipt.paid_text} paid")
        capitals.close()
        weather.close()


if __name__ == "__main__":
    main()
