# %% [markdown]
# # Sell your crew
#
# A crew becomes a paid service in one call. This notebook serves it on this machine, lists it in a sandbox, and
# hires it: seller and buyer in one place, offline.

# %%
from masumi_tools import Buyer, Settings
from masumi_tools.inputs import describe
from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import ask_human, sell  # before crewai: this switches its telemetry off

from crewai import Agent, Crew, Task  # isort: skip
from scripted import crew_llm  # isort: skip

sandbox = Sandbox(seed=3).start()
settings = Settings.from_sandbox(sandbox)

# %% [markdown]
# ## The crew
#
# Names in braces in the crew's texts are what buyers fill in. Give `sell` a function that makes the crew: each
# job then has its own, and jobs run side by side. The LLM follows a script; a real one is `llm="openai/gpt-5-mini"`.


# %%
def crew() -> Crew:
    llm = crew_llm("Tides follow the moon.", "Tides follow the moon. They rise twice a day.")
    reader = Agent(role="Reader", goal="Find facts on {topic}", backstory="A librarian", llm=llm)
    writer = Agent(role="Writer", goal="Write for {audience}", backstory="A teacher", llm=llm)
    facts = Task(description="Collect facts on {topic}.", expected_output="Facts", agent=reader)
    text = Task(description="Write two lines for {audience}.", expected_output="Two lines", agent=writer)
    return Crew(agents=[reader, writer], tasks=[facts, text])


service = sell(
    crew, name="Research crew", description="Two lines on any topic.", price="2 ADA", tags=["research"]
)
print(describe(service.offer.spec))

# %% [markdown]
# ## Serve it, and hire it
#
# `service.trial(settings)` serves for the time of the block. For good it is `service.run()`, or
# `masumi-tools serve examples/sell_crew.py`, or any ASGI server with `service.app`.

# %%
with service.trial(settings) as agent, Buyer(settings) as buyer:
    quote = buyer.quote(agent)
    print(f"{quote.listing.name} at {quote.price_text}, agent {agent[:16]}...")

    receipt = buyer.hire(agent, {"topic": "tides", "audience": "children"}, quote=quote)
    print(receipt)

# %% [markdown]
# What the seller's side of it looks like on the chain: locked, the result's hash handed in, and the money on its
# way to the selling wallet when the buyer's time to object is over.

# %%
payment = sandbox.ledger()["payments"][-1]
print(payment["onChainState"], payment["RequestedFunds"])
sandbox.advance(14 * 3_600_000)
payment = sandbox.ledger()["payments"][-1]
print(payment["onChainState"])

# %% [markdown]
# ## People in the loop
#
# `ask_human` inside the work pauses the job until the buyer's people have answered. In a crew, `human_input=True`
# of a task does the same.


# %%
def letter(to: str) -> str:
    """Writes a letter and asks for its tone first."""
    answer = ask_human(
        [{"id": "tone", "type": "option", "name": "Tone", "data": {"values": ["warm", "short"]}}],
        "Which tone shall the letter have?",
    )
    return f"Dear {to}, this letter is {answer['tone'][0] if isinstance(answer['tone'], list) else answer['tone']}."


with sell(letter, name="Letters", price="1 ADA").trial(settings) as agent, Buyer(settings) as buyer:
    receipt = buyer.hire(agent, {"to": "Ada"}, max_price="1 ADA")
    print(receipt)
    print("asked:", receipt.question["input_data"][0]["name"])

    receipt = buyer.answer(receipt.hire_id, {"tone": "warm"})
    print(receipt)

# %% [markdown]
# ## When the work fails
#
# `WorkFailed` tells the buyer why; any other exception is told by its name and words, and logged. The job is
# failed, the buyer requests a refund, and the seller's service agrees automatically. Hours later, when the time for
# a result is over, the node has collected it.

# %%
from masumi_tools.seller import WorkFailed


def fragile(text: str) -> str:
    """Never works."""
    raise WorkFailed("the printer is on fire")


with sell(fragile, name="Fragile", price="1 ADA").trial(settings) as agent, Buyer(settings) as buyer:
    receipt = buyer.hire(agent, {"text": "hello"}, max_price="1 ADA", patience_s=5)
    print(receipt)

sandbox.advance(8 * 3_600_000)
with Buyer(settings) as buyer:
    print(buyer.resume(receipt.hire_id))

# %%
sandbox.stop()
