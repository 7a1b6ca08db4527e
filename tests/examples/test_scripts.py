"""The example scripts do what they say, offline and without keys, as a user starts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HELPER = "scripted.py"
MOST_LINES = 60

# What each must print, whole lines; "..." stands for what differs from run to run.
PRINTED = {
    "hire_langchain.py": [
        "hire_echo('text',): Hire the agentic service \"Echo\" and return its result. ...",
        "completed (1 ADA paid, the result matches the hash on the chain): HELLO FROM THE AGENT ECONOMY",
        "19 ADA of 20 ADA left: 1 ADA locked",
    ],
    "hire_langgraph_approval.py": [
        'Hire "Echo" for 1 ADA? If the price changes, nothing is paid.',
        'Done: the service "Echo" delivered ...',
    ],
    "hire_langgraph_interrupt.py": [
        "Hire Echo for 1 ADA?",
        "Waiting, unpaid: ['1 ADA']",
        'Done: the service "Echo" delivered ... Cost: 1 ADA, ...',
    ],
    "hire_two_services.py": [
        'Done: the service "Echo" delivered ...',
        "Echo: completed, 1 ADA paid",
        "Free: completed, nothing paid",
    ],
    "hire_crew_toolkit.py": [
        "The service says: HELLO FROM THE CREW ",
        "completed (1 ADA paid, the result matches the hash on the chain): HELLO FROM THE CREW",
    ],
    "hire_crewai.py": [
        "The service says: HELLO FROM THE CREW ",
        "completed (1 ADA paid, the result matches the hash on the chain): HELLO FROM THE CREW",
        "19 ADA of 20 ADA left: 1 ADA locked",
    ],
    "sell_function.py": [
        "...asks 1.5 ADA for product words",
        "needs_input (1.5 ADA paid): ... Which tone shall it have?",
        "completed (1.5 ADA paid, the result matches the hash on the chain): Calm, honest and always there: soap.",
    ],
    "sell_runnable.py": [
        "completed (1 ADA paid, the result matches the hash on the chain): Chère cliente, merci pour votre message.",
    ],
    "sell_crew.py": [
        "completed (2 ADA paid, the result matches the hash on the chain): "
        "Tides follow the moon. They rise twice a day.",
    ],
    "shared_budget_postgres.py": [
        "The journal is on sqlite.",
        "completed (1 ADA paid, the result matches the hash on the chain): HELLO ...",
        "refused (nothing paid): the price is 1 ADA; the budget 'team' allows 3 ADA in total, ...",
    ],
}
NEEDS = {
    "hire_langchain.py": ["langchain"],
    "hire_langgraph_approval.py": ["langchain"],
    "hire_langgraph_interrupt.py": ["langchain"],
    "hire_two_services.py": ["langchain"],
    "hire_crew_toolkit.py": ["crewai"],
    "hire_crewai.py": ["crewai"],
    "sell_function.py": ["fastapi"],
    "sell_runnable.py": ["fastapi", "langchain_core"],
    "sell_crew.py": ["fastapi", "crewai"],
}


def run(name: str, **env: str) -> str:
    """What the script prints; it must end well and say nothing on stderr."""
    for library in NEEDS.get(name, ()):
        pytest.importorskip(library)
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **env},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=170,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def has_line(text: str, line: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in line.split("..."))
    return re.search(f"^{pattern}$", text, re.MULTILINE) is not None


def scripts() -> list[str]:
    return sorted(p.name for p in EXAMPLES.glob("[a-z]*.py") if p.name != HELPER)


def test_every_script_has_its_test():
    assert scripts() == sorted(PRINTED)


@pytest.mark.parametrize("name", scripts())
def test_a_script_is_short_enough_to_read(name):
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < MOST_LINES


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.crewai if "crew" in name else ()) for name in sorted(PRINTED)],
)
def test_a_script_prints_what_it_is_about(name):
    printed = run(name)

    assert [line for line in PRINTED[name] if not has_line(printed, line)] == [], printed


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(180)
def test_four_processes_share_a_budget_on_postgresql(postgres_url):
    printed = run("shared_budget_postgres.py", MASUMI_DATABASE_URL=postgres_url)

    assert printed.startswith("The journal is on postgresql")
    assert [line.split()[0] for line in printed.splitlines()[1:]] == ["completed"] * 3 + ["refused"]
