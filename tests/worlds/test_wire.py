"""The simulation's short way to the sandbox gives the replies that the real client would give."""

from __future__ import annotations

import pytest

from masumi_tools.calls import node, registry, service
from masumi_tools.calls.call import Call, Reply
from masumi_tools.net.http import Http
from masumi_tools.sandbox import Sandbox
from masumi_tools.sandbox.faults import DEEDS
from masumi_tools.settings import Settings
from tests.worlds.wire import lost, reply_of, request_of


def calls(sandbox: Sandbox) -> list[Call]:
    api, listed = sandbox.node_url, sandbox.service("echo")
    return [
        node.key_status(api),
        node.resolve(api, "ab" * 40, "Preprod"),
        node.diff(api, "Preprod", source_type="Web3CardanoV1"),
        node.purchase(api, b'{"network":"Preprod"}'),
        registry.payment_information(sandbox.registry_url, listed.agent_identifier),
        service.input_schema(listed.url),
        service.start_job(listed.url, {"input_data": {}}),
        service.status(listed.url, "nobody's job/ü?&"),
        Call("GET /nowhere", "node", f"{api}/nowhere", cap_bytes=10),
    ]


@pytest.mark.parametrize("deed", ["", *(deed for deed in DEEDS if deed not in ("delay", "hang"))])
def test_both_ways_bring_the_same_reply(deed: str) -> None:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        if deed:
            sandbox.arm({"on": "*", "do": deed, "times": 100})
        client = Http(Settings.from_sandbox(sandbox), transport=sandbox.transport())
        for call in calls(sandbox):
            theirs = client.send(call)
            answer = sandbox.exchange(request_of(call, sandbox.token))
            ours = reply_of(answer.response, call.cap_bytes) if answer.response else lost("")

            assert _said(ours) == _said(theirs), call.name


def _said(reply: Reply) -> tuple[object, ...]:
    return reply.status, reply.body, reply.text, reply.fault, reply.retry_after_s, reply.ok, reply.unknown
