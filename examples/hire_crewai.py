"""A CrewAI crew with a budget hires a service. Offline, no keys.

Run it with: python examples/hire_crewai.py
"""

from masumi_tools import Budget, Settings
from masumi_tools.crewai import MasumiAgentTool  # before crewai: this switches its telemetry off
from masumi_tools.sandbox import Sandbox

from crewai import Agent, Crew, Task  # isort: skip
from scripted import crew_llm  # isort: skip


def main() -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)  # the real network: Settings.from_env()
        echo = sandbox.service("echo").agent_identifier  # ... and an identifier of `masumi-tools find`
        budget = Budget("20 ADA", per_hire="2 ADA", name="research")
        tool = MasumiAgentTool.for_agent(echo, budget=budget, settings=settings)

        # A real model: llm="openai/gpt-5-mini"
        llm = crew_llm((tool.name, {"text": "hello from the crew"}), "The service says: HELLO FROM THE CREW")
        clerk = Agent(role="Clerk", goal="Have texts done by others", backstory="", llm=llm, tools=[tool])
        task = Task(
            description="Have 'hello from the crew' put in capitals.",
            expected_output="The text in capitals",
            agent=clerk,
        )
        print(Crew(agents=[clerk], tasks=[task]).kickoff(), "\n")

        for receipt in tool.buyer.hires():
            print(receipt)
        print(*tool.buyer.budget_lines())
        tool.close()


if __name__ == "__main__":
    main()
