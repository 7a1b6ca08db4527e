"""Use an installed masumi_tools with one extra alone; run by `make extras` in an environment of its own.

python -I scripts/try_extra.py core|langchain|crewai|seller|postgres|cli|demo|mcp|page
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HELLO = {"text": "hello"}


def core() -> None:
    from masumi_tools import Buyer, Settings
    from masumi_tools.sandbox import Sandbox

    with Sandbox() as sandbox, Buyer(Settings.from_sandbox(sandbox)) as buyer:
        receipt = buyer.hire(sandbox.service("echo").agent_identifier, HELLO, max_price="1 ADA")
    assert (receipt.result, receipt.verified) == ("HELLO", True), receipt


def langchain() -> None:
    from masumi_tools import Budget, MasumiAgentTool, Settings
    from masumi_tools.sandbox import Sandbox

    with Sandbox() as sandbox:
        echo, settings = sandbox.service("echo").agent_identifier, Settings.from_sandbox(sandbox)
        tool = MasumiAgentTool.for_agent(echo, budget=Budget("2 ADA"), settings=settings)
        assert "HELLO" in tool.invoke(HELLO)
        tool.close()


def crewai() -> None:
    from masumi_tools import Budget, Settings
    from masumi_tools.crewai import MasumiAgentTool
    from masumi_tools.sandbox import Sandbox

    with Sandbox() as sandbox:
        echo, settings = sandbox.service("echo").agent_identifier, Settings.from_sandbox(sandbox)
        tool = MasumiAgentTool.for_agent(echo, budget=Budget("2 ADA"), settings=settings)
        assert "HELLO" in str(tool.run(**HELLO))
        tool.close()


def seller() -> None:
    from masumi_tools import Buyer, Settings
    from masumi_tools.sandbox import Sandbox
    from masumi_tools.seller import sell

    def shout(text: str) -> str:
        """Puts a text in capitals."""
        return text.upper()

    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)
        with sell(shout, name="Shout", price="1 ADA").trial(settings) as agent, Buyer(settings) as buyer:
            receipt = buyer.hire(agent, HELLO, max_price="1 ADA")
    assert (receipt.result, receipt.verified) == ("HELLO", True), receipt


def postgres() -> None:
    from masumi_tools.journal.database import open_engine

    assert open_engine("postgresql://127.0.0.1/none").dialect.driver == "psycopg"


def cli() -> None:
    assert "hire" in command("--help")
    assert json.loads(command("hires", "--json", "--database-url", "sqlite://")) == {"hires": []}


def demo() -> None:
    scenarios = json.loads(command("demo", "--mcp", "--json"))["scenarios"]
    ends = ["completed", "refunded", "refused", "completed"]
    assert [one["outcome"] for one in scenarios] == ends, scenarios


def mcp() -> None:
    import asyncio

    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    from masumi_tools.sandbox import Sandbox

    async def hire(sandbox: Sandbox) -> str:
        tool = str(Path(sys.executable).with_name("masumi-tools"))
        flags = [
            "mcp",
            "--budget",
            "2 ADA",
            "--sandbox",
            "--database-url",
            "sqlite://",
            "--network",
            "Preprod",
        ]
        flags += ["--node-url", sandbox.node_url, "--node-token", sandbox.token]
        flags += ["--registry-url", sandbox.registry_url, "--registry-token", sandbox.token]
        server = StdioServerParameters(command=tool, args=flags)
        async with stdio_client(server) as (reader, writer), ClientSession(reader, writer) as session:
            await session.initialize()
            wish = {"agent": sandbox.service("echo").agent_identifier, "input_data": json.dumps(HELLO)}
            return str((await session.call_tool("masumi_hire", wish)).content)

    with Sandbox() as sandbox:
        assert "HELLO" in asyncio.run(hire(sandbox))


def page() -> None:
    import httpx

    from masumi_tools import Budget, Buyer, Settings
    from masumi_tools.page import open_page
    from masumi_tools.sandbox import Sandbox

    with Sandbox() as sandbox:
        settings = Settings.from_sandbox(sandbox)
        with Buyer(settings, budget=Budget("2 ADA", approve_above="0.5 ADA")) as buyer:
            waiting = buyer.hire(sandbox.service("echo").agent_identifier, HELLO)
        with open_page(settings).running() as shown, httpx.Client(follow_redirects=True) as client:
            assert f"/hires/{waiting.hire_id}/approve" in client.get(shown.link).text


def command(*words: str) -> str:
    tool = Path(sys.executable).with_name("masumi-tools")
    return subprocess.run([tool, *words], check=True, capture_output=True, text=True, timeout=120).stdout


if __name__ == "__main__":
    {one.__name__: one for one in (core, langchain, crewai, seller, postgres, cli, demo, mcp, page)}[
        sys.argv[1]
    ]()
    print(f"{sys.argv[1]}: works")
