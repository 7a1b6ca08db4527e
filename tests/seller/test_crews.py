"""Crews as work: input fields from their placeholders, texts literally, people, progress, one crew for each job."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from masumi_tools.errors import InputError
from masumi_tools.seller import sell
from masumi_tools.seller.work.templates import fill, placeholders
from masumi_tools.seller.work.work import work_of
from tests.seller.support import Market, until
from tests.shared import SHARED

crewai = pytest.importorskip("crewai")
from tests.seller.crews import Scripted, crew  # noqa: E402

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(120)]

OWN = json.loads((Path(__file__).parent / "crews.json").read_text(encoding="utf-8"))
WILD = json.loads((SHARED / "protocol/wild/crews.json").read_text(encoding="utf-8")) if SHARED else []


def prompted(text: str, llm: Scripted) -> str:
    """The task as the model was told it."""
    return next(prompt for prompt in llm.heard if text in prompt)


def shaped_like(sample: dict[str, object]) -> object:
    """A crew with the sample's placeholders and the braces that lie in their way."""
    names = [f"{{{name}}}" for name in sample["placeholders"]]  # type: ignore[attr-defined]
    noise = "".join(f"{{{other}}}" for other in sample["fetch_inputs_would_also_report"])  # type: ignore[attr-defined]
    half = len(names) // 2
    return crew(
        f"Write about {' and '.join(names[:half])} as {noise}",
        expected='{"a": 1, "b": {"nested": "x"}, "...": "<y>"} of ' + " ".join(names[half:]),
        role="Expert",
    )


@pytest.mark.parametrize("sample", OWN + WILD, ids=lambda sample: sample["id"])
def test_the_fields_of_public_crews(sample):
    spec = work_of(shaped_like(sample)).derived()

    assert sorted(field.id for field in spec.fields) == sorted(sample["placeholders"])
    assert all(field.required for field in spec.fields)
    service = sell(shaped_like(sample), name="Shop", price="1 ADA")
    assert len(service.offer.spec.fields) == len(sample["placeholders"])
    paths = [name for name in sample["placeholders"] if re.search(r"path|filename", name)]
    assert bool(spec.problems) == bool(paths)


def test_placeholders_are_identifiers_in_the_order_of_their_use():
    assert placeholders(['{"a": 1} {b} {c-d} {b}', "{ e } {_f} {1g} {}"]) == ["b", "c-d", "_f"]
    assert fill("{a} {b} {a} {x}", {"a": "{b}", "b": 2}) == "{b} 2 {b} {x}"


def test_text_with_braces_reaches_the_crew_literally(market: Market):
    llm = Scripted()
    one = crew("Say {first}, then {second}", expected='{"json": "{first}"} and {"more": [1]}', llm=llm)
    nasty = 'a {second} b {unknown} c {"d": {1}} {{e}} %s \\1'
    with market.shop(one) as buying:
        job = buying.buy({"first": nasty, "second": "2"})
        done = buying.wait(job, "completed", "failed", within_s=40)

    assert done["result"] == "an answer", done
    prompt = prompted("Say ", llm)
    assert f"Say {nasty}, then 2" in prompt
    assert f'{{"json": "{nasty}"}} and {{"more": [1]}}' in prompt


def test_a_crew_with_braces_and_no_inputs_runs(market: Market):
    llm = Scripted()
    with market.shop(crew('Write {"a": "x"} or {"b": {"c": 1}}', llm=llm)) as buying:
        assert buying.http.get("/input_schema").json() == {"input_data": []}
        assert buying.wait(buying.buy({}), "completed", "failed", within_s=40)["status"] == "completed"


def test_a_missing_template_variable_is_400_before_anything_is_paid(market: Market):
    fields = [{"id": "text", "type": "string", "name": "Text"}]
    with market.shop(crew("{text} and {previous_task_output}"), fields=fields) as buying:
        body = {"identifier_from_purchaser": "ab" * 10, "input_data": {"text": "x"}}
        answer = buying.post("/start_job", body)

    assert answer.status_code == 400
    assert list(answer.json()["detail"]["field_errors"]) == ["previous_task_output"]
    assert market.sandbox.ledger()["payments"] == []


def test_an_optional_field_that_is_left_out_is_an_empty_text(market: Market):
    llm = Scripted()
    rule = {"validation": "optional", "value": "true"}
    fields = [
        {"id": "text", "type": "string", "name": "Text"},
        {"id": "more", "type": "string", "name": "More", "validations": [rule]},
    ]
    with market.shop(crew("[{text}] [{more}]", llm=llm), fields=fields) as buying:
        buying.wait(buying.buy({"text": "x"}), "completed", within_s=40)

    assert "[x] []" in prompted("[x]", llm)


def test_five_jobs_at_once_have_five_crews_and_five_results(market: Market):
    def answer(prompt: str) -> str:
        number = re.search(r"number (\d+)!", prompt)
        return f"result {number[1] if number else '?'}"

    with market.shop(crew("Do number {n}!", "Again number {n}!", llm=Scripted(answer)), workers=5) as buying:
        jobs = [buying.buy({"n": str(n)}) for n in range(5)]
        results = [buying.wait(job, "completed", "failed", within_s=50)["result"] for job in jobs]

    assert results == [f"result {n}" for n in range(5)]


def test_a_factory_makes_a_crew_for_each_job(market: Market):
    made = []

    def make():
        made.append(crew("Do {what}"))
        return made[-1]

    with market.shop(make) as buying:
        for n in range(2):
            buying.wait(buying.buy({"what": str(n)}), "completed", within_s=40)

    assert len(made) == 3  # one to read the placeholders of, one for each job


def test_a_class_under_crewbase_is_a_factory():
    class Shaped:
        def crew(self):
            return crew("About {topic}")

    for given in (Shaped, Shaped()):
        assert [field.id for field in work_of(given).derived().fields] == ["topic"]


def test_a_crew_that_has_run_is_refused():
    used = crew("About {topic}")
    used.kickoff(inputs={"topic": "x"})

    with pytest.raises(InputError, match="has run already"):
        work_of(used)


SEEN: list[str] = []


def with_year(inputs):
    return {**inputs, "year": "2026"}


def after_task(output):
    SEEN.append(output.raw)


def test_the_sellers_own_callbacks_still_run(market: Market):
    llm = Scripted()
    more = {"before_kickoff_callbacks": [with_year], "task_callback": after_task}
    one = crew("About {topic} in {year}", llm=llm, **more)
    fields = [{"id": "topic", "type": "string", "name": "Topic"}]
    with market.shop(one, fields=fields) as buying:
        done = buying.wait(buying.buy({"topic": "x"}), "completed", "failed", within_s=40)

    assert done["status"] == "completed", done
    assert "About x in 2026" in prompted("About", llm)
    assert SEEN == ["an answer"]


def test_progress_counts_tasks(market: Market):
    seen: set[str] = set()

    def answer(prompt: str) -> str:
        until(lambda: seen, "a look", within_s=10)
        return "an answer"

    with market.shop(crew("one", "two", llm=Scripted(answer))) as buying:
        job = buying.buy({})
        until(lambda: buying.status(job).get("message") == "0 of 2 tasks done", "the first task", 40)
        seen.add("0")
        until(lambda: buying.status(job)["status"] == "completed", "the end", 40)


def test_a_crew_that_asks_people_asks_the_buyer(market: Market):
    llm = Scripted(lambda prompt: "second draft" if "shorter" in prompt else "first draft")
    with market.shop(crew("Write {what}", llm=llm, human=True)) as buying:
        job = buying.buy({"what": "a poem"})
        asked = buying.wait(job, "awaiting_input", "failed", within_s=40)
        assert asked["message"] == "first draft", asked
        assert buying.provide(job, {"feedback": "shorter please"}, status_id=asked["id"]).status_code == 200
        again = until(
            lambda: (s := buying.status(job))["message"] == "second draft" and s, "the second question", 40
        )
        assert buying.provide(job, {}, status_id=again["id"]).status_code == 200

        assert buying.wait(job, "completed", "failed", within_s=40)["result"] == "second draft"


def test_telemetry_and_signal_handlers_are_off():
    import os
    import signal

    crew("About {topic}")

    assert os.environ["CREWAI_DISABLE_TELEMETRY"] == "true"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
