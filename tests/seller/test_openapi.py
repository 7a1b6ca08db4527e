"""schemathesis against the service's own OpenAPI: no 5xx, and every answer as documented."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

schemathesis = pytest.importorskip("schemathesis")
from masumi_tools.seller import Limits, ask_human  # noqa: E402
from tests.seller.support import Market  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]

ROUTES = [
    "/start_job",
    "/status",
    "/provide_input",
    "/availability",
    "/input_schema",
    "/demo",
    "/payment-information",
]


def work(text: str, n: int = 1) -> str:
    return text * n


def careful(text: str = "x") -> str:
    return str(ask_human("sure?")["answer"])


def every_example(operation: Any, mode: Any, seen: set[int]) -> None:
    """Send what schemathesis makes of the contract, right or wrong, and hold every answer against it."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=60,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Any) -> None:
        response = case.call()
        case.validate_response(response)
        seen.add(response.status_code)
        assert response.status_code < 500, response.text

    one()


@pytest.mark.parametrize("price", ["1 ADA", None], ids=["paid", "free"])
def test_no_request_meets_a_5xx_or_an_undocumented_answer(market: Market, price):
    limits = Limits(unpaid=10**6, unpaid_per_client=10**6)
    with market.shop(careful if price is None else work, price=price, limits=limits) as buying:
        schema = schemathesis.openapi.from_url(f"{buying.url}/openapi.json")
        paths = [operation.ok().path for operation in schema.get_all_operations()]
        assert sorted(paths) == sorted(ROUTES)
        seen: set[int] = set()

        for found in schema.get_all_operations():
            operation = found.ok()
            every_example(operation, schemathesis.GenerationMode.POSITIVE, seen)
            if operation.path in ("/start_job", "/provide_input"):
                every_example(operation, schemathesis.GenerationMode.NEGATIVE, seen)
            for method in ("PUT", "DELETE"):
                assert buying.http.request(method, operation.path).status_code == 405

        assert {200, 400, 404} <= seen
        job = buying.start({"text": "x"})
        assert buying.status(job)["status"] in ("awaiting_payment", "running", "awaiting_input")


def test_the_documented_errors_are_the_real_ones(market: Market):
    with market.shop(work) as buying:
        document = buying.http.get("/openapi.json").json()

    assert set(document["paths"]["/start_job"]["post"]["responses"]) == {"200", "400", "413", "429", "503"}
    assert "422" not in str(document["paths"])
