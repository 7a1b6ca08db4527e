"""A service on trial: listed by a running sandbox, so that it can be hired at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from masumi_tools.calls.call import Call, encode
from masumi_tools.calls.node import agent
from masumi_tools.errors import MasumiError, SettingsError
from masumi_tools.models import read_agent_metadata
from masumi_tools.net.http import Http
from masumi_tools.seller.jobs.job import Rules
from masumi_tools.seller.jobs.table import JobTable
from masumi_tools.seller.offering import Offer
from masumi_tools.seller.shop import AGENT_FACT
from masumi_tools.settings import Settings


def remembered(offer: Offer, settings: Settings, url: str) -> Settings:
    """The settings with the agent identifier that was registered from here, where the sandbox still has it there."""
    table = JobTable(settings.database_url, Rules(), offer.name)
    try:
        known = table.fact(AGENT_FACT)
    finally:
        table.close()
    if not known:
        return settings
    with Http(settings) as http:
        reply = http.send(agent(settings.node_api, known, settings.network))
    if not reply.ok or read_agent_metadata(reply.body).api_base_url.rstrip("/") != url.rstrip("/"):
        return settings
    return replace(settings, agent_identifier=known)


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
