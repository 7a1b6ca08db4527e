"""The node's jobs for registrations: agents are minted, burnt and minted anew (protocol N13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..chain.rows import Registration

if TYPE_CHECKING:
    from ..chain.escrow import World


def register(world: World, row: Registration, metadata: dict[str, Any]) -> None:
    """Mint the agent of a new registration."""
    _turn(world, row, "Registration", lambda: _mint(world, row, metadata))


def deregister(world: World, row: Registration) -> None:
    """Burn the agent of a registration."""
    _turn(world, row, "Deregistration", lambda: _burn(row))


def reregister(world: World, row: Registration, metadata: dict[str, Any]) -> None:
    """Burn the agent of a registration and mint it anew under another identifier."""

    def change() -> None:
        old = row.agent
        _burn(row)
        asset = _next_version(old.agent_identifier[56:]) if old is not None else None
        _mint(world, row, metadata, asset)

    _turn(world, row, "Update", change)


def _turn(world: World, row: Registration, name: str, change: Callable[[], None]) -> None:
    jobs = world.jobs

    def confirm() -> None:
        change()
        row.state, row.updated_ms = name + "Confirmed", world.now_ms()

    def send() -> None:
        row.state, row.updated_ms = name + "Initiated", world.now_ms()
        jobs.plan(world.now_ms() + jobs.intervals.block, jobs.intervals.check, confirm)

    row.state, row.updated_ms = name + "Requested", world.now_ms()
    jobs.plan(world.now_ms(), jobs.intervals.register, send)


def _mint(world: World, row: Registration, metadata: dict[str, Any], asset: str | None = None) -> None:
    row.agent = world.mint(row.wallet.source, metadata, row.recipient or row.wallet, asset=asset)


def _next_version(asset: str) -> str:
    """The asset name of a V2 agent's next version: its last three bytes count."""
    return f"{asset[:58]}{int(asset[58:], 16) + 1:06x}"


def _burn(row: Registration) -> None:
    if row.agent is not None:
        row.agent.burnt = True
