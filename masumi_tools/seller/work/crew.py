"""CrewAI crews as work: a fresh crew for each job, placeholders as input fields, people through /status."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from masumi_tools.errors import InputError, MissingExtra
from masumi_tools.inputs import InputSpec, fields_from_placeholders
from masumi_tools.seller.work.base import WorkFailed
from masumi_tools.seller.work.human import WorkContext, ask_human
from masumi_tools.seller.work.results import result_text
from masumi_tools.seller.work.templates import as_file_name, fill, placeholders

log = logging.getLogger("masumi_tools.seller")

_REVIEW = "Leave empty to accept, or say what should be different"


class CrewWork:
    """A template that never runs itself and is copied for each job, or a factory that makes one for each."""

    def __init__(
        self, template: Any = None, factory: Callable[[], Any] | None = None, first: Any = None
    ) -> None:
        self._factory = factory
        self._template: Any = template
        shown = template if factory is None else (first if first is not None else factory())
        if not hasattr(shown, "kickoff"):
            raise InputError(
                f"the crew factory made a {type(shown).__name__}, which is not a Crew", phase="sell"
            )
        if any(getattr(task, "_original_description", None) is not None for task in shown.tasks):
            raise InputError(
                "this Crew has run already, so its texts are filled in: give a fresh one or a factory",
                phase="sell",
            )
        _refuse_paths(shown)
        self.names = placeholders(_texts(shown))
        self._optional: frozenset[str] = frozenset()
        self._copying = threading.Lock()
        self._callbacks = bool(getattr(shown, "before_kickoff_callbacks", None))

    def derived(self) -> InputSpec:
        return fields_from_placeholders(self.names)

    def bind(self, spec: InputSpec) -> None:
        self._optional = frozenset(field.id for field in spec.asked if not field.required)
        for problem in spec.problems:
            log.warning("input field %s", problem)
        lacking = [name for name in self.names if spec.field(name) is None]
        if lacking and not self._callbacks:
            log.warning("no input field brings what the crew's texts need: %s", ", ".join(lacking))

    def missing(self, values: Mapping[str, Any]) -> dict[str, list[str]]:
        if self._callbacks:  # they may add what is missing
            return {}
        given = self._given(values)
        return {name: ["the crew needs it and it is missing"] for name in self.names if name not in given}

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values, with an empty text for what a buyer may leave out."""
        return {**{name: "" for name in self.names if name in self._optional}, **values}

    def run(self, values: Mapping[str, Any], context: WorkContext) -> str:
        return run_crew(self._fresh(), self._given(values), context)

    def _fresh(self) -> Any:
        if self._factory is not None:
            return self._factory()
        with self._copying:
            return self._template.copy()


def run_crew(crew: Any, values: Mapping[str, Any], context: WorkContext) -> str:
    """Run a fresh Crew with a buyer's values; the text of its result."""
    _prepare(crew, dict(values), context.job_id)
    _count_tasks(crew, context)
    with answered_by_the_buyer():
        output = crew.kickoff()
    failures = getattr(output, "tool_failures", None)
    if failures and not str(getattr(output, "raw", "") or "").strip():
        raise WorkFailed("the crew's tools failed and there is no result")
    return result_text(output)


def _texts(crew: Any) -> list[str]:
    """Every text of a crew that CrewAI fills in at kickoff."""
    texts: list[str] = []
    for task in crew.tasks:
        texts += [
            task.description or "",
            task.expected_output or "",
            getattr(task, "output_file", None) or "",
        ]
    for agent in _agents(crew):
        texts += [agent.role or "", agent.goal or "", agent.backstory or ""]
    return texts


def _agents(crew: Any) -> list[Any]:
    agents = [*crew.agents, *(task.agent for task in crew.tasks if task.agent is not None)]
    return list({id(agent): agent for agent in agents}.values())


def _prepare(crew: Any, values: dict[str, Any], job_id: str) -> None:
    """Fill the texts in ourselves, in one pass.

    CrewAI replaces name after name, so a buyer's text with another name in braces would be filled in
    too, and it refuses JSON braces when there is nothing to fill in. After this it has nothing left to do.
    """
    for callback in list(getattr(crew, "before_kickoff_callbacks", None) or ()):
        values = callback(values) or values
    crew.before_kickoff_callbacks = []
    if getattr(crew, "stream", False):
        crew.stream = False
    lacking = [name for name in placeholders(_texts(crew)) if name not in values]
    if lacking:
        raise WorkFailed(f"the crew's texts need values that were not given: {', '.join(lacking)}")
    _fill_texts(crew, values, job_id)


def _fill_texts(crew: Any, values: dict[str, Any], job_id: str) -> None:
    for task in crew.tasks:
        task.description = fill(task.description or "", values)
        task.expected_output = fill(task.expected_output or "", values)
        if placeholders([getattr(task, "output_file", None) or ""]):
            task.output_file = _confined(task.output_file, values, job_id)
    for agent in _agents(crew):
        agent.role = fill(agent.role or "", values)
        agent.goal = fill(agent.goal or "", values)
        agent.backstory = fill(agent.backstory or "", values)


def _confined(name: str, values: Mapping[str, Any], job_id: str) -> str:
    """The file for a name with placeholders: in a folder of this job alone, whatever the buyer wrote."""
    folder = Path(tempfile.gettempdir()) / "masumi-jobs" / as_file_name(job_id)
    harmless = fill(name, {key: as_file_name(value) for key, value in values.items()})
    parts = [part for part in Path(harmless).parts if part not in ("/", "..", ".", "~")]
    folder.mkdir(parents=True, exist_ok=True)
    log.info("job %s: a task writes its file in %s", job_id, folder)
    return str(folder.joinpath(*parts))


def _refuse_paths(crew: Any) -> None:
    """Knowledge is read from files of the seller's: their names must not come from a buyer."""
    for owner in (crew, *_agents(crew)):
        for source in getattr(owner, "knowledge_sources", None) or ():
            paths = [getattr(source, "file_path", None), *(getattr(source, "file_paths", None) or ())]
            if names := placeholders([str(path) for path in paths if path is not None]):
                raise InputError(
                    f"a knowledge source takes the name of its file from the buyer ({names[0]}): "
                    "name the file itself",
                    phase="sell",
                )


def _count_tasks(crew: Any, context: WorkContext) -> None:
    """Tell the progress after each task, and still call what the seller wants called."""
    total, done = len(crew.tasks), 0
    context.progress(f"0 of {total} tasks done")

    def counted(callback: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
        def after_task(output: Any) -> Any:
            nonlocal done
            done += 1
            context.progress(f"{done} of {total} tasks done")
            return callback(output) if callback is not None else None

        return after_task

    for task in crew.tasks:
        task.callback = counted(task.callback)  # the crew calls its own task_callback besides


class answered_by_the_buyer:
    """Route `human_input=True` of the crew's tasks to /status and /provide_input for the time of a block."""

    def __enter__(self) -> None:
        try:
            from crewai.core.providers import human_input
        except ImportError as error:
            raise MissingExtra("this crewai cannot ask people; crewai 1.15 or newer can") from error
        self._module = human_input
        self._token = human_input.set_provider(cast(Any, _Provider()))

    def __exit__(self, *_: object) -> None:
        self._module.reset_provider(self._token)


class _Provider:
    """CrewAI's protocol for people's feedback, answered by the buyer instead of the console."""

    def setup_messages(self, context: Any) -> bool:
        return False

    def post_setup_messages(self, context: Any) -> None:
        return None

    def handle_feedback(self, formatted_answer: Any, context: Any) -> Any:
        answer = formatted_answer
        while context.ask_for_human_input:
            feedback = _feedback(answer)
            if not feedback:
                context.ask_for_human_input = False
            else:
                context.messages.append(context._format_feedback_message(feedback))
                answer = context._invoke_loop()
        return answer

    async def handle_feedback_async(self, formatted_answer: Any, context: Any) -> Any:
        import asyncio

        answer = formatted_answer
        while context.ask_for_human_input:
            feedback = await asyncio.to_thread(_feedback, answer)
            if not feedback:
                context.ask_for_human_input = False
            else:
                context.messages.append(context._format_feedback_message(feedback))
                answer = await context._ainvoke_loop()
        return answer


def _feedback(answer: Any) -> str:
    output = answer.output if isinstance(answer.output, str) else answer.output.model_dump_json()
    field = {
        "id": "feedback",
        "type": "textarea",
        "name": "Feedback",
        "data": {"description": _REVIEW},
        "validations": [{"validation": "optional", "value": "true"}],
    }
    return str(ask_human([field], output).get("feedback") or "").strip()
