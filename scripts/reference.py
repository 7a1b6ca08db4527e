"""Write the pages of docs/ that are made from the code: settings.md and errors.md.

python scripts/reference.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from masumi_tools import errors
from masumi_tools.errors import MasumiError
from masumi_tools.settings import VARIABLES

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "<!-- Made by scripts/reference.py from the code; a test says when it is stale. -->"

# What each setting is: (flag of the command line or "", meaning).
SETTINGS = {
    "node_url": (
        "--node-url",
        "Address of your payment node. Needed to hire and to sell. Taken as people paste it: with or without "
        "`/api/v1`, also from the admin or docs page.",
    ),
    "node_token": (
        "--node-token",
        "Key of the node, with the right to pay. It is sent to the node's origin only.",
    ),
    "registry_url": (
        "--registry-url",
        "Address of the registry. Needed to search; prices are read through the node without it.",
    ),
    "registry_token": ("--registry-token", "Key of the registry. It is sent to the registry's origin only."),
    "network": ("--network", "`Preprod` (the default) or `Mainnet`."),
    "database_url": (
        "--database-url",
        "Where hires and jobs are kept, such as `sqlite:////home/me/hires.sqlite3` or "
        "`postgresql://user:password@host/name`. Default: an SQLite file for each network, and one for "
        "sandboxes, in the user's data folder.",
    ),
    "agent_identifier": (
        "",
        "Sellers: the identifier of the registered agent. `masumi-tools register` remembers it beside the jobs.",
    ),
    "seller_vkey": (
        "",
        "Sellers: key hash (56 hexadecimal digits) of the node's selling wallet. Needed to register.",
    ),
    "most_bound_days": (
        "",
        "For how many days an offer may bind the money, up to its last deadline; default 14. An offer that asks for "
        "more is refused before anything is paid.",
    ),
    "sandbox": (
        "--sandbox",
        "`1` allows services on loopback and follows the sandbox's clock. Never set it where money is real.",
    ),
    "ca_bundle": (
        "",
        "A file of certificate authorities (PEM) that are trusted beside the usual ones, for your node and registry only.",
    ),
    "notify_url": (
        "",
        "An address of yours that receives a notice when a hire waits for approval, and when an open hire ends.",
    ),
    "notify_key": ("", "The key that such a notice is signed with."),
}
OTHERS = {
    "MASUMI_DEMO_MODEL": "A real model for `masumi-tools demo`, such as `openai:gpt-5-mini`; `--model` is the same.",
    "CREWAI_DISABLE_TELEMETRY, CREWAI_TRACING_ENABLED, CREWAI_DISABLE_VERSION_CHECK": (
        "Set to quiet values before CrewAI is imported, unless you have set them."
    ),
}


def settings_page() -> str:
    """The reference of settings, in the order of `VARIABLES`."""
    lines = [
        MADE,
        "# Settings",
        "",
        "`Settings.from_env()` reads the environment; `Settings(node_url=..., ...)` takes the same by name, and "
        "`Settings.from_sandbox(sandbox)` all from a sandbox. Flags of the command line go before the environment, "
        "our variables before those of the official kit. Empty values count as not set. The command line also reads `.env` in its folder, or the file of `--env-file`; the "
        "environment goes before it. Nothing is required before "
        "it is used; what is missing then is named.",
        "",
        "| Setting | Variables | Flag | What it is |",
        "|---|---|---|---|",
    ]
    for setting, variables in VARIABLES.items():
        flag, meaning = SETTINGS[setting]
        names = ", ".join(f"`{variable}`" for variable in variables)
        lines.append(f"| `{setting}` | {names} | {f'`{flag}`' if flag else ''} | {meaning} |")
    lines += [
        "",
        "Tokens and the database's password are never shown: not in a repr, a log, an error or a trace.",
        "",
        "## Other variables",
        "",
        "| Variable | What it does |",
        "|---|---|",
        *(
            f"| {', '.join(f'`{n}`' for n in names.split(', '))} | {means} |"
            for names, means in OTHERS.items()
        ),
        "",
        "## Exit status of the command line",
        "",
        "| Status | Means |",
        "|---|---|",
        "| 0 | done |",
        "| 1 | refused, or failed with nothing lost |",
        "| 2 | wrong usage: an argument, a setting, an input; nothing was sent |",
        "| 3 | still open; `masumi-tools sweep` continues it |",
        "",
        '`--json` prints one JSON document; an error then is `{"error", "phase", "fault", "money"}`.',
    ]
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """The reference of errors: the tree, and what each says about the money."""
    doc = inspect.getdoc(errors) or ""
    tree = "\n".join(line[4:] for line in doc.splitlines() if line.startswith("    "))
    lines = [
        MADE,
        "# Errors",
        "",
        "A hire does not raise for what the service, node or network does: it returns a [receipt](receipts.md), whose `outcome` and "
        "`reason` say it. What is raised is for arguments that no hire can have, and for a journal that cannot be "
        "written; then nothing was sent. A tool for agents raises nothing at all.",
        "",
        "```text",
        tree,
        "```",
        "",
        "Every error has `message`, `phase` (the step), `fault` (who can mend it), `money` (where it is) and "
        "`repeatable` (whether the same call may be made again without the danger of paying twice).",
        "",
        "| Error | What it means | Fault | Money | Repeatable |",
        "|---|---|---|---|---|",
    ]
    for kind in _tree(MasumiError):
        meaning = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
        meaning = re.sub(r" \(protocol[^)]*\)", "", meaning)
        lines.append(
            f"| `{kind.__name__}` | {meaning} | {kind.fault} | {kind.money} | {'yes' if kind.repeatable else 'no'} |"
        )
    lines += ["", f"`fault` is one of {_words(errors.Fault)}; `money` one of {_words(errors.Money)}."]
    return "\n".join(lines) + "\n"


def _tree(kind: type[MasumiError]) -> list[type[MasumiError]]:
    """The class and those under it that errors.py defines, as the tree shows them."""
    under = [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    return [kind, *(one for sub in under for one in _tree(sub))]


def _words(literal: object) -> str:
    return ", ".join(f"`{word}`" for word in re.findall(r"'(\w+)'", str(literal)))


PAGES = {"settings.md": settings_page, "errors.md": errors_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(f"docs/{name}")
