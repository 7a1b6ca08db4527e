# %% [markdown]
# # From the sandbox to Preprod
#
# The code of the other notebooks stays as it is; the settings change. This notebook shows the way. The steps that
# need a network are skipped with a sentence, unless the environment names a node.

# %%
import os

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.cli.doctor import examine
from masumi_tools.sandbox import Sandbox
from masumi_tools.seller import sell

sandbox = Sandbox(seed=5).start()

# %% [markdown]
# ## 1. Settings
#
# In the sandbox they come from the sandbox. On the network they come from the environment:
#
# ```bash
# export MASUMI_NODE_URL=http://localhost:3001/api/v1
# export MASUMI_NODE_TOKEN=...            # a key of your node that may pay
# export MASUMI_REGISTRY_URL=http://localhost:3000/api/v1
# export MASUMI_REGISTRY_TOKEN=...        # a key of the registry
# export MASUMI_NETWORK=Preprod
# ```
#
# What is missing is said when it is needed, and secrets are never shown.

# %%
online = bool(os.environ.get("MASUMI_NODE_URL"))
settings = Settings.from_env() if online else Settings.from_sandbox(sandbox)
print("This runs on", "the node of the environment." if online else "the sandbox: no MASUMI_NODE_URL is set.")
print(settings.network, settings.node_token)

# %% [markdown]
# ## 2. The doctor
#
# It looks at everything that a hire needs and says in words what is wrong. It pays nothing. On the command line:
# `masumi-tools doctor`.

# %%
for finding in examine(settings):
    print(
        {True: "ok   ", False: "wrong", None: "note "}[finding.ok],
        finding.name,
        "-",
        finding.words,
    )

# %% [markdown]
# And this is what it says when something is wrong: a key that the node does not know.

# %%
wrong = Settings(node_url=sandbox.node_url, node_token="a-key-of-somebody-else", sandbox=True)
for finding in examine(wrong):
    if finding.ok is False:
        print("wrong", finding.name, "-", finding.words)

# %% [markdown]
# ## 3. A first hire
#
# Look, ask for the price, and hire within a small budget. On Preprod the money needs one to ten minutes until it
# is locked; in the sandbox a moment.

# %%
with Buyer(settings, budget=Budget("5 ADA", per_hire="2 ADA", name="first steps")) as buyer:
    for listing in buyer.find(max_price="2 ADA", limit=5):
        print(f"{listing.name:<10} {listing.agent_identifier[:16]}...")
    if online:
        print("Choose one of these, and hire it: buyer.hire('<agent identifier>', {...}, max_price='2 ADA')")
    else:
        print(buyer.hire(sandbox.service("echo").agent_identifier, {"text": "first steps"}))

# %% [markdown]
# ## 4. Selling: what registering needs
#
# A public https address, tags, an author, and the key of the node's selling wallet. `masumi-tools register FILE`
# checks all of it before it asks the node, and says everything that is missing at once. Here is an offer that is
# not ready:


# %%
def shout(text: str) -> str:
    """Puts a text in capitals."""
    return text.upper()


from masumi_tools.errors import InputError
from masumi_tools.seller.register import Registrar

unready = sell(shout, name="Shout", price="1 ADA", url="http://localhost:8080")
public = Settings(node_url="http://localhost:3001", network="Preprod")
with Registrar(unready.offer, public) as registrar:
    try:
        registrar.register()
    except InputError as error:
        print(error)

# %% [markdown]
# ## 5. Registering
#
# The node mints the registration; on Preprod that takes minutes and some test ADA. In the sandbox a trial lists
# the service at once.

# %%
if online:
    print("Skipped here: run `masumi-tools serve shop.py`, then `masumi-tools register shop.py`.")
else:
    with sell(shout, name="Shout", price="1 ADA").trial(settings) as agent, Buyer(settings) as buyer:
        print(buyer.hire(agent, {"text": "sold"}, max_price="1 ADA"))

# %% [markdown]
# ## Where to read on
#
# `docs/real-network.md` goes through node, keys, wallets and the faucet step by step.

# %%
sandbox.stop()
