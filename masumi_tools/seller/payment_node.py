"""The seller's own payment node: a few questions and orders, each with one clear outcome."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from masumi_tools.calls import node as node_calls
from masumi_tools.calls import selling
from masumi_tools.calls.call import Call, Reply
from masumi_tools.errors import MasumiError, SettingsError, WireError
from masumi_tools.models import (
    JobTimes,
    NodePayment,
    read_agent_metadata,
    read_error,
    read_payment,
)
from masumi_tools.money import Amount
from masumi_tools.net.http import AsyncHttp
from masumi_tools.seller.jobs.job import Chain, Seen
from masumi_tools.seller.tracing import span
from masumi_tools.settings import Settings

log = logging.getLogger("masumi_tools.seller")

PAGE = 100
T = TypeVar("T")
Called = Callable[[str, float, str], None]


class NodeTrouble(MasumiError):
    """The node gave no usable answer. `down` is False where it answered, and refused."""

    fault = "node"
    repeatable = True

    def __init__(self, message: str, *, down: bool) -> None:
        super().__init__(message, phase="node")
        self.down = down


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the feed of news we are: the last change that was read."""

    at_ms: int
    row_id: str | None = None


class SellerNode:
    """Asks the node over one AsyncHttp. NodeTrouble for everything but a usable answer."""

    def __init__(self, settings: Settings, http: AsyncHttp, called: Called | None = None) -> None:
        self._called = called
        self._settings = settings
        self._http = http
        self.trouble: str | None = None  # why the last call failed; None while the node answers
        self.answered_at: float | None = None

    @property
    def answers(self) -> bool:
        """Whether the node answered when it was last asked."""
        return self.trouble is None

    async def make_payment(
        self,
        *,
        agent_identifier: str,
        identifier_from_purchaser: str,
        input_hash: str,
        times: JobTimes,
        funds: Sequence[Amount],
        source_index: int | None,
    ) -> NodePayment:
        """A new payment for a buyer to pay. Not to be repeated: an unpaid one costs nothing and lapses."""
        reply = await self._ask(
            selling.payment(
                self._settings.node_api,
                network=self._settings.network,
                agent_identifier=agent_identifier,
                input_hash=input_hash,
                identifier_from_purchaser=identifier_from_purchaser,
                times=times,
                requested_funds=funds,
                source_index=source_index,
            )
        )
        return _payment(reply)

    async def payment(self, blockchain_identifier: str) -> NodePayment:
        """The payment as it is now."""
        call = selling.resolve_payment(self._settings.node_api, blockchain_identifier, self._settings.network)
        return _payment(await self._ask(call))

    async def submit(self, blockchain_identifier: str, result_hash: str) -> NodePayment:
        """Hand the result's hash in. After NodeTrouble only the payment's state tells what became of it."""
        call = selling.submit_result(
            self._settings.node_api, blockchain_identifier, self._settings.network, result_hash
        )
        return _payment(await self._ask(call))

    async def authorise_refund(self, blockchain_identifier: str) -> NodePayment:
        """Let the buyer have the money back."""
        call = selling.authorize_refund(
            self._settings.node_api, blockchain_identifier, self._settings.network
        )
        return _payment(await self._ask(call))

    async def news(self, source_type: str, place: Place) -> tuple[list[NodePayment], Place, bool]:
        """What changed since `place`: payments that the chain knows, the place after it, whether more is there.

        Rows without a state on chain are counted and not read: each new payment comes by as one. A row that
        cannot be read is left out, so that it hides no other.
        """
        call = selling.payment_diff(
            self._settings.node_api,
            self._settings.network,
            source_type=source_type,
            last_update_ms=place.at_ms,
            cursor=place.row_id,
            limit=PAGE,
        )
        rows = _read(_feed, await self._ask(call))
        if not rows:
            return [], place, False
        last = rows[-1]
        changed, row_id = last.get("nextActionOrOnChainStateOrResultLastChangedAt"), last.get("id")
        after = Place(_ms(str(changed), place.at_ms), str(row_id) if row_id else place.row_id)
        read = [_read_row(row) for row in rows if row.get("onChainState") is not None]
        return [row for row in read if row is not None], after, len(rows) >= PAGE and after != place

    async def source_of(self, agent_identifier: str) -> Literal["Web3CardanoV1", "Web3CardanoV2"]:
        """The kind of escrow that the agent is registered for, from its metadata."""
        call = node_calls.agent(self._settings.node_api, agent_identifier, self._settings.network)
        listing = _read(read_agent_metadata, await self._ask(call))
        return "Web3CardanoV2" if listing.source_type == "Web3CardanoV2" else "Web3CardanoV1"

    async def seller_vkey(self, agent_identifier: str, source_type: str) -> str | None:
        """The key hash of the wallet that holds the agent, as far as this node's registrations tell."""
        call = selling.registrations(
            self._settings.node_api,
            self._settings.network,
            agent_identifier=agent_identifier,
            source_type=source_type,
        )
        body = (await self._ask(call)).body
        try:
            for row in body["data"]["Assets"]:
                if row.get("agentIdentifier") == agent_identifier:
                    return str(row["SmartContractWallet"]["walletVkey"])
        except (KeyError, TypeError):
            pass
        return None

    async def check(self) -> bool:
        """Whether the node answers now."""
        try:
            await self._ask(node_calls.health(self._settings.node_api))
        except (NodeTrouble, SettingsError):
            return False
        return True

    async def _ask(self, call: Call) -> Reply:
        begun = time.monotonic()
        with span("masumi node call", call=call.name):
            reply = await self._http.send(call)
        down = reply.status is None or reply.status >= 500 or reply.fault is not None
        if self._called is not None:
            outcome = "ok" if reply.ok else "down" if down else "refused"
            self._called(call.name, time.monotonic() - begun, outcome)
        if reply.ok:
            self.trouble = None
            self.answered_at = time.monotonic()
            return reply
        said = read_error(reply.body) or reply.detail or reply.text[:200]
        what = f"HTTP {reply.status}" if reply.status else "no answer"
        why = f"{call.name}: {what}" + (f" ({said})" if said else "")
        if down or reply.status == 401:
            self.trouble = why
        raise NodeTrouble(why, down=down)


def seen(payment: NodePayment) -> Seen:
    """What a payment tells about its job."""
    coming = payment.next_result_hash if payment.requested_action.startswith("SubmitResult") else None
    return Seen(
        payment.blockchain_identifier,
        Chain(
            state=str(payment.on_chain_state) if payment.on_chain_state is not None else None,
            action=payment.requested_action,
            error=payment.error_type,
            result_hash=(payment.result_hash or "").lower() or None,
            coming_hash=(coming or "").lower() or None,
            tx_hash=payment.tx_hash,
        ),
        tuple((amount.quantity, amount.unit) for amount in payment.requested_funds) or None,
    )


def _feed(body: Any) -> list[dict[str, Any]]:
    try:
        return [dict(row) for row in body["data"]["Payments"]]
    except (KeyError, TypeError, ValueError):
        raise WireError("the node's news hold no list of payments", fault="node") from None


def _read_row(row: dict[str, Any]) -> NodePayment | None:
    try:
        return read_payment(row)
    except WireError as error:
        log.error("a row of the node's news cannot be read and is left out: %s", error)
        return None


def _payment(reply: Reply) -> NodePayment:
    return _read(read_payment, reply)


def _read(read: Callable[[Any], T], reply: Reply) -> T:
    try:
        return read(reply.body)
    except WireError as error:
        raise NodeTrouble(f"the node's answer cannot be read: {error}", down=True) from error


def _ms(text: str, otherwise: int) -> int:
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return otherwise
    return round(at.timestamp() * 1000)
