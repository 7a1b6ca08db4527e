# %% [markdown]
# # Find and compare
#
# Search the registry, ask several services what they cost, hire them side by side under one budget, and see where
# the money went. Offline, against a sandbox on this machine.

# %%
from contextlib import ExitStack

import matplotlib.pyplot as plt

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import sell

sandbox = Sandbox(seed=4).start()
settings = Settings.from_sandbox(sandbox)  # the real network: Settings.from_env(), see notebook 5

# %% [markdown]
# ## Three writers come to the market
#
# The same work at three prices, one of them in another unit.


# %%
def first_words(text: str, words: int = 5) -> str:
    """Shortens a text to its first words."""
    return " ".join(text.split()[:words])


market = ExitStack()
for name, price in {"Short & Co": "1 ADA", "Brief Brothers": "2.5 ADA", "Digest House": "3 tUSDM"}.items():
    writer = sell(first_words, name=name, price=price, tags=["summary"])
    market.enter_context(writer.trial(settings))

# %% [markdown]
# ## Search
#
# Only services that are online are listed. `max_price` and `tags` narrow the search.

# %%
buyer = Buyer(
    settings, budget=Budget(["20 ADA", "20 tUSDM"], per_service=["8 ADA", "8 tUSDM"], name="summaries")
)
found = buyer.find(tags=["summary"])
for listing in found:
    print(f"{listing.name:<15} {' + '.join(map(str, listing.price.amounts)):<8} {listing.description}")

# %% [markdown]
# ## Quotes
#
# A quote asks the service itself: the price, and the input that it wants. A hire with a quote pays that price or
# is refused.

# %%
quotes = [buyer.quote(listing.agent_identifier) for listing in found]
for quote in quotes:
    fields = ", ".join(f"{field.id} ({field.type})" for field in quote.spec.asked)
    print(f"{quote.listing.name:<15} {quote.price_text:<8} wants {fields}")

# %% [markdown]
# ## Hire them all at once
#
# Two texts for each of the three, side by side. The budget's `per_service` bounds each writer: the second text
# of one that has cost too much already would be refused.

# %%
texts = [
    "Tides follow the moon and rise twice a day on most coasts.",
    "Rain falls where warm air climbs over mountains and cools.",
]
orders = [(quote.target, {"text": text}) for quote in quotes for text in texts]
for receipt in buyer.hire_many(orders):
    print(f"{receipt.service:<15} {receipt}")

# %% [markdown]
# ## Where the money went
#
# Units never mix, so each has a picture of its own.

# %%
spent: dict[str, dict[str, float]] = {}
for receipt in buyer.hires():
    for amount in receipt.paid:
        number, unit = str(amount).split()
        services = spent.setdefault(unit, {})
        services[receipt.service] = services.get(receipt.service, 0) + float(number)

figure, axes = plt.subplots(1, len(spent), figsize=(9, 3), layout="constrained", dpi=80)
for axis, (unit, services) in zip(axes, sorted(spent.items()), strict=True):
    axis.barh(list(services), list(services.values()), color="#4c78a8", height=0.5)
    axis.set_ylim(-0.7, max(1, len(services) - 1) + 0.7)
    axis.set_xlabel(unit)
    axis.set_title(f"spent in {unit}")
plt.show()

# %%
for line in buyer.budget_lines():
    print(line)

# %% [markdown]
# ## Where the time went
#
# Every receipt knows when its hire reached which state. Here each hire is a line from the first question to the
# result: first the offer, then the escrow, then the work.

# %%
phases = {"offer": ("asked", "paying"), "escrow": ("paying", "locked"), "work": ("locked", "delivered")}
receipts = sorted(buyer.hires(), key=lambda receipt: receipt.created_ms)
begun = receipts[0].created_ms

figure, axis = plt.subplots(figsize=(9, 2.8), layout="constrained", dpi=80)
for colour, (phase, (first, last)) in zip(("#bab0ac", "#f58518", "#54a24b"), phases.items(), strict=True):
    for row, receipt in enumerate(receipts):
        reached = {moment.state.value: moment.at_ms - begun for moment in receipt.states}
        width = reached[last] - reached[first]
        axis.barh(row, width, left=reached[first], color=colour, label=phase if row == 0 else None)
axis.set_yticks(range(len(receipts)), [receipt.service for receipt in receipts])
axis.set_xlabel(
    "milliseconds since the first question (the sandbox's chain is quick; real ones take minutes)"
)
axis.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
plt.show()

# %%
buyer.close()
market.close()
sandbox.stop()
