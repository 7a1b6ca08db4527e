"""LangGraph graphs as work: a thread for each job, and interrupts as questions to the buyer.

Where the seller's checkpointer is lasting, a job that is begun again goes on where it was; without one,
it begins anew and the questions get the answers that came already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from masumi_tools.inputs import InputSpec
from masumi_tools.seller.work.human import WorkContext, spec_of
from masumi_tools.seller.work.kinds import descends_from
from masumi_tools.seller.work.loop import work_loop
from masumi_tools.seller.work.results import plain

_ANSWER = [{"id": "answer", "type": "textarea", "name": "Answer"}]


def is_graph(runnable: Any) -> bool:
    """Whether it is a compiled graph, an agent among them."""
    return descends_from(type(runnable), "langgraph", "Pregel")


def thread_of(context: WorkContext) -> Any:
    """The config under which memory of a job is kept apart from that of every other."""
    return {"configurable": {"thread_id": context.job_id, "session_id": context.job_id}}


def run_graph(graph: Any, given: Any, context: WorkContext) -> Any:
    """Run a graph to its end; its interrupts are answered by the buyer. What it gives at last."""
    thread = _Thread(graph, context)
    state = thread.state()
    payload, waiting = given, _interrupts(state)
    if state.values and not state.next and not waiting and thread.lasting:
        return _outputs(graph, state.values)  # it ended before its result was saved
    if state.next:
        payload = None
    while True:
        if waiting:
            payload = _resumed(waiting, _Asking(context, thread.lasting, bool(state.next)))
        result = thread.go_on(payload)
        waiting = _interrupts(thread.state())
        if not waiting:
            return result


class _Thread:
    """One job's thread in a graph. Async where that can be, since tools and nodes may know no other way."""

    def __init__(self, graph: Any, context: WorkContext) -> None:
        self._config = thread_of(context)
        self.lasting = bool(graph.checkpointer)
        self._graph = graph if self.lasting else graph.copy(update={"checkpointer": _memory()})
        self._sync = False

    def state(self) -> Any:
        if not self._sync:
            try:
                return work_loop.run(self._graph.aget_state(self._config))
            except NotImplementedError:  # a checkpointer that can only be called from threads
                self._sync = True
        return self._graph.get_state(self._config)

    def go_on(self, payload: Any) -> Any:
        if self._sync:
            return self._graph.invoke(payload, self._config)
        return work_loop.run(self._graph.ainvoke(payload, self._config))


def _memory() -> Any:
    """A checkpointer for one run that keeps objects as they are, whatever the state holds."""
    from langgraph.checkpoint.memory import InMemorySaver

    class AsTheyAre:
        def dumps_typed(self, value: Any) -> Any:
            return "object", value

        def loads_typed(self, typed: Any) -> Any:
            return typed[1]

    return InMemorySaver(serde=AsTheyAre())


def _outputs(graph: Any, values: Any) -> Any:
    names = graph.output_channels
    if isinstance(names, str):
        return values.get(names) if isinstance(values, Mapping) else values
    return {name: values[name] for name in names if name in values}


def _interrupts(state: Any) -> Sequence[Any]:
    found: Sequence[Any] = state.interrupts
    return found


# Questions -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asking:
    """How the interrupts of one run become questions.

    A graph that goes on from its checkpoint has had the answers to its earlier interrupts, so an earlier
    question of the same words is another one there. One that begins anew asks all again.
    """

    context: WorkContext
    lasting: bool
    resumed: bool

    def __call__(self, spec: InputSpec, message: str, interrupt: Any) -> dict[str, Any]:
        key = str(getattr(interrupt, "id", "")) if self.lasting else ""
        return self.context.ask(spec, message, key, self.resumed and bool(key))


def _resumed(waiting: Sequence[Any], ask: _Asking) -> Any:
    """Ask the buyer what the graph asks; the command that carries the answers on."""
    from langgraph.types import Command

    answers = {one.id: _asked(one, ask) for one in waiting}
    return Command(resume=answers if len(answers) > 1 else next(iter(answers.values())))


def _asked(interrupt: Any, ask: _Asking) -> Any:
    value = interrupt.value
    if isinstance(value, Mapping) and isinstance(value.get("action_requests"), list):
        return _decided(interrupt, ask)
    if isinstance(value, Mapping) and ("input_data" in value or "input_groups" in value):
        return ask(spec_of(value), _words(value.get("message", "")), interrupt)
    return _read(ask(spec_of(_ANSWER), _words(value), interrupt)["answer"])


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


def _read(answer: Any) -> Any:
    """JSON objects, lists and truth values as what they are; every other answer as its text."""
    text = str(answer).strip()
    if text[:1] in ("{", "[") or text in ("true", "false"):
        try:
            return json.loads(text)
        except ValueError:
            return answer
    return answer


def _decided(interrupt: Any, ask: _Asking) -> Any:
    """LangChain's human in the loop: a decision on each action, with words for a rejection."""
    requests = interrupt.value["action_requests"]
    message = "\n".join(
        str(one.get("description") or f"{one.get('name')} {_words(one.get('args', {}))}") for one in requests
    )
    given = ask(_decisions(len(requests)), message, interrupt)
    decisions: list[dict[str, Any]] = []
    for number in range(1, len(requests) + 1):
        if given[f"decision_{number}"] == "approve":
            decisions.append({"type": "approve"})
        else:
            words = given.get(f"why_{number}")
            decisions.append({"type": "reject", **({"message": words} if words else {})})
    return {"decisions": decisions}


def _decisions(count: int) -> InputSpec:
    optional = [{"validation": "optional", "value": "true"}]
    one = [{"validation": "min", "value": "1"}, {"validation": "max", "value": "1"}]
    fields: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        which = f" {number}" if count > 1 else ""
        choices = {"values": ["approve", "reject"]}
        fields += [
            {
                "id": f"decision_{number}",
                "type": "option",
                "name": f"Decision{which}",
                "data": choices,
                "validations": one,
            },
            {"id": f"why_{number}", "type": "textarea", "name": f"Why{which}", "validations": optional},
        ]
    return spec_of(fields)
