"""A CrewAI crew becomes a paid service.

Try it at once:        python examples/sell_crew.py
Serve it on a network: masumi-tools serve examples/sell_crew.py
"""

from masumi_tools import Buyer, Settings
from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import sell  # before crewai: this switches its telemetry off

from crewai import Agent, Crew, Task  # isort: skip
from scripted import crew_llm  # isort: skip


def crew() -> Crew:
    """A fresh crew for each job. Names in braces are what buyers fill in."""
    # A real model: llm="openai/gpt-5-mini"
    llm = crew_llm("Tides follow the moon.", "Tides follow the moon. They rise twice a day.")
    reader = Agent(role="Reader", goal="Find facts on {topic}", backstory="A librarian", llm=llm)
    writer = Agent(role="Writer", goal="Write for {audience}", backstory="A teacher", llm=llm)
    facts = Task(description="Collect facts on {topic}.", expected_output="Facts", agent=reader)
    text = Task(description="Write two lines for {audience}.", expected_output="Two lines", agent=writer)
    return Crew(agents=[reader, writer], tasks=[facts, text])


service = sell(
    crew,
    name="Research crew",
    description="Two lines on any topic.",
    price="2 ADA",
    tags=["research"],
    author="You",
)


def main() -> None:
    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)
        with service.trial(settings) as agent, Buyer(settings) as buyer:
            order = {"topic": "tides", "audience": "children"}
            receipt = buyer.hire(agent, order, max_price="2 ADA")
            print(receipt)


if __name__ == "__main__":
    main()
