"""Runs under the official package: its own server, which our buyer hires. Arguments: port, node URL, token, agent, vkey."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from masumi import Config, create_masumi_app

SCHEMA = {"input_data": [{"id": "text", "type": "string", "name": "Text"}]}


async def work(identifier: str, data: dict[str, Any]) -> str:
    return "official\n" + data["text"].upper()


if __name__ == "__main__":
    port, node, token, agent, vkey = sys.argv[1:]
    app = create_masumi_app(
        config=Config(payment_service_url=node, payment_api_key=token),
        agent_identifier=agent,
        network="Preprod",
        start_job_handler=work,
        input_schema_handler=SCHEMA,
        seller_vkey=vkey,
    )
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
