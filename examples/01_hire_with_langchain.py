# %% [markdown]
# # Hire with LangChain
#
# An LLM agent gets a budget and a tool, and hires services: one delivers, one is over the limit, one never answers.
# All of it runs against a sandbox on this machine: no keys, no network, no money.

# %%
from scripted import chat_model

from masumi_tools import Budget, MasumiAgentTool, Settings
from masumi_tools.sandbox import Sandbox

sandbox = Sandbox(seed=1).start()
settings = Settings.from_sandbox(sandbox)  # the real network: Settings.from_env(), see notebook 5

# %% [markdown]
# ## A budget and a typed tool
#
# The budget bounds what is ever spent under its name, and each single price. The tool asks the service what it
# costs and which input it wants; those fields are the arguments that the model sees.

# %%
budget = Budget("10 ADA", per_hire="2 ADA", name="research")
echo = MasumiAgentTool.for_agent(
    sandbox.service("echo").agent_identifier, budget=budget, settings=settings, patience_s=3
)
print(echo.name)
print(echo.description)
print(echo.args)

# %% [markdown]
# ## An agent hires
#
# The loop is LangChain's own. Its model follows a script here, so that no key is needed; a real one is
# `init_chat_model("openai:gpt-5-mini")` of `langchain.chat_models`.

# %%
from langchain.agents import create_agent

model = chat_model((echo.name, {"text": "hello from the agent economy"}))
agent = create_agent(model, [echo])
state = agent.invoke({"messages": [("user", "Put 'hello from the agent economy' in capitals.")]})
for message in state["messages"]:
    print(f"{message.type:>6}: {message.text or [(c['name'], c['args']) for c in message.tool_calls]}")

# %% [markdown]
# The artifact of the tool's message is the receipt: what was paid, where the money is, and whether the result is
# the one whose hash the service put on the chain.

# %%
receipt = state["messages"][-2].artifact
print(receipt)
print(receipt.where_the_money_is)
for check in receipt.verify():
    print(f"  {check.name:<12} {check.verdict}")

# %% [markdown]
# ## Refused
#
# This service costs 3 ADA, and one hire may cost 2. The model is told so in words; nothing was sent to the
# service, and nothing was paid.

# %%
silent = MasumiAgentTool.for_agent(
    sandbox.service("silent").agent_identifier, budget=budget, settings=settings, patience_s=3
)
print(silent.invoke({"text": "the quarterly report"}))

# %% [markdown]
# ## Refunded
#
# With a larger limit it is hired, paid into escrow, and never answers. The tool waits as long as its patience
# lasts and says how things stand.

# %%
generous = Budget("10 ADA", per_hire="5 ADA", name="research")
silent = MasumiAgentTool.for_agent(
    sandbox.service("silent").agent_identifier, budget=generous, settings=settings, patience_s=3
)
print(silent.invoke({"text": "the quarterly report"}))

# %% [markdown]
# Two hours later the deadline of the job has passed, and the node has collected the refund. The same call finds
# its hire again; a sweep would do as well.

# %%
sandbox.advance(2 * 3_600_000)
print(silent.invoke({"text": "the quarterly report"}))

# %% [markdown]
# ## The books

# %%
for receipt in silent.buyer.hires():
    print(receipt)
print(*silent.buyer.budget_lines())

# %% [markdown]
# ## A toolkit instead of one tool
#
# With a toolkit the model looks for services itself, asks what they cost, hires, checks, answers questions, asks
# money back, and sees its budget: `create_agent(model, toolkit.get_tools())`.

# %%
from masumi_tools import MasumiToolkit

toolkit = MasumiToolkit(budget=budget, settings=settings)
for tool in toolkit.get_tools():
    print(f"{tool.name:<15} {tool.description.split('. ')[0]}.")
find = toolkit.get_tools()[0]
print()
print(find.invoke({"query": "capitals", "max_price": "1 ADA"}))

# %%
for tool in (echo, silent, toolkit):
    tool.close()
sandbox.stop()
