"""A crew that finds a service by itself: the toolkit's tools search, quote and hire. Offline, no keys.

Run it with: python examples/hire_crew_toolkit.py
"""

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.crewai import MasumiToolkit  # before crewai: this switches its telemetry off
from masumi_tools.sandbox import Sandbox

from crewai import Agent, Crew, Task  # isort: skip
from scripted import crew_llm  # isort: skip


def main() -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)  # the real network: Settings.from_env()
        with Buyer(settings, budget=Budget("20 ADA", per_hire="2 ADA", name="crew")) as buyer:
            tools = MasumiToolkit(buyer=buyer).get_tools()

            # A real model: llm="openai/gpt-5-mini"
            llm = crew_llm(
                ("masumi_find", {"query": "capitals"}),
                ("masumi_quote", {"agent": "echo"}),
                ("masumi_hire", {"agent": "echo", "text": "hello from the crew"}),
                "The service says: HELLO FROM THE CREW",
            )
            clerk = Agent(role="Clerk", goal="Have texts done by others", backstory="", llm=llm, tools=tools)
            task = Task(
                description="Have 'hello from the crew' put in capitals.",
                expected_output="The text in capitals",
                agent=clerk,
            )
            print(Crew(agents=[clerk], tasks=[task]).kickoff(), "\n")
            for receipt in buyer.hires():
                print(receipt)


if __name__ == "__main__":
    main()
