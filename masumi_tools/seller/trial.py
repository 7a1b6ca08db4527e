"""A service on trial: listed by a running sandbox and served on loopback, so that it can be hired at once."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from masumi_tools.calls.call import Call, encode
from masumi_tools.errors import MasumiError, SettingsError
from masumi_tools.http import Http
from masumi_tools.seller.offer import Offer
from masumi_tools.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI


def listed(offer: Offer, settings: Settings, url: str) -> Settings:
    """The settings of a seller whose service at `url` the sandbox lists; it is registered where it is not yet.

    SettingsError when the settings are not those of a sandbox, MasumiError when it does not answer.
    """
    if not settings.sandbox:
        raise SettingsError("a trial needs a sandbox: Settings.from_sandbox(sandbox), or MASUMI_SANDBOX=1")
    parts = urlsplit(settings.node_api)
    control = f"{parts.scheme}://{parts.netloc}/_sandbox"
    price = " + ".join(str(amount) for amount in offer.price) or offer.pricing()["pricingType"].lower()
    with Http(settings) as http:
        known = _answered(http, Call("GET /_sandbox", "node", control))["services"]
        for one in known:
            if (one["url"], one["price"]) == (url, price):
                return replace(settings, agent_identifier=one["agent_identifier"])
        name = offer.name
        if any(one["name"] == name for one in known):
            name = f"{offer.name} {len(known)}"
        body = {
            "name": name,
            "url": url,
            "price": price if offer.price else None,
            "pricing_type": offer.pricing()["pricingType"],
            "metadata_version": 1 if offer.source_index is None else 2,
            "description": offer.description,
            "tags": list(offer.tags) or ["sandbox"],
        }
        call = Call("POST /_sandbox/services", "node", f"{control}/services", encode(body))
        made = _answered(http, call)
    return replace(settings, agent_identifier=made["agent_identifier"], seller_vkey=made["seller_vkey"])


def _answered(http: Http, call: Call) -> Any:
    reply = http.send(call)
    if not reply.ok:
        why = reply.body.get("error") if isinstance(reply.body, dict) else reply.detail
        raise MasumiError(f"the sandbox does not list the service: {why}", phase="trial", repeatable=True)
    return reply.body


@contextlib.contextmanager
def bound(host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket and the URL that it will be reached at."""
    with socket.create_server((host, port)) as listening:
        yield listening, f"http://{host}:{listening.getsockname()[1]}"


@contextlib.contextmanager
def served(app: FastAPI, listening: socket.socket) -> Iterator[None]:
    """Serve the app in a thread for the time of the block."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, args=([listening],), name="trial", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.02)
    if not server.started:
        raise MasumiError("the service could not be started; its log says why", phase="trial")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
