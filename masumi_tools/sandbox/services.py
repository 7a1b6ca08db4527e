"""What can be hired in a sandbox, and one line of its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pricing = Literal["Fixed", "Free", "Dynamic"]


@dataclass(frozen=True, slots=True)
class Service:
    """A service that can be hired: a sample of the sandbox, or one that was registered and runs elsewhere."""

    name: str
    agent_identifier: str
    url: str
    price: str
    seller_vkey: str
    pricing_type: str
    source_type: str

    def listed(self) -> dict[str, str]:
        """The four fields of the ready file."""
        return {
            "name": self.name,
            "agent_identifier": self.agent_identifier,
            "url": self.url,
            "price": self.price,
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """One exchange in the log, to "node", "registry" or a service by name; status None: no answer."""

    method: str
    path: str
    to: str
    status: int | None
    at_ms: int
