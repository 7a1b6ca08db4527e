"""Who the shop is on the network: its agent identifier, the seller's key, and the kind of escrow."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass

from masumi_tools.calls.registry import payment_information
from masumi_tools.errors import SettingsError, WireError
from masumi_tools.models import read_payment_information
from masumi_tools.net.http import AsyncHttp
from masumi_tools.seller.payment_node import NodeTrouble, SellerNode
from masumi_tools.settings import Settings

log = logging.getLogger("masumi_tools.seller")


@dataclass(slots=True)
class Agent:
    """What is known of ourselves; what is not given may be learnt from others, and from each new payment."""

    identifier: str
    seller_vkey: str | None
    source_index: int | None

    async def learn(self, node: SellerNode, http: AsyncHttp, settings: Settings) -> None:
        """Ask node and registry for the kind of escrow and the key, as far as they tell."""
        if not self.identifier:
            log.warning("no agent identifier yet: set MASUMI_AGENT_IDENTIFIER or run masumi-tools register")
            return
        try:
            kind = await node.source_of(self.identifier)
            if self.source_index is None and kind == "Web3CardanoV2":
                self.source_index = 0
            if self.seller_vkey is None:
                self.seller_vkey = await node.seller_vkey(self.identifier, kind)
        except (NodeTrouble, SettingsError) as error:
            log.warning("the node did not tell about this agent: %s", error)
        if self.seller_vkey is None and settings.registry_url is not None:
            reply = await http.send(payment_information(settings.registry_api, self.identifier))
            if reply.ok:
                with contextlib.suppress(WireError):
                    self.seller_vkey = read_payment_information(reply.body).seller_vkey
