"""An agent whose process dies when the money is locked, or that goes on from the checkpoint of one that died.

`python -m tests.langchain.survivor FOLDER MODE`: MODE "die" ends the process at the lock with status 9, "go on"
resumes the thread and prints what the tool said as JSON. FOLDER holds settings.json, checkpoints and journal.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from masumi_tools import Budget, MasumiAgentTool, Settings
from masumi_tools.hire.purchase import State
from tests.langchain.models import Scripted, answers, calls, said

THREAD: Any = {"configurable": {"thread_id": "survivor"}}


class FileSaver(InMemorySaver):
    """Checkpoints in a file, written at each one."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        if file.exists():
            storage, writes, blobs = pickle.loads(file.read_bytes())
            for thread, spaces in storage.items():
                for space, saved in spaces.items():
                    self.storage[thread][space].update(saved)
            for key, saved in writes.items():
                self.writes[key].update(saved)
            self.blobs.update(blobs)

    def _write(self) -> None:
        storage = {thread: {s: dict(c) for s, c in spaces.items()} for thread, spaces in self.storage.items()}
        writes = {key: dict(saved) for key, saved in self.writes.items()}
        self.file.write_bytes(pickle.dumps((storage, writes, dict(self.blobs))))

    def put(self, *args: Any, **options: Any) -> Any:
        saved = super().put(*args, **options)
        self._write()
        return saved

    def put_writes(self, *args: Any, **options: Any) -> None:
        super().put_writes(*args, **options)
        self._write()


def main(folder: Path, dies: bool) -> None:
    data = json.loads((folder / "settings.json").read_text())
    settings = Settings.from_env(data["env"])

    def on_progress(progress: Any) -> None:
        if dies and progress.state is State.LOCKED:
            os._exit(9)

    tool = MasumiAgentTool(
        data["agent"], settings=settings, budget=Budget("20 ADA"), on_progress=on_progress, reuse_within_s=0
    )
    model = Scripted(steps=[calls((tool.name, {"text": "survived"})), said])
    agent = create_agent(model, [tool], checkpointer=FileSaver(folder / "checkpoints"))
    asked = {"messages": [("user", "do it")]} if dies else None
    state = agent.invoke(asked, THREAD, durability="sync")
    message = answers(state)[0]
    print(json.dumps({"text": message.text, "hire_id": message.artifact.hire_id, "id": message.tool_call_id}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "die")
