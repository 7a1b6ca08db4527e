"""A hire before any that counts: what Python makes at the first use of it is there for every fork."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from unittest import mock

from masumi_tools.cli.run import DONE, OPEN, run
from masumi_tools.sandbox import Sandbox


def rehearse() -> None:
    """Hire from a sandbox of this process, and sweep; no thread, file or setting of it is left."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        env = {
            "MASUMI_NODE_URL": sandbox.node_url,
            "MASUMI_NODE_TOKEN": sandbox.token,
            "MASUMI_REGISTRY_URL": sandbox.registry_url,
            "MASUMI_REGISTRY_TOKEN": sandbox.token,
            "MASUMI_SANDBOX": "1",
            "MASUMI_DATABASE_URL": f"sqlite:///{Path(folder) / 'journal.sqlite'}",
        }
        agent = sandbox.service("echo").agent_identifier
        hire = ["hire", agent, "text=first", "--budget=2 ADA", "--patience=10", "--json"]
        with mock.patch.dict(os.environ, env), contextlib.redirect_stdout(io.StringIO()) as told:
            assert run(hire) == DONE, told.getvalue()
            assert run(["sweep", "--json"]) == OPEN, told.getvalue()
