"""`masumi-tools try`: the work once, without node, payment or server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from masumi_tools.cli.run import run as main
from masumi_tools.errors import InputError
from masumi_tools.seller import ask_human, report_progress, sell
from masumi_tools.seller.dry_run import try_once

SHOP = """
from masumi_tools.seller import WorkFailed, sell

def shout(text: str, times: int = 1) -> str:
    if text == "bad":
        raise WorkFailed("no shouting of this")
    return text.upper() * times

service = sell(shout, name="Shout", price="1 ADA")
"""


def careful(text: str) -> str:
    report_progress("half")
    return text + str(ask_human("sure?")["answer"])


def test_the_work_is_done_once_with_questions_and_progress():
    service, heard = sell(careful, name="Careful", price="1 ADA"), []

    text = try_once(service, {"text": "x"}, ask=lambda spec, message: {"answer": message}, say=heard.append)

    assert text == "xsure?" and heard == ["half"]


def test_input_that_would_be_refused_before_payment_is_refused():
    with pytest.raises(InputError, match="text"):
        try_once(sell(careful, name="Careful", price="1 ADA"), {}, ask=lambda spec, message: {})


def test_the_command_prints_what_a_buyer_would_get(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "tried_shop.py").write_text(SHOP)
    place = str(tmp_path / "tried_shop.py")

    assert main(["try", place, "text=hi", "times=2"]) == 0
    assert capsys.readouterr().out == "HIHI\n"
    assert main(["--json", "try", place, "--input", '{"text": "hi"}']) == 0
    assert json.loads(capsys.readouterr().out) == {"result": "HI"}
    assert main(["try", place, "text=bad"]) == 1
    assert "the buyer would read: no shouting of this" in capsys.readouterr().err
    assert main(["try", place, "other=x"]) != 0
