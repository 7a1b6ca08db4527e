"""The command line as programs see it: exit statuses, files, pipes, Ctrl-C, and output that cannot be written."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.quote import Quote
from masumi_tools.hire.receipt import Receipt
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox

pytest.importorskip("typer")
from masumi_tools.cli import buying
from masumi_tools.cli import run as running
from masumi_tools.cli.context import Stopped, guarded
from masumi_tools.cli.ending import told_when_ended
from masumi_tools.cli.run import run
from tests.tools.market import environment_of

WIDE = "日本"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running_sandbox:
        yield running_sandbox


@pytest.fixture
def env(sandbox: Sandbox, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    values = environment_of(sandbox, sqlite_url)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "masumi_tools", *words]


PAY = ("--max-price", "2 ADA")
TABLE: dict[str, tuple[int, tuple[str, ...]]] = {
    "find": (0, ("find", "echo")),
    "quote": (0, ("quote", "echo")),
    "hire": (0, ("hire", "echo", "text=a", *PAY)),
    "hire that is refused": (1, ("hire", "echo", "text=b")),
    "hire that goes on": (3, ("hire", "silent", "text=c", "--max-price", "9 ADA", "--patience", "0")),
    "hire that asks": (3, ("hire", "human", "text=d", *PAY)),
    "hire of nobody": (2, ("hire", "nosuch", "text=e", *PAY)),
    "hires": (0, ("hires",)),
    "budget": (0, ("budget",)),
    "receipt of none": (2, ("receipt", "nosuch")),
    "answer to none": (2, ("answer", "nosuch", "a=b")),
    "refund of none": (2, ("refund", "nosuch")),
    "approvals": (0, ("approvals",)),
    "approve of none": (2, ("approve", "nosuch")),
    "approve of none at a price": (2, ("approve", "nosuch", "--price", "1 ADA")),
    "deny of none": (2, ("deny", "nosuch")),
    "sweep of nothing": (0, ("sweep",)),
    "doctor": (0, ("doctor",)),
    "a field given twice": (2, ("hire", "echo", "text=a", "text=b", *PAY)),
    "no field": (2, ("hire", "echo", "text", *PAY)),
    "a file that is not there": (2, ("hire", "echo", "text=@/nowhere", *PAY)),
    "an amount without quotes": (2, ("hire", "echo", "text=a", "--max-price", "2", "ADA")),
    "an output that cannot be": (2, ("hire", "echo", "text=a", *PAY, "--output", "/nowhere/x")),
    "an env file that is not there": (2, ("--env-file", "/nowhere/.env", "hires")),
    "no such option": (2, ("hires", "--nope")),
    "no such command": (2, ("nope",)),
    "version": (0, ("--version",)),
    "a node that is away": (1, ("--node-url", "http://127.0.0.1:9", "hire", "echo", "text=f", *PAY)),
}


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("name", TABLE)
def test_exit_statuses_mean_the_same_in_every_command(
    name: str, as_json: bool, env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, words = TABLE[name]
    found = run([*words, *(["--json"] if as_json else [])])
    shown = capsys.readouterr()

    assert found == status, shown
    assert "Traceback" not in shown.out + shown.err
    if as_json and name != "version":
        json.loads(shown.out)


def test_every_command_is_stopped_and_unwritten_as_the_others() -> None:
    commands = [*running.app.registered_commands]
    groups = [*running.app.registered_groups]
    while groups:
        group = groups.pop().typer_instance
        commands += group.registered_commands
        groups += group.registered_groups

    assert len(commands) > 20
    for one in commands:
        assert one.callback.__code__ is guarded(print).__code__, one.name or one.callback.__name__


def test_every_command_that_pays_or_waits_for_money_tells_where_it_is_when_it_is_ended() -> None:
    told = {
        one.callback.__wrapped__.__name__
        for one in running.app.registered_commands
        if one.callback.__wrapped__.__code__ is told_when_ended(print).__code__
    }

    assert told == {"hire", "answer", "approve", "refund", "sweep"}


def test_ctrl_c_is_told_as_such_whatever_it_met_on_its_way_out() -> None:
    @guarded
    def torn() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise AssertionError("a library's own")

    @guarded
    def wrong() -> None:
        raise AssertionError("nobody pressed anything")

    with pytest.raises(Stopped):
        torn()
    with pytest.raises(AssertionError, match="nobody"):
        wrong()


def test_a_field_takes_the_text_of_a_file_and_two_signs_stand_for_one(
    env: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "brief.txt"
    file.write_text("from a file", encoding="utf-8")
    out = tmp_path / "result.txt"

    assert run(["hire", "echo", f"text=@{file}", *PAY, "--output", str(out)]) == 0
    assert run(["hire", "echo", "text=@@home", *PAY]) == 0
    assert out.read_text(encoding="utf-8") == "FROM A FILE"
    assert "@HOME" in capsys.readouterr().out


def test_mistakes_are_told_with_what_to_write(
    env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["hire", "echo", "text=a", "--max-price", "2", "ADA"])
    run(["hire", "echo", "text=a", "text=b", *PAY])
    run(["hire", "echo", "text=@/nowhere", *PAY])
    said = capsys.readouterr().err

    assert 'quote the amount: --max-price "2 ADA"' in said
    assert "the field 'text' is given twice" in said
    assert "'/nowhere' cannot be read: No such file" in said and "@@" in said


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("code_page", ["cp1252", "ascii"])
def test_what_a_code_page_lacks_hides_no_hire(env: dict[str, str], code_page: str, as_json: bool) -> None:
    words = command("hire", "echo", f"text={WIDE}{as_json}", *PAY, *(["--json"] if as_json else []))
    done = subprocess.run(
        words, env={**os.environ, "PYTHONIOENCODING": code_page}, capture_output=True, timeout=50
    )

    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    if as_json:
        assert json.loads(done.stdout)["result"].startswith(WIDE)
    else:
        assert b"completed" in done.stdout and b"??" in done.stdout


@pytest.mark.parametrize("where", ["full disk", "closed pipe"])
def test_an_output_that_cannot_be_written_says_the_hire_on_stderr(env: dict[str, str], where: str) -> None:
    words = command("hire", "echo", f"text={where}", *PAY)
    if where == "full disk":
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, timeout=50)
    else:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, timeout=50)
        finally:
            os.close(writing)
    said = done.stderr.decode()
    journal = Journal(env["MASUMI_DATABASE_URL"])
    (row,) = journal.rows()
    journal.close()

    assert done.returncode == 0, said
    assert row.hire_id in said and "completed" in said
    assert f"masumi-tools receipt {row.hire_id}" in said and "Traceback" not in said


def started(words: list[str], ignored: int = 0) -> subprocess.Popen[bytes]:
    """The process of a command as a terminal starts it."""

    def as_in_a_terminal() -> None:
        # A shell that started the tests in the background told them, and so this one, to ignore Ctrl-C; nohup does
        # the same with the end of the terminal.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)

    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=as_in_a_terminal
    )


def silent_hire(env: dict[str, str], *more: str, ignored: int = 0) -> subprocess.Popen[bytes]:
    """The process of a hire that is locked and waited for."""
    process = started(command("hire", "silent", "text=x", "--max-price", "9 ADA", *more), ignored)
    with contextlib.closing(Journal(env["MASUMI_DATABASE_URL"])) as journal:
        while not any(row.state == "locked" for row in journal.rows()):
            assert process.poll() is None, process.communicate()
    return process


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_ends_a_hire_or_its_terminal_is_told_the_same_and_it_ends_by_that_signal(
    env: dict[str, str], number: int
) -> None:
    process = silent_hire(env)
    process.send_signal(number)
    _, said = (stream.decode() for stream in process.communicate(timeout=50))

    assert process.returncode == -number, said
    assert "is open" in said and "locked in escrow" in said and "masumi-tools sweep" in said
    assert "Traceback" not in said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_refund_that_is_waited_for_is_told_as_the_hire_is(env: dict[str, str], number: int) -> None:
    assert run(["hire", "silent", "text=x", "--max-price", "9 ADA", "--patience", "3"]) == 3
    with contextlib.closing(Journal(env["MASUMI_DATABASE_URL"])) as journal:
        (row,) = journal.rows()
        process = started(command("refund", row.hire_id))
        while not journal.rows()[0].state.startswith("refund"):
            assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, said = (stream.decode() for stream in process.communicate(timeout=50))

    assert process.returncode == (3 if number == signal.SIGINT else -number), said
    assert f"The hire {row.hire_id} is open: 3 ADA is locked in escrow; a refund was requested." in said, said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_hire_that_was_told_to_outlive_its_terminal_does(env: dict[str, str]) -> None:
    process = silent_hire(env, "--patience", "4", ignored=signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    _, said = (stream.decode() for stream in process.communicate(timeout=50))

    assert process.returncode == 3 and "Stopped" not in said, said


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_says_the_hire_where_its_money_is_and_how_it_goes_on(
    env: dict[str, str], as_json: bool
) -> None:
    process = silent_hire(env, *(["--json"] if as_json else []))
    process.send_signal(signal.SIGINT)
    out, said = (stream.decode() for stream in process.communicate(timeout=50))
    journal = Journal(env["MASUMI_DATABASE_URL"])
    (row,) = journal.rows()
    journal.close()
    told = json.loads(out)["error"] if as_json else said

    assert process.returncode == 3, (out, said)
    assert row.hire_id in told and "locked in escrow" in told and "masumi-tools sweep" in told
    assert "Traceback" not in said


def test_an_env_file_gives_the_settings_and_the_environment_goes_before_it(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f'export {name}="{value}"' for name, value in env.items() if name != "MASUMI_DATABASE_URL"]
    (tmp_path / "my.env").write_text(
        "# mine\n" + "\n".join(lines) + "\nMASUMI_NETWORK=Mainnet # no\nPATH=/x\n"
    )
    for name in env:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MASUMI_DATABASE_URL", env["MASUMI_DATABASE_URL"])
    monkeypatch.setenv("MASUMI_NETWORK", "Preprod")

    assert run(["hire", "echo", "text=a", *PAY, "--env-file", str(tmp_path / "my.env")]) == 0
    monkeypatch.chdir(tmp_path)
    assert run(["quote", "echo"]) == 2  # no settings here
    (tmp_path / "my.env").rename(tmp_path / ".env")
    assert run(["quote", "echo"]) == 0


def test_the_version_and_the_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"masumi-tools {version('masumi_tools')}"
    done = subprocess.run(command("--version"), capture_output=True, timeout=50)
    assert done.returncode == 0 and b"masumi-tools" in done.stdout


def test_exports_carry_no_control_character_and_no_formula(
    env: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from masumi_tools.cli import buying
    from masumi_tools.hire.receipt import Receipt

    spellings = [
        "=1+1",
        " =1+1",
        "＝1+1",
        "\t=1",
        "'=1",
        "+1",
        "-1",
        "@a",
        "|x",
        "\ufeff=1",
        "\u202e=1",
        "\x1b=1",
    ]
    made = [
        Receipt(hire_id=f"h{n}", outcome="failed", service=text, result=text)
        for n, text in enumerate(spellings)
    ]
    for form in ("csv", "jsonl"):
        buying._export([made], "-", form)
    shown = capsys.readouterr().out

    assert not set(shown) & {"\x1b", "\u202e", "\ufeff"}
    rows = shown.splitlines()[1 : 1 + len(spellings)]
    assert [row for row in rows if row.split(",")[2].strip('" ')[:1] != "'"] == []
    assert [json.loads(line)["service"] for line in shown.splitlines()[1 + len(spellings) :]] == spellings


def test_the_statuses_are_those_that_the_help_names() -> None:
    assert (running.DONE, running.LOST_NOTHING, running.USAGE, running.OPEN) == (0, 1, 2, 3)


def test_the_look_at_the_price_counts_as_waiting(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever keeps the quote waiting for its 60 s takes them from the patience that was given."""
    passed, given = [0.0], []

    def slow(buyer: Buyer, target: str) -> Quote:
        passed[0] += 30.0
        return quote(buyer, target)

    def heard(buyer: Buyer, target: str, data: object, **options: Any) -> Receipt:
        given.append(options["patience_s"])
        return hire(buyer, target, data, **options)

    quote, hire = Buyer.quote, Buyer.hire
    monkeypatch.setattr(Buyer, "quote", slow)
    monkeypatch.setattr(Buyer, "hire", heard)
    monkeypatch.setattr(buying, "time", SimpleNamespace(monotonic=lambda: passed[0]))

    assert run(["hire", "echo", "text=late", *PAY, "--patience", "70"]) == 0
    assert run(["hire", "echo", "text=late", *PAY, "--patience", "8"]) == 0
    assert given == [40.0, 0]
