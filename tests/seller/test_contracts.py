"""A deploy with other fields: what was sold before is done under the contract it was sold under."""

from __future__ import annotations

import pytest

from tests.seller.support import Market


def field(name: str, **more: object) -> dict[str, object]:
    return {"id": name, "type": "string", "name": name, **more}


def work(**given: str) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(given.items()))


def renamed(title: str) -> str:
    return title


def test_a_job_that_was_sold_with_other_fields_is_done_after_a_deploy(
    market: Market, caplog: pytest.LogCaptureFixture
):
    url = f"sqlite:///{market.folder}/deploy.sqlite"
    with market.shop(work, database_url=url, fields=[field("topic")], price="1 ADA") as buying:
        job = buying.start({"topic": "x"})
    strict = [field("topic", validations=[{"validation": "min", "value": "5"}]), field("tone")]
    with market.shop(work, database_url=url, fields=strict) as buying:
        buying.pay(job)
        done = buying.wait(job, "completed", "failed")
        told = buying.http.get("/availability").json()["terms_changed"]

    assert done["result"] == "topic=x", done
    assert "field tone is new" in caplog.text and "field tone is new" in told["what"]
    with market.shop(work, database_url=url, fields=strict) as buying:  # the same terms again
        assert buying.http.get("/availability").json()["terms_changed"] == told


def test_a_job_that_todays_work_cannot_do_fails_in_words(market: Market, caplog: pytest.LogCaptureFixture):
    url = f"sqlite:///{market.folder}/deploy.sqlite"
    with market.shop(work, database_url=url, fields=[field("topic")]) as buying:
        job = buying.start({"topic": "x"})
    with market.shop(renamed, database_url=url) as buying:
        buying.pay(job)
        failed = buying.wait(job, "completed", "failed")

    assert failed["error"] == "the service was changed after this job was sold and can no longer do it"
    assert "field topic is gone" in caplog.text and "field title is new" in caplog.text
    assert f"job {job['id']} was sold with other fields" in caplog.text
