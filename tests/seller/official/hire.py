"""Runs under the official package: its Purchase hires the service at URL, and its models read every answer.

Arguments: service URL, node URL, token. Prints one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from typing import Any

import aiohttp
from masumi import Config, Purchase, create_masumi_output_hash
from masumi.checker import MasumiChecker
from masumi.models import (
    AvailabilityResponse,
    InputSchemaResponse,
    ProvideInputResponse,
    StartJobResponse,
    StatusResponse,
)
from masumi.validation import validate_input_data


async def main(url: str, node: str, token: str) -> dict[str, Any]:
    config = Config(payment_service_url=node, payment_api_key=token)
    nonce = secrets.token_hex(10)
    data = {"text": "line 1\nline 2", "n": 2}
    async with aiohttp.ClientSession() as http:

        async def get(path: str, **query: str) -> Any:
            async with http.get(f"{url}{path}", params=query) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        async def post(path: str, body: dict[str, Any]) -> Any:
            async with http.post(f"{url}{path}", json=body) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        available = AvailabilityResponse(**await get("/availability"))
        schema = await get("/input_schema")
        InputSchemaResponse(**schema)
        validate_input_data(data, schema)
        job = StartJobResponse(
            **await post("/start_job", {"identifier_from_purchaser": nonce, "input_data": data})
        )
        purchase = Purchase(
            config,
            job.blockchainIdentifier,
            job.sellerVKey,
            job.agentIdentifier,
            job.payByTime,
            job.submitResultTime,
            job.unlockTime,
            job.externalDisputeUnlockTime,
            identifier_from_purchaser=nonce,
            input_data=data,
        )
        assert purchase.input_hash == job.input_hash
        await purchase.create_purchase_request()
        asked = []
        while True:
            status = StatusResponse(**await get("/status", job_id=job.id))
            if status.status == "awaiting_input":
                InputSchemaResponse(**status.input_schema)
                answer = {"job_id": job.id, "status_id": status.id, "input_data": {"answer": "yes"}}
                ProvideInputResponse(**await post("/provide_input", answer))
                asked.append(status.id)
            if status.status in ("completed", "failed"):
                break
            await asyncio.sleep(0.2)
    checker = MasumiChecker()
    return {
        "availability": available.status,
        "status": status.status,
        "result": status.result,
        "hash": create_masumi_output_hash(status.result or "", nonce),
        "blockchain_identifier": job.blockchainIdentifier,
        "asked": len(asked),
        "node_is_reachable": (await checker.check_payment_service()).passed,
        "environment": [vars(found) for found in checker.check_environment_variables()],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
