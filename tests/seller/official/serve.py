"""Runs under the official package: its own server, which our buyer hires.

Arguments: port, node URL, token, agent, seller's key, and what it does (a name of WORK).
"""

from __future__ import annotations

import sys
import time
from typing import Any

import uvicorn
from masumi import Config, create_masumi_app
from masumi.hitl import request_input

SCHEMA = {"input_data": [{"id": "text", "type": "string", "name": "Text"}]}
QUESTION = {"input_data": [{"id": "answer", "type": "string", "name": "Answer"}]}


async def function(identifier: str, data: dict[str, Any]) -> str:
    return "official\n" + data["text"].upper()


async def question(identifier: str, data: dict[str, Any]) -> str:
    given = await request_input(QUESTION, message="Are you sure?")
    return f'{data["text"]}, and you said "{given["answer"]}"'


def _crew() -> Any:
    from crewai import Agent, Crew, Task
    from crewai.llms.base_llm import BaseLLM

    class Scripted(BaseLLM):
        def call(self, messages: Any, *args: Any, **options: Any) -> str:
            time.sleep(2)
            return 'Thought: I know.\nFinal Answer: # Report\n\nAll about "tides".'

        def supports_function_calling(self) -> bool:
            return False

        def get_context_window_size(self) -> int:
            return 8192

    writer = Agent(role="Writer", goal="write", backstory="a writer", llm=Scripted(model="scripted"))
    task = Task(description="Write about {text}", expected_output="a report", agent=writer)
    return Crew(agents=[writer], tasks=[task])


async def crew(identifier: str, data: dict[str, Any]) -> str:
    return str((await _crew().kickoff_async(inputs=data)).raw)


async def plain_crew(identifier: str, data: dict[str, Any]) -> str:
    """As older templates do it: CrewAI refuses to run so inside an event loop, once the job is paid."""
    return str(_crew().kickoff(inputs=data).raw)


async def blocking(identifier: str, data: dict[str, Any]) -> str:
    """Nothing else is answered meanwhile, /status neither."""
    time.sleep(4)
    return data["text"]


WORK = {
    "function": function,
    "crew": crew,
    "plain crew": plain_crew,
    "blocking": blocking,
    "question": question,
}

if __name__ == "__main__":
    port, node, token, agent, vkey, kind = sys.argv[1:]
    app = create_masumi_app(
        config=Config(payment_service_url=node, payment_api_key=token),
        agent_identifier=agent,
        network="Preprod",
        start_job_handler=WORK[kind],
        input_schema_handler=SCHEMA,
        seller_vkey=vkey,
    )
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
