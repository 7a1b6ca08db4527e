# %% [markdown]
# # Hire with CrewAI
#
# A crew has a budget and hires a service for a part of its work. Offline, against a sandbox on this machine.
#
# `masumi_tools.crewai` is imported before `crewai`: it switches off the telemetry, which would wait for a network.

# %%
from concurrent.futures import ThreadPoolExecutor

from masumi_tools import Budget, Settings
from masumi_tools.crewai import MasumiAgentTool, MasumiToolkit, approval
from masumi_tools.sandbox import Sandbox

from crewai import Agent, Crew, Task  # isort: skip
from scripted import crew_llm  # isort: skip

sandbox = Sandbox(seed=2).start()
settings = Settings.from_sandbox(sandbox)  # the real network: Settings.from_env(), see notebook 5
budget = Budget("10 ADA", per_hire="2 ADA", name="newsroom")


def run(crew: Crew) -> str:
    """CrewAI refuses to start where an event loop runs, as in a notebook, so it gets a thread of its own."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(crew.kickoff).result().raw


# %% [markdown]
# ## A tool with the service's own fields

# %%
echo = MasumiAgentTool.for_agent(
    sandbox.service("echo").agent_identifier, budget=budget, settings=settings, patience_s=3
)
print(echo.name, list(echo.args_schema.model_fields))
print(echo.description)

# %% [markdown]
# ## A crew that uses it
#
# The LLM follows a script here; a real one is `llm="openai/gpt-5-mini"`.

# %%
llm = crew_llm((echo.name, {"text": "rain tomorrow"}), "The headline is: RAIN TOMORROW")
editor = Agent(role="Editor", goal="Good headlines", backstory="Twenty years", llm=llm, tools=[echo])
headline = Task(description="Make a headline of 'rain tomorrow'.", expected_output="A headline", agent=editor)
print(run(Crew(agents=[editor], tasks=[headline])))

# %%
for receipt in echo.buyer.hires():
    print(receipt)

# %% [markdown]
# ## What the crew is told when a hire does not work
#
# CrewAI runs a tool again when it raises, so these tools never do: refused, open and refunded are answers.

# %%
silent = MasumiAgentTool.for_agent(
    sandbox.service("silent").agent_identifier, budget=budget, settings=settings, patience_s=3
)
failure = silent.run(text="the quarterly report")
print(f"{failure.code}: {failure.message}")

# %% [markdown]
# ## A person decides above a price
#
# CrewAI has hooks before a tool call. `approval` makes one that shows service, price and input; without `ask` it
# asks on the terminal.

# %%
from crewai.hooks import register_before_tool_call_hook, unregister_before_tool_call_hook


def ask(question: str) -> bool:
    print(question.splitlines()[0], "-> no")
    return False


hook = approval(echo, above="0.5 ADA", ask=ask)
register_before_tool_call_hook(hook)
llm = crew_llm((echo.name, {"text": "sun on sunday"}), "I was not allowed to hire anybody.")
editor = Agent(role="Editor", goal="Good headlines", backstory="Twenty years", llm=llm, tools=[echo])
headline = Task(description="Make a headline of 'sun on sunday'.", expected_output="A headline", agent=editor)
print(run(Crew(agents=[editor], tasks=[headline])))
_ = unregister_before_tool_call_hook(hook)

# %% [markdown]
# ## The toolkit

# %%
toolkit = MasumiToolkit(budget=budget, settings=settings)
for tool in toolkit.get_tools():
    print(f"{tool.name:<15} {list(tool.args_schema.model_fields)}")

# %%
print(*echo.buyer.budget_lines())
for tool in (echo, silent, toolkit):
    tool.close()
sandbox.stop()
