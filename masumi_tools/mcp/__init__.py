"""The same tools for any MCP host: Claude, Cursor, VS Code and others. A thin skin over `masumi_tools.tools`.

    masumi-tools mcp --budget "20 ADA" --per-hire "2 ADA"
    from masumi_tools.mcp import serve; serve(budget=Budget("20 ADA"), allow=[...])

Hosts give a call up after a minute, so a call waits for less, tells how the hire goes, and then answers
"open": the hire goes on, and the next equal call joins it. Works with both generations of the official SDK
(1.x, which crewai holds, and 2.x); what differs between them is in `session` and in `transports`.
"""

from __future__ import annotations

from masumi_tools.errors import MissingExtra

try:
    from masumi_tools.mcp.serving import serve
except ModuleNotFoundError as missing:
    raise MissingExtra("MCP is not installed: pip install 'masumi_tools[mcp]'") from missing

__all__ = ["serve"]
