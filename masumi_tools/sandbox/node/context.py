"""What a handler of the node is given, and the checks that many of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..chain.escrow import World
from ..chain.network import NETWORKS, SOURCE_TYPES
from ..chain.rows import ApiKey, PaymentSource, Row
from ..wire import Refusal
from . import schema as s

HEX = frozenset("0123456789abcdefABCDEF")
NETWORK = s.choice(NETWORKS)
SOURCE_TYPE = s.choice(SOURCE_TYPES, optional=True)
IDENTIFIER = s.text(1, 8000)


class NodeCrash(Exception):
    """An exception that the node does not expect: a 500, whose text production mode hides."""


@dataclass(slots=True)
class Context:
    """One call: who asks, and the values of the schema."""

    world: World
    key: ApiKey
    data: dict[str, Any]

    def need_network(self) -> str:
        """The network asked for; 401 when the key may not use it. Admins may use all."""
        network: str = self.data["network"]
        if not self.key.can_admin and network not in self.key.networks:
            raise Refusal(401, "Unauthorized, network not allowed")
        return network

    def sees(self, row: Row) -> bool:
        """A wallet-scoped key sees only rows of its wallets, so not its own fresh purchases (fact 8)."""
        if not self.key.wallet_scoped or self.key.can_admin:
            return True
        return row.wallet is not None and row.wallet.id in self.key.wallet_ids

    def need_sight(self, row: Row) -> None:
        """404 for a row outside the wallets of a scoped key."""
        if not self.sees(row):
            raise Refusal(404, "Not found")

    def need_creator(self, row: Row, message: str) -> None:
        """403 unless the key made the row or is an admin's."""
        if row.requested_by != self.key.id and not self.key.can_admin:
            raise Refusal(403, message)

    def source_by_policy(self, network: str, policy_id: str) -> PaymentSource | None:
        for source in self.world.sources:
            if source.network == network and source.policy_id == policy_id:
                return source
        return None


def is_hex(value: str) -> bool:
    """Non-empty, even, hex digits only: the node's test of hashes and nonces."""
    return bool(value) and len(value) % 2 == 0 and HEX.issuperset(value)
