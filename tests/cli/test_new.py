"""`masumi-tools new`: what it makes is served, hired and tested as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from masumi_tools import Buyer, Receipt, Settings
from masumi_tools.cli.run import run
from masumi_tools.cli.starting import Kind
from masumi_tools.sandbox import Sandbox
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
INPUT = {
    Kind.FUNCTION: {"text": "One. Two. Three.", "length": "long"},
    Kind.CREW: {"topic": "cats", "audience": "dogs"},
    Kind.LANGGRAPH: {"topic": "cats"},
}
RESULT = {Kind.FUNCTION: "One. Two. Three.", Kind.CREW: "Cats are fine.", Kind.LANGGRAPH: "All about cats."}


def made(folder: Path, kind: Kind) -> Path:
    assert run(["new", str(folder / "my-shop"), "--kind", kind.value]) == 0
    return folder / "my-shop"


def needs(kind: Kind) -> None:
    if kind is not Kind.FUNCTION:
        pytest.importorskip("crewai" if kind is Kind.CREW else "langgraph")


class Model(BaseHTTPRequestHandler):
    """An OpenAI of our own, which has read the whole input and says one thing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        answer = {"role": "assistant", "content": f"Thought: I know.\nFinal Answer: {RESULT[Kind.CREW]}"}
        body = json.dumps(
            {
                "id": "one",
                "object": "chat.completion",
                "created": 0,
                "model": "a-model",
                "choices": [{"index": 0, "finish_reason": "stop", "message": answer}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return None


@pytest.fixture
def model() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@contextmanager
def serving(folder: Path, sandbox: Sandbox) -> Iterator[str]:
    """The agent identifier under which the new shop is listed, for the time of the block."""
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MASUMI_NODE_URL": sandbox.node_url,
        "MASUMI_NODE_TOKEN": sandbox.token,
        "MASUMI_SANDBOX": "1",
        "MASUMI_DATABASE_URL": f"sqlite:///{folder}/jobs.sqlite",
    }
    command = [sys.executable, "-m", "masumi_tools", "serve", "shop.py", "--port", str(free_port())]
    process = subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = [process.stderr.readline(), process.stderr.readline()]
        listed = re.fullmatch(r"listed in the sandbox as ([0-9a-f]+)\n", said[0])
        assert listed and "accepts jobs at" in said[1], (said, process.stderr.read())
        yield listed[1]
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()


def hired(agent: str, kind: Kind, sandbox: Sandbox) -> Receipt:
    with Buyer(Settings.from_sandbox(sandbox)) as buyer:
        receipt = buyer.hire(agent, INPUT[kind], max_price="1 ADA", patience_s=60)
        if receipt.outcome == "needs_input":
            receipt = buyer.answer(receipt.hire_id, {"answer": "ok"})
        return receipt


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("kind", Kind)
def test_what_is_made_is_served_and_hired(kind: Kind, tmp_path: Path, model: str):
    needs(kind)
    folder = made(tmp_path, kind)
    with (folder / ".env").open("a") as env:  # as a seller fills it in
        env.write(f"OPENAI_API_KEY=sk-of-the-seller\nOPENAI_BASE_URL={model}\nMODEL=openai/gpt-4o-mini\n")

    with Sandbox() as sandbox, serving(folder, sandbox) as agent:
        receipt = hired(agent, kind, sandbox)

    assert receipt.outcome == "completed", receipt
    assert RESULT[kind] in (receipt.result or "")


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("kind", Kind)
def test_its_own_tests_pass(kind: Kind, tmp_path: Path):
    needs(kind)
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."],
        cwd=made(tmp_path, kind),
        # The plugins that lie in our environment are none of theirs.
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )

    assert said.returncode == 0 and "1 passed" in said.stdout, said.stdout + said.stderr


def test_its_files_fit_together_and_keep_the_keys(tmp_path: Path):
    folder = made(tmp_path, Kind.CREW)
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    shop, database = compose["services"]["shop"], compose["services"]["postgres"]
    env = dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines() if "=" in line)
    unit = (folder / "shop.service").read_text()

    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert all(".env" in (folder / name).read_text().split() for name in (".gitignore", ".dockerignore"))
    assert len(env["POSTGRES_PASSWORD"]) == 32
    assert "${POSTGRES_PASSWORD}" in shop["environment"]["MASUMI_DATABASE_URL"]
    assert {"POSTGRES_USER": "shop", "POSTGRES_DB": "shop"}.items() <= database["environment"].items()
    assert set(compose["volumes"]) == {volume.split(":")[0] for volume in database["volumes"]}
    assert f"EnvironmentFile={folder}/.env" in unit and "masumi-tools serve shop.py" in unit
    assert "crewai" in (folder / "requirements.txt").read_text()
    assert not any("@" in text for text in re.findall(r"@[A-Z]+@", unit))


_NGINX = """
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log off;
    server {{ listen 127.0.0.1:{port}; include {folder}/nginx.conf; }}
}}
"""


@pytest.mark.parametrize(
    "command",
    [
        ["hadolint", "--no-color", "Dockerfile"],
        ["docker-compose", "config"],
        ["systemd-analyze", "verify", "./shop.service"],
        ["nginx", "-t", "-e", "stderr", "-c", "{folder}/whole.conf"],
    ],
    ids=lambda command: command[0],
)
def test_the_programs_for_which_its_files_are_find_nothing_wrong_in_them(tmp_path: Path, command: list[str]):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    folder = made(tmp_path, Kind.FUNCTION)
    program = folder / ".venv/bin/masumi-tools"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    (folder / "whole.conf").write_text(_NGINX.format(folder=folder, port=free_port()))

    said = subprocess.run(
        [part.format(folder=folder) for part in command], cwd=folder, capture_output=True, text=True
    )

    assert said.returncode == 0, said.stdout + said.stderr
    assert command[0] == "nginx" or said.stderr == ""
    if command[0] == "docker-compose":
        shop = yaml.safe_load(said.stdout)["services"]["shop"]
        password = shop["environment"]["POSTGRES_PASSWORD"]
        assert shop["environment"]["MASUMI_DATABASE_URL"] == f"postgresql://shop:{password}@postgres/shop"


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mine.txt").write_text("mine")

    assert run(["new", str(tmp_path)]) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
