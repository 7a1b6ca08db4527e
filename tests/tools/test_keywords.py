"""No limit that is given does nothing: unknown keywords raise in every public callable, dead limits, too."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import masumi_tools
from masumi_tools import AsyncBuyer, Budget, Buyer, Settings, seller
from masumi_tools.errors import InputError
from masumi_tools.sandbox import Sandbox

AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "ab" * 20
ROOMS = ["masumi_tools", "masumi_tools.langchain", "masumi_tools.crewai"]
MORE_ROOMS = ["masumi_tools.seller", "masumi_tools.sandbox", "masumi_tools.mcp", "masumi_tools.inputs"]
LIMITS = ["approve", "approve_above", "deny", "per_hire", "per_day", "per_service"]
TYPOS = {
    "max_prize": "max_price",
    "patience": "patience_s",
    "budjet": "budget",
    "on_missmatch": "on_mismatch",
}


def public_callables() -> Iterator[Any]:
    """Every class, function and method that the public face has, with its name."""
    for room in (*ROOMS, *MORE_ROOMS):
        try:
            module = importlib.import_module(room)
        except ImportError:
            continue
        for name in module.__all__:
            public = getattr(module, name)
            yield pytest.param(public, id=f"{room}.{name}")
            if not inspect.isclass(public):
                continue
            for word, member in inspect.getmembers(public):
                ours = inspect.unwrap(getattr(member, "__func__", member))
                if word.startswith("_") or not (getattr(ours, "__module__", "") or "").startswith(
                    "masumi_tools"
                ):
                    continue
                if callable(member):
                    yield pytest.param(member, id=f"{room}.{name}.{word}")


FRAMEWORKS_OWN = {"run", "arun"}  # LangChain calls these with what it likes


@pytest.mark.parametrize("public", [*public_callables()])
def test_every_public_callable_names_its_keywords(public: Any) -> None:
    if getattr(public, "__name__", "") in FRAMEWORKS_OWN:
        pytest.skip("the framework's")
    if inspect.isclass(public) and issubclass(public, Exception):
        pytest.skip("an error, which nobody is limited by")
    signature = inspect.signature(public)

    assert [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD] == []


BASES = {"HireText", "MasumiProgressEvent", "Receipt"}  # results, which nobody is limited by


@pytest.mark.parametrize("public", [*public_callables()])
def test_every_public_callable_refuses_a_keyword_that_it_does_not_know(public: Any) -> None:
    if getattr(public, "__name__", "") in BASES:
        pytest.skip("a result")
    with pytest.raises(TypeError):
        made = public(limitt="1 ADA")
        if inspect.iscoroutine(made):
            made.send(None)


@pytest.mark.parametrize(
    ("make", "typo", "meant"),
    [
        (lambda **given: Settings(**given), "node_uri", "node_url"),
        (lambda **given: Sandbox(**given), "time_scales", "time_scale"),
        (lambda **given: seller.sell(print, name="n", price="1 ADA", **given), "workerz", "workers"),
        (lambda **given: Budget("1 ADA", **given), "per_months", "per_month"),
    ],
)
def test_settings_sandbox_and_shop_say_what_was_meant(make, typo, meant):
    with pytest.raises(TypeError, match=f"did you mean '?{meant}'?"):
        make(**{typo: 1})


def makers() -> Iterator[Any]:
    for room in ROOMS[1:]:
        module = pytest.importorskip(room) if room not in ROOMS else importlib.import_module(room)
        tool, kit = module.MasumiAgentTool, module.MasumiToolkit
        for make in (tool.for_agent, tool.for_url, tool):
            yield pytest.param(lambda make=make, **given: make(AGENT, **given), id=f"{room} {make}")
        yield pytest.param(kit, id=f"{room} toolkit")


@pytest.mark.parametrize("make", [*makers()])
@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_of_the_budget_is_sent_there(make: Callable[..., Any], limit: str) -> None:
    with pytest.raises(TypeError, match=rf"limit of the budget: budget=Budget\(..., {limit}=...\)"):
        make(budget=Budget("20 ADA"), **{limit: "1 ADA"})


@pytest.mark.parametrize("make", [*makers()])
@pytest.mark.parametrize(("typo", "meant"), TYPOS.items())
def test_a_mistyped_keyword_is_told_what_was_meant(make: Callable[..., Any], typo: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"'{typo}'; did you mean '{meant}'\?"):
        make(**{typo: "1 ADA"})


@pytest.mark.parametrize("make", [*makers()])
def test_dry_run_is_no_keyword_and_nothing_is_hired(make: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="dry_run"):
        make(dry_run=True)


@pytest.mark.parametrize("buyer", [Buyer, AsyncBuyer])
def test_a_buyer_says_what_was_meant(buyer: Any) -> None:
    with pytest.raises(TypeError, match=r"did you mean 'max_price'\?"):
        made = buyer.hire(None, AGENT, {}, maxprice="1 ADA")
        made.send(None)
    with pytest.raises(TypeError, match=r"did you mean 'max_price'\?"):
        made = buyer.hire_many(None, [], max_prise="1 ADA")
        made.send(None)
    with pytest.raises(TypeError, match=r"Budget\(..., per_hire=...\)"):
        buyer(per_hire="1 ADA")


@pytest.mark.parametrize("make", [*makers()])
def test_a_budget_beside_a_buyer_would_do_nothing_and_raises(make: Callable[..., Any]) -> None:
    with Sandbox(listen=False) as sandbox, Buyer(Settings.from_sandbox(sandbox)) as buyer:
        with pytest.raises(InputError, match="budget= would do nothing beside buyer="):
            make(buyer=buyer, budget=Budget("1 ADA"))
        with pytest.raises(InputError, match="settings= would do nothing beside buyer="):
            make(buyer=buyer, settings=buyer.settings)


def ask(asked: Any) -> bool:
    return True


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"approve": ask}, "add approve_above="),
        ({"approve_above": "30 ADA", "approve": ask}, "never be asked"),
        ({"approve_above": "2 ADA", "approve": ask, "per_hire": "2 ADA"}, "never be asked"),
        ({"deny": ["Echo"]}, "deny would match no service"),
        ({"allow": [AGENT[:50]]}, "allow would match no service"),
        ({"deny": AGENT}, r"write deny=\["),
        ({"allow": "https://s.example"}, r"write allow=\["),
    ],
)
def test_a_limit_that_could_never_bite_raises(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Budget("20 ADA", **given)


@pytest.mark.parametrize(
    "given",
    [
        {"approve_above": "0 ADA"},
        {"approve_above": "1 ADA", "per_hire": "2 ADA"},
        {"approve_above": "5 USDM"},
    ],
)
def test_a_limit_that_can_bite_is_taken(given: dict[str, Any]) -> None:
    assert Budget("20 ADA", approve=ask, **given).needs_approval(Budget("2 ADA").total)


def test_a_budget_says_what_was_meant() -> None:
    with pytest.raises(
        TypeError, match=r"Budget\(\) got an unexpected keyword argument 'aprove'; did you mean"
    ):
        Budget("20 ADA", aprove=ask)  # type: ignore[call-arg]


def test_the_names_of_the_face_are_all_gone_through() -> None:
    assert {"hire", "for_agent", "afor_url", "get_tools", "approval"} <= {
        param.id.rpartition(".")[2] for param in public_callables()
    }
    assert set(masumi_tools.__all__) <= {param.id.split(".")[1] for param in public_callables()}
