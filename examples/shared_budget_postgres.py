"""Four processes share one budget of 3 ADA: three hires go through, the fourth is refused.

    MASUMI_DATABASE_URL=postgresql://user:password@host/name python examples/shared_budget_postgres.py

Without the variable an SQLite file is shared instead, which serves the processes of one machine.
"""

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from masumi_tools import Budget, Buyer, Settings
from masumi_tools.sandbox import Sandbox


def one_hire(number: int, node_url: str, registry_url: str, token: str, url: str, agent: str) -> str:
    """What one process does: the same budget by the same name over the same journal."""
    settings = Settings(  # the real network: Settings.from_env()
        node_url=node_url,
        node_token=token,
        registry_url=registry_url,
        registry_token=token,
        database_url=url,
        sandbox=True,
    )
    with Buyer(settings, budget=Budget("3 ADA", name="team")) as buyer:
        return str(buyer.hire(agent, {"text": f"hello {number}"}))


def main() -> None:
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("MASUMI_DATABASE_URL") or f"sqlite:///{folder}/shared.sqlite3"
        print(f"The journal is on {url.partition(':')[0]}.")
        echo = sandbox.service("echo").agent_identifier
        with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
            place = (sandbox.node_url, sandbox.registry_url, sandbox.token, url, echo)
            waiting = [pool.submit(one_hire, number, *place) for number in range(4)]
            print(*sorted(done.result() for done in waiting), sep="\n")


if __name__ == "__main__":
    main()
