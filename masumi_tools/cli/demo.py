"""The demo: an LLM agent with a budget, three services, and what becomes of the money. Offline, in seconds.

The one place beside the adapters that uses a framework: the agent is LangChain's own `create_agent`. Its
model is scripted, so that no key is needed; a real one can be named instead.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from masumi_tools.cli import show
from masumi_tools.cli.context import Context
from masumi_tools.errors import MissingExtra, SettingsError
from masumi_tools.hire.budget import Budget, text_of
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.purchase import State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings, demo_database_url
from masumi_tools.tools.progress import STEPS

HOUR_MS = 3_600_000
TRY = 'hire echo text=hello --max-price "1 ADA"'


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story: what the user wants, of which service, and whether the clock is moved while it waits."""

    name: str
    service: str
    task: str
    text: str
    wait_out: bool = False
    budget: str = "20 ADA"
    per_hire: str = "5 ADA"


SCENARIOS = (
    Scenario(
        "completed",
        "echo",
        "Have the words 'hello from the agent economy' put in capitals.",
        "hello from the agent economy",
    ),
    Scenario(
        "never-answers",
        "silent",
        "Have a report written by the service that is known to be quiet.",
        "the quarterly report",
        wait_out=True,
    ),
    Scenario(
        "over-budget",
        "human",
        "Have a text approved, but spend at most 1 ADA.",
        "a press release",
        per_hire="1 ADA",
    ),
)
BY_MCP = Scenario(
    "by-mcp",
    "echo",
    "The same from Claude, Cursor or another MCP host, which asks its user first.",
    "hello from an MCP host",
)
ENDS = {
    "completed": "completed",
    "never-answers": "refunded",
    "over-budget": "refused",
    "by-mcp": "completed",
}


@dataclass(slots=True)
class Told:
    """What became of a scenario."""

    scenario: Scenario
    receipt: Receipt
    answer: str
    requests: int


def run(context: Context, model: str | None = None, by_mcp: bool = False) -> int:
    """Play all scenarios, `by_mcp` with one by MCP as well; 0 when each came to the end that it is about."""
    if by_mcp:
        import_module("masumi_tools.cli.demo_mcp")  # what is missing is said before the story begins
    told: list[Told] = []
    with tempfile.TemporaryDirectory(prefix="masumi-demo-") as folder, Sandbox() as sandbox:
        url = f"sqlite:///{Path(folder) / 'hires.sqlite3'}"
        settings = Settings.from_sandbox(sandbox, database_url=url)
        with _story(context) as say:
            for scenario in SCENARIOS:
                told.append(_play(scenario, sandbox, settings, say, model))
            if by_mcp:
                told.append(_play_by_mcp(sandbox, settings, say, Path(folder)))
        with Buyer(settings, budget=Budget("20 ADA", name="demo")) as buyer:
            lines = buyer.budget_lines()
        if context.as_json:
            context.print_json(
                {"scenarios": [_json(one) for one in told], "budget": show.budget_json(lines)[0]}
            )
        else:
            context.out.print()
            context.out.print(_table(told, framed=show.has_frames(context.out)))
            context.out.print()
            context.out.print(show.budget("The budget 'demo'", lines))
            context.out.print(
                f"\nNone of this was real money. Hire by hand: `{_typed('sandbox')}`, "
                f"then in a second terminal `{_typed(TRY)}`."
            )
            if _kept(Path(folder) / "hires.sqlite3"):
                context.out.print(f"See all of it in a browser: `{_typed('page --demo')}`.")
    return 0 if all(one.receipt.outcome == ENDS[one.scenario.name] for one in told) else 1


def _typed(words: str) -> str:
    """A command as it works where this one was typed; `make demo` runs from an environment that is not on the path."""
    if shutil.which("masumi-tools"):
        return f"masumi-tools {words}"
    return f"{sys.executable} -m masumi_tools {words}"


def _kept(file: Path) -> bool:
    """Whether the hires of this demo are kept for `page --demo`, in the place of those of the last one."""
    try:
        kept = Path(demo_database_url().removeprefix("sqlite:///"))
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(kept)) as target:
            source.backup(target)
    except (SettingsError, OSError, sqlite3.Error):
        return False
    return True


def _play(scenario: Scenario, sandbox: Sandbox, settings: Settings, say: Say, model: str | None) -> Told:
    from masumi_tools.langchain import MasumiAgentTool

    service = sandbox.service(scenario.service)
    before = len(sandbox.requests)
    say(scenario, f"[bold]{scenario.task}[/]", "user")

    def progress(told: Progress) -> None:
        say(scenario, STEPS[told.state.value], "hire")
        if scenario.wait_out and told.state is State.LOCKED:
            say(scenario, "the clock is moved past the service's deadline", "clock")
            sandbox.advance(2 * HOUR_MS)

    budget = Budget(scenario.budget, per_hire=scenario.per_hire, name="demo")
    with Buyer(settings, budget=budget, on_progress=progress) as buyer:
        tool = MasumiAgentTool.for_agent(service.agent_identifier, buyer=buyer)
        answer, receipt = _ask_agent(tool, scenario, model)
    say(scenario, answer, "agent")
    return Told(scenario, receipt, answer, len(sandbox.requests) - before)


def _play_by_mcp(sandbox: Sandbox, settings: Settings, say: Say, folder: Path) -> Told:
    """The scene by MCP: the server is a process of its own, over the journal of the others."""
    from masumi_tools.cli.demo_mcp import hire_by_mcp

    scene, before = BY_MCP, len(sandbox.requests)
    say(scene, f"[bold]{scene.task}[/]", "user")
    hire_id = hire_by_mcp(
        sandbox.service(scene.service).agent_identifier,
        {"text": scene.text},
        _environment(sandbox, settings),
        ["--budget", scene.budget, "--per-hire", scene.per_hire, "--name", "demo"],
        folder,
        lambda who, words: say(scene, words, who),
    )
    with Buyer(settings) as buyer:
        receipt = buyer.receipt(hire_id)
    say(scene, _told(receipt), "agent")
    return Told(scene, receipt, _told(receipt), len(sandbox.requests) - before)


def _environment(sandbox: Sandbox, settings: Settings) -> dict[str, str]:
    """The settings as a host hands them to the server that it starts."""
    return {
        "MASUMI_NODE_URL": sandbox.node_url,
        "MASUMI_NODE_TOKEN": sandbox.token,
        "MASUMI_REGISTRY_URL": sandbox.registry_url,
        "MASUMI_REGISTRY_TOKEN": sandbox.token,
        "MASUMI_NETWORK": settings.network,
        "MASUMI_DATABASE_URL": settings.database_url,
        "MASUMI_SANDBOX": "1",
    }


def _ask_agent(tool: Any, scenario: Scenario, model: str | None) -> tuple[str, Receipt]:
    try:
        from langchain.agents import create_agent
        from langchain_core.messages import ToolMessage
    except ModuleNotFoundError as error:
        raise MissingExtra("the demo needs LangChain: pip install 'masumi_tools[demo]'") from error

    agent: Any = create_agent(_model(tool, scenario, model), [tool])
    state = agent.invoke({"messages": [("user", f"{scenario.task} The text is: {scenario.text}")]})
    messages = state["messages"]
    artifacts = [m.artifact for m in messages if isinstance(m, ToolMessage) and m.artifact is not None]
    return str(messages[-1].text), artifacts[-1]


def _model(tool: Any, scenario: Scenario, name: str | None) -> Any:
    """A real model where one is named, else one that says what it has to."""
    if name:
        from langchain.chat_models import init_chat_model

        return init_chat_model(name)
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage, ToolMessage

    class Scripted(GenericFakeChatModel):
        """Calls the tool once, then tells the user in a sentence what came of it."""

        def bind_tools(self, tools: Any, **options: Any) -> Any:
            return self

        def _generate(self, messages: Any, *args: Any, **options: Any) -> Any:
            said = [m for m in messages if isinstance(m, ToolMessage)]
            if said:
                self.messages = iter([AIMessage(_told(said[-1].artifact))])
            return super()._generate(messages, *args, **options)

    call = {"name": tool.name, "args": {"text": scenario.text}, "id": f"call-{scenario.name}"}
    return Scripted(messages=iter([AIMessage("", tool_calls=[call])]))


def _told(receipt: Receipt) -> str:
    """What an agent says to its user at the end."""
    price = text_of(receipt.price)
    if receipt.ok:
        return f"Done. It cost {price}, and the service delivered: {receipt.result}"
    if receipt.outcome == "refunded":
        return f"The service delivered nothing, so the {receipt.refunded_text} were refunded. Shall I try another one?"
    if receipt.outcome == "refused":
        return f"I did not hire anyone, and nothing was paid: {receipt.reason}. May I spend more?"
    return f"The hire is not over yet ({receipt.outcome}). {receipt.where_the_money_is}"


# The story as it happens ---------------------------------------------------------------------

Say = Callable[[Scenario, str, str], None]
WHO = {"user": "bold", "agent": "green", "host": "magenta", "hire": "blue", "clock": "yellow"}


@contextmanager
def _story(context: Context) -> Iterator[Say]:
    """A panel for each scenario that grows while it happens; plain lines where there is no terminal."""
    if context.as_json:
        yield lambda scenario, words, who: None
        return
    panels: dict[str, Table] = {}
    with Live(console=context.out, refresh_per_second=12, auto_refresh=context.out.is_terminal) as live:

        def say(scenario: Scenario, words: str, who: str) -> None:
            lines = panels.get(scenario.name)
            if lines is None:
                lines = panels[scenario.name] = Table.grid(padding=(0, 2))
                lines.add_column(no_wrap=True)
                lines.add_column(overflow="fold")
            lines.add_row(
                Text(who, style=WHO[who]),
                Text.from_markup(words) if who == "user" else show.foreign(words, 500),
            )
            grid = Table.grid()
            for name, rows in panels.items():
                if show.has_frames(context.out):
                    grid.add_row(Panel(rows, title=name, title_align="left", border_style="dim"))
                else:
                    grid.add_row(Group(Text(f"\n{name}"), rows))
            live.update(grid)

        yield say


def _table(told: list[Told], *, framed: bool) -> Table:
    frame = HEAVY_HEAD if framed else None
    table = Table(title="Receipts", title_justify="left", header_style="bold", box=frame)
    for name in ("scenario", "outcome", "result", "checked", "paid", "refunded", "requests"):
        table.add_column(name, overflow="fold")
    for one in told:
        receipt = one.receipt
        table.add_row(
            one.scenario.name,
            Text(receipt.outcome, style=show.COLOURS.get(receipt.outcome, "blue")),
            show.foreign(receipt.result or receipt.reason, 120),
            {True: "yes", False: "no"}.get(bool(receipt.verified), "") if receipt.result else "",
            receipt.paid_text,
            receipt.refunded_text,
            str(one.requests),
        )
    return table


def _json(one: Told) -> dict[str, Any]:
    receipt = one.receipt
    return {
        "name": one.scenario.name,
        "outcome": receipt.outcome,
        "paid": receipt.paid_text if receipt.paid else None,
        "refunded": receipt.refunded_text if receipt.refunded else None,
        "result": receipt.result,
        "verified": receipt.verified,
        "requests": one.requests,
        "hire_id": receipt.hire_id,
        "reason": receipt.reason,
    }
