"""Work that runs in processes of its own: they find it here, at the top of a module."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from masumi_tools.seller import WorkFailed, ask_human, report_progress


def work(text: str) -> str:
    """Does what the text says."""
    what, _, rest = text.partition(" ")
    if what == "spin":  # no exception reaches this, and no signal but one
        _begun(rest, subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(600)
    if what == "ask":
        report_progress("about to ask")
        return f"{rest} {ask_human('who?')['answer']} {os.getpid()}"
    if what == "die" and not Path(rest).exists():
        Path(rest).touch()
        os._exit(7)
    if what == "fail":
        raise WorkFailed("not for this text")
    if what == "raise":
        raise KeyError("sk-secret-key")
    return f"{text} {os.getpid()}"


def _begun(file: str, pid: int) -> None:
    Path(file).write_text(f"{os.getpid()} {pid}")


def crew():
    """Makes a crew of scripted agents."""
    from tests.seller.crews import Scripted, crew

    return crew("Write about {topic}", llm=Scripted(lambda prompt: "a text"))
