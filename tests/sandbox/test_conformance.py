"""The sandbox answers like the node: recorded exchanges are replayed, and the replay notices what differs."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.sandbox import node
from masumi_tools.sandbox.chain import identifier, lz
from tests.shared import shared_json

from . import links
from .comparing import Comparison, volatile_paths
from .conformance import Outcome, main, replay, report

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
JULY = RECORDED[0]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def small() -> Json:
    found: Json = json.loads(JULY.read_text(encoding="utf-8"))
    names = ("purchase-v1-fixed", "purchase-concurrent", "diff-purchase", "errors-http")
    found["stories"] = [story for story in found["stories"] if story["story"] in names]
    return found


def step_of(corpus: Json, name: str) -> Json:
    return next(s for story in corpus["stories"] for s in story["steps"] if s["id"] == name)


def wrong(corpus: Json) -> list[str]:
    return [outcome.id for outcome in replay(corpus) if outcome.verdict == "wrong"]


LEFT_OUT = {"fuzz-misc-31/s14"}
"""/swap: it plays no part in hiring or selling through the escrow."""


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_recorded_exchanges_of_the_running_node_are_right(file: Path) -> None:
    outcomes = replay(json.loads(file.read_text(encoding="utf-8")))
    assert not [(o.id, o.reasons) for o in outcomes if o.verdict == "wrong"]
    assert {o.id for o in outcomes if o.verdict == "left out"} <= LEFT_OUT
    assert len(outcomes) > 100


def test_all_recorded_exchanges_of_the_real_node_are_right() -> None:
    for name in ("node-corpus.json", "node-corpus-2.json"):
        outcomes = replay(shared_json(f"protocol/{name}"))
        assert not [(o.id, o.reasons) for o in outcomes if o.verdict != "right" and o.id not in LEFT_OUT]


def _status(step: Json) -> None:
    step["response"]["status"] += 1


def _text(step: Json) -> None:
    step["response"]["body"]["data"]["NextAction"]["requestedAction"] = "FundsLockingInitiated"


def _missing(step: Json) -> None:
    del step["response"]["body"]["data"]["metadata"]


def _more(step: Json) -> None:
    step["response"]["body"]["data"]["extra"] = None


def _kind(step: Json) -> None:
    step["response"]["body"]["data"]["payByTime"] = 1


def _null(step: Json) -> None:
    step["response"]["body"]["data"]["resultHash"] = ""


def _entries(step: Json) -> None:
    step["response"]["body"]["data"]["PaidFunds"].pop()


def _header(step: Json) -> None:
    step["response"]["headers"]["allow"] = "GET"


@pytest.mark.parametrize("change", [_status, _text, _missing, _more, _kind, _null, _entries, _header])
def test_replay_notices_another_answer(small: Json, change: Callable[[Json], None]) -> None:
    corpus = copy.deepcopy(small)
    change(step_of(corpus, "purchase-v1-fixed/buy"))
    assert wrong(corpus) == ["purchase-v1-fixed/buy"]


def test_replay_notices_that_the_same_row_has_another_id(small: Json) -> None:
    corpus = copy.deepcopy(small)
    step_of(corpus, "purchase-v1-fixed/again")["response"]["body"]["object"]["id"] = "somebody-else"
    assert wrong(corpus) == ["purchase-v1-fixed/again"]


def test_losers_of_a_race_may_get_409_or_500_but_only_one_may_win(small: Json) -> None:
    corpus = copy.deepcopy(small)
    lost = {"status": 500, "headers": {}, "body": {}}
    step_of(corpus, "purchase-concurrent/par-1")["response"] = lost
    assert wrong(corpus) == []
    step_of(corpus, "purchase-concurrent/par-1")["response"] = step_of(corpus, "purchase-concurrent/par-0")[
        "response"
    ]
    assert wrong(corpus) == ["purchase-concurrent/par-1"]


def test_report_counts_by_area_and_names_what_is_wrong() -> None:
    outcomes = [
        Outcome("a/one", "list", "right"),
        Outcome("a/two", "list", "wrong", ["status 1 instead of 2"]),
        Outcome("b/three", "key", "left out", ["not here"]),
    ]
    text = report(outcomes)
    assert "list              1      1         0" in text
    assert "wrong: a/two: status 1 instead of 2" in text
    assert "left out: b/three: not here" in text


def test_command_exits_with_1_when_something_is_wrong(
    small: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(JULY)]) == 0
    corpus = copy.deepcopy(small)
    _status(step_of(corpus, "errors-http/404"))
    path = tmp_path / "corpus.json"
    path.write_text(json.dumps(corpus), encoding="utf-8")
    assert main([str(path)]) == 1
    assert "wrong: errors-http/404: status 404" in capsys.readouterr().out
    assert main([]) == 2


@pytest.mark.parametrize("broken", ["garbage", "2999-01-01T00:00:00.000Z", "2026-11-25 10:00:00"])
def test_a_time_of_another_form_or_of_the_future_is_wrong(broken: str) -> None:
    compare = Comparison(["createdAt"])
    compare.now_ms = 1_795_884_595_113
    recorded = {"createdAt": "2026-11-25T10:00:00.000Z"}
    assert compare.differences(recorded, {"createdAt": "2026-11-25T11:00:00.000Z"}) == []
    assert compare.differences(recorded, {"createdAt": broken}) != []


def shifted(text: str) -> str:
    return re.sub(r"T(\d\d):", lambda match: f"T{(int(match[1]) + 1) % 24:02d}:", text)


def reversed_rows(text: str) -> str:
    body = json.loads(text)
    data = body.get("data")
    for name in ("Purchases", "Payments", "entries"):
        if isinstance(data, dict) and isinstance(data.get(name), list):
            data[name].reverse()
    return json.dumps(body)


CORRUPTIONS: dict[str, tuple[Callable[[str], str], str]] = {
    "times that are none": (
        lambda text: re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "garbage", text),
        "purchase-v1-fixed/buy",
    ),
    "times of another zone": (
        lambda text: re.sub(r"(\d\d:\d\d\.\d{3})Z", r"\1+00:00", text),
        "purchase-v1-fixed/buy",
    ),
    "times an hour late": (shifted, "purchase-v1-fixed/buy"),
    "feeds in the wrong order": (reversed_rows, "diff-purchase/first"),
    "another state": (
        lambda text: text.replace("FundsLockingRequested", "FundsLockingInitiated"),
        "purchase-v1-fixed/buy",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupted_answers_are_reported(
    small: Json,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    change, row = CORRUPTIONS[name]

    def corrupted(world: Any, request: Any) -> Any:
        answer = right(world, request)
        with contextlib.suppress(ValueError):
            answer.body = change(answer.body.decode()).encode()
        return answer

    path = tmp_path / "some.json"
    path.write_text(json.dumps(small), encoding="utf-8")
    assert main([str(path)]) == 0
    right = node.answer
    monkeypatch.setattr(node, "answer", corrupted)
    assert main([str(path)]) == 1
    assert f"wrong: {row}: " in capsys.readouterr().out


def test_rows_that_changed_places_are_seen_by_their_times_alone() -> None:
    compare = Comparison(["id", "updatedAt"])
    compare.now_ms = 1_795_884_595_113
    rows = [{"updatedAt": f"2026-11-25T10:00:0{n}.000Z"} for n in (1, 2, 2)]
    assert compare.differences(rows, rows) == []
    assert compare.differences(rows, rows[::-1]) == ["body: updatedAt in another order"]
    assert compare.differences(rows, [rows[0], rows[0], rows[0]]) == []


UNKNOWN: list[tuple[Callable[[Json], None], str]] = [
    (lambda step: step.update(wait_ms=50), "unknown key 'wait_ms'"),
    (lambda step: step.update(setup=[{"op": "set_column", "row": "purchase"}]), "unknown setup 'set_column'"),
    (lambda step: step["request"].update(query={"limit": {"min": 1}}), "query 'limit' has the form"),
    (lambda step: step["request"].update(form="multipart"), "unknown key 'form'"),
]


@pytest.mark.parametrize(("change", "words"), UNKNOWN)
@pytest.mark.parametrize("step", ["errors-http/405-patch-purchase", "purchase-concurrent/par-2"])
def test_a_step_that_the_replay_does_not_know_how_to_send_is_wrong_by_name(
    small: Json, change: Callable[[Json], None], words: str, step: str
) -> None:
    corpus = copy.deepcopy(small)
    change(step_of(corpus, step))
    outcomes = {outcome.id: outcome for outcome in replay(corpus)}
    assert outcomes[step].verdict == "wrong" and words in outcomes[step].reasons[0]
    assert [id for id, outcome in outcomes.items() if outcome.verdict == "wrong"] == [step]


def test_a_query_parameter_that_comes_twice_is_sent_so(small: Json) -> None:
    corpus = copy.deepcopy(small)
    step_of(corpus, "diff-purchase/first")["request"]["query"]["limit"] = ["1", "2"]
    outcome = next(outcome for outcome in replay(corpus) if outcome.id == "diff-purchase/first")
    assert outcome.verdict == "wrong" and outcome.reasons[0].startswith("status 400")


def test_what_the_baseline_names_is_decided_and_fails_nothing(
    small: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = copy.deepcopy(small)
    _status(step_of(corpus, "errors-http/404"))
    path = tmp_path / "some.json"
    path.write_text(json.dumps(corpus), encoding="utf-8")
    baseline = tmp_path / "decided.txt"
    monkeypatch.setattr("tests.sandbox.conformance.BASELINE", baseline)
    assert main([str(path)]) == 1
    baseline.write_text("some.json: errors-http/404  # the path is ours\n", encoding="utf-8")
    assert main([str(path)]) == 0
    assert "decided: some.json: errors-http/404: the path is ours" in capsys.readouterr().out
    baseline.write_text("some.json: errors-http/404\n", encoding="utf-8")
    with pytest.raises(ValueError, match="a line reads"):
        main([str(path)])


def test_a_file_without_exchanges_is_refused_and_every_file_is_counted(
    small: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({**small, "stories": []}), encoding="utf-8")
    assert main([str(empty)]) == 2
    assert main([str(JULY), str(JULY)]) == 0
    assert capsys.readouterr().out.count("node-july.json: 201 right, 0 wrong, 0 left out") == 2


def test_volatile_list_is_read_with_its_braces_and_remarks() -> None:
    listed = [
        "id",
        "CurrentTransaction.{id,txHash}",
        "ActionHistory[].{id}",
        "NextAction.{id} in a 409 object",
    ]
    assert volatile_paths([*listed, "text of a JSON parse error (V8)"]) == [
        ("id",),
        ("CurrentTransaction", "id"),
        ("CurrentTransaction", "txHash"),
        ("ActionHistory", "id"),
        ("NextAction", "id"),
    ]


def test_comparison_tells_true_from_one_and_whole_from_nothing() -> None:
    compare = Comparison([])
    assert compare.differences({"a": 1}, {"a": True}) != []
    assert compare.differences({"a": 0}, {"a": 0.0}) == []
    assert compare.differences({"token": "*****abcd"}, {"token": "*****wxyz"}) == []
    assert compare.differences({"token": "*****abcd"}, {"token": "plain"}) != []


@pytest.mark.parametrize(
    ("link", "value", "result"),
    [
        ({"how": "upper"}, "abc", "ABC"),
        ({"how": "upper-at", "index": 1}, "abc", "aBc"),
        ({"how": "tail-upper", "length": 2}, "abc", "aBC"),
        ({"how": "wrap", "prefix": " ", "suffix": "zz"}, "abc", " abczz"),
        ({"how": "prefix", "length": 2}, "abc", "ab"),
        ({"how": "overwrite-tail", "tail": "00"}, "abcd", "ab00"),
        ({"how": "replace", "old": "b", "new": "x"}, "abc", "axc"),
        ({"how": "add", "ms": -5}, "1795573000000", "1795572999995"),
        ({"how": "iso-add", "ms": 1}, "2026-11-25T02:16:40.000Z", "2026-11-25T02:16:40.001Z"),
        ({"how": "as-number"}, "1795573000000", 1_795_573_000_000),
        ({"how": "as-iso"}, "1795573000000", "2026-11-25T02:16:40.000Z"),
        ({"how": "as-hex"}, "255", "0xff"),
        ({"how": "as-seconds"}, "1795573000999", "1795573000"),
    ],
)
def test_every_kind_of_link_is_known(link: Json, value: Any, result: Any) -> None:
    assert links.resolve({"from": "step:path"} | link, lambda place: value) == result


@pytest.mark.parametrize(
    "link",
    [
        {"a": "a:x", "b": "b:x", "parts": ["a[0]", "b[1]", "00", "b[3]"]},
        {"from": {"a": "a:x", "b": "b:x"}, "parts": "a[0].b[1].00.b[3]"},
        {"from": ["a:x", "b:x"], "parts": "a[0].b[1].00.b[3]"},
    ],
)
def test_composed_identifier_takes_parts_of_two_and_words(link: Json) -> None:
    texts = {end: lz.compress(f"{end}0.{end}1.{end}2.{end}3").hex() for end in "ab"}
    found = links.resolve(link | {"how": "compose"}, lambda place: texts[place[0]])
    assert identifier.decode(found) == identifier.Parts("a0", "b1", "00", "b3")


def test_a_link_that_leads_nowhere_makes_its_step_wrong_and_no_other(small: Json) -> None:
    corpus = copy.deepcopy(small)
    step_of(corpus, "purchase-v1-fixed/again")["links"]["body.metadata"] = "nowhere:request.body"
    assert wrong(corpus) == ["purchase-v1-fixed/again"]


def test_unknown_link_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown link"):
        links.resolve({"from": "a:b", "how": "sideways"}, lambda place: "x")
