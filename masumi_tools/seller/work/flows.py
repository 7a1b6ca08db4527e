"""CrewAI Flows as work: a fresh one for each job, the fields of its state as input fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from masumi_tools.errors import InputError
from masumi_tools.inputs import InputSpec, fields_from_model
from masumi_tools.seller.work.human import WorkContext
from masumi_tools.seller.work.loop import work_loop
from masumi_tools.seller.work.results import result_text

_OWN = ("id",)  # of the state: the flow gives it itself, and a buyer's would name another job's saved state


class FlowWork:
    """A Flow's class, or a function that makes one. What its last method returns is the result, else its state."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self._factory = factory
        try:
            shown = factory()
        except TypeError as error:
            raise InputError(
                f"the Flow cannot be made without arguments ({error}): give a function that makes it",
                phase="sell",
            ) from error
        self._spec = _fields(shown.state)

    def derived(self) -> InputSpec:
        return self._spec

    def bind(self, spec: InputSpec) -> None:
        return None

    def missing(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        return {}

    def run(self, values: Mapping[str, Any], context: WorkContext) -> str:
        return run_flow(self._factory(), values)


def fresh_like(flow: Any) -> Callable[[], Any]:
    """Makes Flows as this one was made: a flow that has run keeps the state of its job."""
    given = {name: getattr(flow, name) for name in flow.model_fields_set}
    return lambda: type(flow)(**given)


def run_flow(flow: Any, values: Mapping[str, Any]) -> str:
    """Run a fresh Flow with a buyer's values; the text of its result."""
    flow.stream = False
    inputs = {name: value for name, value in values.items() if name not in _OWN}
    result = work_loop.run(flow.kickoff_async(inputs=inputs))
    return result_text(result if result is not None else _outcome(flow.state))


def _fields(state: Any) -> InputSpec:
    if hasattr(type(state), "model_fields"):
        spec = fields_from_model(type(state))
    else:
        from pydantic import create_model

        wanted: dict[str, Any] = {
            name: (type(value) if value is not None else str, value)
            for name, value in dict(state).items()
            if isinstance(value, str | int | float | bool | list | dict | None)
        }
        spec = fields_from_model(create_model("State", **wanted))
    kept = tuple(field for field in spec.fields if field.id not in _OWN)
    return InputSpec(kept, closed=spec.closed, problems=spec.problems)


def _outcome(state: Any) -> Any:
    data = state.model_dump(mode="python") if hasattr(state, "model_dump") else dict(state)
    return {name: value for name, value in data.items() if name not in _OWN}
