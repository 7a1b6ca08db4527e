"""MasumiAgentTool and MasumiToolkit for LangChain and LangGraph: thin skins over `masumi_tools.tools`."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, Self

try:
    from langchain_core.messages import ToolMessage
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import BaseTool
except ModuleNotFoundError as missing:
    from masumi_tools.errors import MissingExtra

    raise MissingExtra("LangChain is not installed: pip install 'masumi_tools[langchain]'") from missing

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from masumi_tools.budget import Budget
from masumi_tools.buyer import AsyncBuyer, Buyer
from masumi_tools.errors import MasumiError
from masumi_tools.flows import Progress
from masumi_tools.inputs import args_model
from masumi_tools.search import Quote
from masumi_tools.settings import Settings
from masumi_tools.tools import wording
from masumi_tools.tools.actions import Actions, Call, Said, Talk
from masumi_tools.tools.arguments import read_arguments

__all__ = ["MasumiAgentTool"]

# The id that the model's provider gave this tool call; None for a plain invoke.
_call_id: ContextVar[str | None] = ContextVar("masumi_tool_call_id", default=None)


def _refusal(error: Any) -> str:
    """Arguments that do not fit, in words."""
    if isinstance(error, ValidationError):
        return "\n".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors()[:10])
    return str(error)


class _Tool(BaseTool):
    """What all tools here have in common: the call's id, arguments in every shape, the receipt as artifact."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_validation_error: Any = _refusal
    scope: str = ""
    _actions: Actions = PrivateAttr()

    def run(self, tool_input: Any, *args: Any, **options: Any) -> Any:
        """As BaseTool.run; arguments in any shape, and the tool call's id is known inside."""
        token = _call_id.set(options.get("tool_call_id"))
        try:
            return super().run(self._read(tool_input), *args, **options)
        finally:
            _call_id.reset(token)

    async def arun(self, tool_input: Any, *args: Any, **options: Any) -> Any:
        """As BaseTool.arun; arguments in any shape, and the tool call's id is known inside."""
        token = _call_id.set(options.get("tool_call_id"))
        try:
            return await super().arun(self._read(tool_input), *args, **options)
        finally:
            _call_id.reset(token)

    def _read(self, tool_input: Any) -> Any:
        """The arguments under their own names; what cannot be read stays, for the schema to refuse."""
        if not isinstance(tool_input, dict):
            tool_input = {"input_data": tool_input}
        schema = self.args_schema
        assert isinstance(schema, type) and issubclass(schema, BaseModel)
        try:
            return schema.model_validate(tool_input).model_dump(exclude_unset=True)
        except ValidationError:
            return tool_input

    def _run(self, *, config: RunnableConfig, **given: Any) -> Any:
        return self._answer(self._actions.run(self._talk(given, self._call(config))))

    async def _arun(self, *, config: RunnableConfig, **given: Any) -> Any:
        return self._answer(await self._actions.arun(self._talk(given, self._call(config))))

    def _talk(self, given: dict[str, Any], call: Call) -> Talk:
        raise NotImplementedError

    def _call(self, config: RunnableConfig | None) -> Call:
        thread = str((config or {}).get("configurable", {}).get("thread_id") or "")
        return Call(f"{self.scope}\x00{thread}" if thread else self.scope, _call_id.get())

    def _answer(self, said: Said) -> Any:
        artifact = said.receipt if said.receipt is not None else {"code": said.code, "data": said.data}
        call_id = _call_id.get()
        if said.failed and call_id is not None:
            message = ToolMessage(
                said.text, artifact=artifact, tool_call_id=call_id, name=self.name, status="error"
            )
            return message, None
        return said.text, artifact


class MasumiAgentTool(_Tool):
    """One agentic service as a tool: its input fields are the arguments, its result is the answer.

        tool = MasumiAgentTool.for_agent("<agent identifier>", budget=Budget("20 ADA", per_hire="2 ADA"))

    Price and input fields are asked for when it is made; MasumiError when the service cannot be hired at
    all. Calls never raise: over budget, refunded or failed is a ToolMessage of status "error". The artifact
    is the Receipt. `settings` come from the environment when not given; with a `buyer` the tool shares its
    journal, budget and settings.
    """

    target: str
    _quote: Quote = PrivateAttr()

    def __init__(
        self,
        target: str,
        *,
        budget: Budget | None = None,
        settings: Settings | None = None,
        buyer: Buyer | AsyncBuyer | None = None,
        quote: Quote | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        patience_s: float = 600,
        reuse_within_s: float = 600,
        result_limit: int = wording.RESULT_LIMIT,
        **fields: Any,
    ) -> None:
        actions = Actions(
            settings=settings,
            budget=budget,
            buyer=buyer,
            on_progress=on_progress,
            patience_s=patience_s,
            reuse_within_s=reuse_within_s,
            result_limit=result_limit,
        )
        quote = quote or actions.buyers.plain().quote(target)
        if quote.listing is None or quote.spec.refusal:
            raise MasumiError(
                f"{target} cannot be hired: {quote.refusal}", phase="quote", fault="service", repeatable=True
            )
        spec = quote.spec
        fields.setdefault("name", wording.tool_name(quote))
        fields.setdefault("description", wording.tool_description(quote))
        fields["args_schema"], _ = args_model(
            spec, fields["name"], reader=lambda payload: read_arguments(spec, payload)
        )
        super().__init__(target=target, **fields)
        self._actions, self._quote = actions, quote
        actions.keep(quote)

    @classmethod
    def for_agent(cls, agent_identifier: str, **options: Any) -> Self:
        """The tool of the agent with this identifier; `options` as the class takes them."""
        return cls(agent_identifier, **options)

    @classmethod
    def for_url(cls, url: str, **options: Any) -> Self:
        """The tool of the service at this URL, which is asked itself what it costs."""
        return cls(url, **options)

    def _talk(self, given: dict[str, Any], call: Call) -> Talk:
        return self._actions.hire(self.target, given, call)
