"""MasumiAgentTool and MasumiToolkit for LangChain and LangGraph: thin skins over `masumi_tools.tools`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Literal, Self, Unpack

from masumi_tools.errors import MissingExtra

try:
    from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
    from langchain_core.messages import ToolMessage
    from langchain_core.runnables import RunnableConfig
    from langchain_core.runnables.config import var_child_runnable_config
    from langchain_core.tools import BaseTool, BaseToolkit
except ModuleNotFoundError as missing:
    raise MissingExtra("LangChain is not installed: pip install 'masumi_tools[langchain]'") from missing

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from masumi_tools.hire.budget import AmountsLike
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.quote import Hireable, Quote
from masumi_tools.keywords import keywords
from masumi_tools.settings import Settings
from masumi_tools.tools.actions import Actions
from masumi_tools.tools.approval import Approval
from masumi_tools.tools.kept import KEPT, card_again, keep_tool, restored, restoring
from masumi_tools.tools.options import ToolOptions, split
from masumi_tools.tools.progress import EVENT, Listener, news
from masumi_tools.tools.talk import Call, Said
from masumi_tools.tools.toolset import HIRE, Card, Names, agent_card, cards, distinct, renewed

__all__ = ["MasumiAgentTool", "MasumiToolkit", "approval", "restoring"]

# The id that the model's provider gave this tool call; None for a plain invoke.
_call_id: ContextVar[str | None] = ContextVar("masumi_tool_call_id", default=None)

_NOTHING: RunnableConfig = {}
# What LangChain itself keeps of a tool.
_FIELDS = ("scope", "tags", "metadata", "verbose", "return_direct")


class AgentOptions(ToolOptions, total=False):
    """The keywords of MasumiAgentTool: those of every tool, its name and scope, and LangChain's own."""

    name: str | None
    description: str | None
    fallback: Sequence[Hireable]
    scope: str
    tags: list[str] | None
    metadata: dict[str, Any] | None
    callbacks: Any
    verbose: bool
    return_direct: bool


class ToolkitOptions(ToolOptions, total=False):
    """The keywords of MasumiToolkit."""

    allow: Iterable[str] | None
    scope: str


class _Tool(BaseTool):
    """A card as a LangChain tool: arguments in every shape, the call's id known, the receipt as artifact."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_validation_error: Any = None
    scope: str = ""
    _actions: Actions = PrivateAttr()
    _card: Card = PrivateAttr()

    def __init__(self, *, card: Card, actions: Actions, **fields: Any) -> None:
        fields.setdefault("handle_validation_error", _refusal)
        super().__init__(name=card.name, description=card.description, args_schema=card.args, **fields)
        self._actions, self._card = actions, card

    # Pickles and copies ----------------------------------------------------------------------

    def __reduce__(self) -> Any:
        own = keep_tool(self._actions, self._card)
        fields = {name: getattr(self, name) for name in (*_FIELDS, "name")}
        return _revive, (type(self), {**fields, "target": getattr(self, "target", None), KEPT: own})

    @classmethod
    def _revived(cls, kept: Mapping[str, Any]) -> Self:
        actions = restored(kept.get(KEPT), str(kept.get("name", "a tool")))
        made = cls.__new__(cls)
        card, more = cls._recalled(actions, kept)
        fields = {name: kept[name] for name in _FIELDS}
        _Tool.__init__(made, card=card, actions=actions, **fields, **more)
        return made

    @classmethod
    def _recalled(cls, actions: Actions, kept: Mapping[str, Any]) -> tuple[Card, dict[str, Any]]:
        """The card of the tool that was kept, and the fields that only its class has."""
        return card_again(actions, kept[KEPT], None), {}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()  # budget and journal are the same ones

    # Calls -----------------------------------------------------------------------------------

    def run(self, tool_input: Any, *args: Any, **options: Any) -> Any:
        """As BaseTool.run; the arguments may have any shape, and the tool call's id is known inside."""
        token = _call_id.set(options.get("tool_call_id"))
        try:
            return super().run(self._read(tool_input), *args, **options)
        finally:
            _call_id.reset(token)

    async def arun(self, tool_input: Any, *args: Any, **options: Any) -> Any:
        """As BaseTool.arun; the arguments may have any shape, and the tool call's id is known inside."""
        token = _call_id.set(options.get("tool_call_id"))
        try:
            return await super().arun(self._read(tool_input), *args, **options)
        finally:
            _call_id.reset(token)

    def _read(self, tool_input: Any) -> Any:
        """The arguments under their own names; what cannot be read stays, for the schema to refuse."""
        try:
            return self._card.args.model_validate(tool_input).model_dump(exclude_unset=True)
        except ValidationError:
            return tool_input if isinstance(tool_input, dict) else {"input_data": tool_input}

    def _run(self, *, config: RunnableConfig = _NOTHING, **given: Any) -> Any:
        talk = self._card.act(_plain(given), self._call(config, _dispatch))
        return self._answer(self._actions.run(talk))

    async def _arun(self, *, config: RunnableConfig = _NOTHING, **given: Any) -> Any:
        async with _dispatching() as dispatch:
            talk = self._card.act(_plain(given), self._call(config, dispatch))
            return self._answer(await self._actions.arun(talk))

    def _call(self, config: RunnableConfig | None, dispatch: Listener) -> Call:
        scope = _scope(self.scope, config)
        return Call(scope, scope, _call_id.get(), dispatch)

    def _answer(self, said: Said) -> Any:
        if (card := renewed(self._actions, self._card)) is not None:  # for the model's next call
            self._card, self.description, self.args_schema = card, card.description, card.args
        artifact = said.receipt if said.receipt is not None else {"code": said.code, "data": said.data}
        call_id = _call_id.get()
        if said.failed and call_id is not None:
            message = ToolMessage(
                said.text, artifact=artifact, tool_call_id=call_id, name=self.name, status="error"
            )
            return message, None
        return said.text, artifact

    @property
    def settings(self) -> Settings:
        """The settings in use."""
        return self._actions.buyers.settings

    @property
    def buyer(self) -> Buyer:
        """The buyer behind the tool: its journal of hires, its budget, sweeps."""
        return self._actions.buyers.plain()

    def close(self) -> None:
        """Close connections and the journal, unless they belong to a given buyer. Open hires stay resumable."""
        self._actions.buyers.close()


class MasumiAgentTool(_Tool):
    """One agentic service as a tool: its input fields are the arguments, its result is the answer.

        tool = MasumiAgentTool.for_agent("<agent identifier>", budget=Budget("20 ADA", per_hire="2 ADA"))

    Price and input fields are asked for when it is made; MasumiError when the service cannot be hired at
    all. A call never raises: over budget, refunded or failed is a ToolMessage of status "error"; the
    artifact is the Receipt, which says where the money is. A repeated call with the same tool-call id
    returns its own hire. `settings` come from the environment when not given; with a `buyer` the tool
    shares its journal, budget and settings. Equal hires are one within `scope` and the config's thread_id.
    """

    target: str

    @keywords(AgentOptions)
    def __init__(
        self,
        target: str,
        *,
        quote: Quote | None = None,
        actions: Actions | None = None,
        **options: Unpack[AgentOptions],
    ) -> None:
        """Ask the service for its price and input fields; nothing is hired. The options are those of `for_agent`."""
        own, fields = split(options, actions)
        actions = actions or Actions(**own)
        quote = quote or actions.buyers.plain().quote(target)
        card = agent_card(
            actions,
            quote,
            fields.pop("name", None),
            fields.pop("description", None),
            fields.pop("fallback", ()),
        )
        super().__init__(card=card, actions=actions, target=target, **fields)

    @classmethod
    def _recalled(cls, actions: Actions, kept: Mapping[str, Any]) -> tuple[Card, dict[str, Any]]:
        target = kept["target"]
        return card_again(actions, kept[KEPT], target), {"target": target}

    @classmethod
    @keywords(AgentOptions)
    def for_agent(cls, agent_identifier: str, **options: Unpack[AgentOptions]) -> Self:
        """The tool of the agent with this identifier; `options` are those of the class."""
        return cls(agent_identifier, **options)

    @classmethod
    @keywords(AgentOptions)
    def for_url(cls, url: str, **options: Unpack[AgentOptions]) -> Self:
        """The tool of the service at this URL, which is asked itself what it costs."""
        return cls(url, **options)

    @classmethod
    @keywords(AgentOptions)
    async def afor_agent(cls, agent_identifier: str, **options: Unpack[AgentOptions]) -> Self:
        """As `for_agent`, without blocking the event loop."""
        return await cls._amade(agent_identifier, None, options)

    @classmethod
    @keywords(AgentOptions)
    async def afor_url(cls, url: str, **options: Unpack[AgentOptions]) -> Self:
        """As `for_url`, without blocking the event loop."""
        return await cls._amade(url, None, options)

    @classmethod
    async def _amade(cls, target: str, actions: Actions | None, options: AgentOptions) -> Self:
        own, fields = split(options, actions)
        actions = actions or Actions(**own)
        quote = await actions.buyers.awaiting().quote(target)
        return cls(target, quote=quote, actions=actions, **fields)


class MasumiToolkit(BaseToolkit):
    """Tools to find, quote, hire, check, answer, refund and see the budget, over one budget and journal.

        tools = MasumiToolkit(budget=Budget("20 ADA", per_hire="2 ADA")).get_tools()

    `allow` lists the only agent identifiers and URLs that may be hired. The other arguments are those of
    MasumiAgentTool. `for_agent` adds a tool with typed fields for one service, over the same budget.
    """

    scope: str = ""
    _actions: Actions = PrivateAttr()
    _tools: list[BaseTool] = PrivateAttr()
    _names: Names = PrivateAttr(default_factory=Names)

    @keywords(ToolkitOptions)
    def __init__(self, **options: Unpack[ToolkitOptions]) -> None:
        """Make the tools; nothing is asked or hired before one of them is called."""
        own, fields = split(options, None)
        scope = fields.get("scope", "")
        super().__init__(scope=scope)  # type: ignore[call-arg]
        self._actions = Actions(allow=fields.get("allow"), **own)
        made = cards(self._actions)
        self._tools = [_Tool(card=card, actions=self._actions, scope=scope) for card in made]

    def get_tools(self) -> list[BaseTool]:
        """The seven tools; each time the same objects."""
        return list(self._tools)

    @keywords()
    def for_agent(
        self, target: str, *, name: str | None = None, description: str | None = None
    ) -> MasumiAgentTool:
        """A tool with typed fields for one service (agent identifier or URL), sharing all with these tools."""
        quote = self._actions.buyers.plain().quote(target)
        own = self._names.own(quote, name, description, self.scope)
        return MasumiAgentTool(target, quote=quote, actions=self._actions, **own)

    @keywords()
    async def afor_agent(
        self, target: str, *, name: str | None = None, description: str | None = None
    ) -> MasumiAgentTool:
        """As `for_agent`, without blocking the event loop."""
        quote = await self._actions.buyers.awaiting().quote(target)
        own = self._names.own(quote, name, description, self.scope)
        return MasumiAgentTool(target, quote=quote, actions=self._actions, **own)

    def close(self) -> None:
        """Close connections and the journal, unless they belong to a given buyer. Open hires stay resumable."""
        self._actions.buyers.close()


def _revive(cls: type[_Tool], kept: Mapping[str, Any]) -> _Tool:
    return cls._revived(kept)


@keywords()
def approval(
    *tools: BaseTool,
    above: AmountsLike | None = None,
    decisions: Sequence[str] = ("approve", "reject"),
) -> dict[str, Any]:
    """`interrupt_on` for HumanInTheLoopMiddleware: a person sees the quoted price and decides, above a price.

        HumanInTheLoopMiddleware(interrupt_on=approval(*tools, above="1 ADA"))

    Free and cheaper hires go through without a question (LangChain before 1.4 asks for each). The price that
    was shown is paid, or the hire is refused, also when the run continues in another process. Of a toolkit's
    tools only `masumi_hire` asks.
    """
    distinct([tool.name for tool in tools])
    asked: dict[str, Any] = {}
    for tool in tools:
        if isinstance(tool, MasumiAgentTool) or (isinstance(tool, _Tool) and tool.name == HIRE):
            asked[tool.name] = _interrupt(tool, above, list(decisions))
    return asked


def _interrupt(tool: _Tool, above: AmountsLike | None, decisions: list[str]) -> dict[str, Any]:
    approving = Approval(tool._actions, getattr(tool, "target", None), above)

    def call(tool_call: Any) -> tuple[Any, Call]:
        scope = _scope(tool.scope, var_child_runnable_config.get())
        return _plain(tool._read(tool_call["args"])), Call(scope, scope, tool_call["id"])

    def when(request: Any) -> bool:
        return approving.asks(*call(request.tool_call))

    def description(tool_call: Any, state: Any, runtime: Any) -> str:
        given, caller = call(tool_call)
        # Who is shown this and says no keeps the tool from being called.
        approving.vouch(given, caller, "a person in LangGraph")
        return approving.question(given, caller)

    return {"allowed_decisions": decisions, "when": when, "description": description}


def _refusal(error: Any) -> str:
    """Arguments that do not fit, in words."""
    if isinstance(error, ValidationError):
        return "\n".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors()[:10])
    return str(error)


def _scope(scope: str, config: RunnableConfig | None) -> str:
    thread = str((config or {}).get("configurable", {}).get("thread_id") or "")
    return f"{scope}\x00{thread}" if thread else scope


def _plain(value: Any) -> Any:
    """Arguments as plain data: LangChain hands nested ones over as models."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


# Progress ------------------------------------------------------------------------------------


def _dispatch(progress: Progress) -> None:
    """One step as a custom event; outside a run nobody listens, and that is said by an error."""
    _stream(progress)
    with suppress(RuntimeError):
        dispatch_custom_event(EVENT, news(progress))


@asynccontextmanager
async def _dispatching() -> AsyncIterator[Listener]:
    """The same for asyncio: steps are told in order by a task of their own, and all before the tool ends."""
    waiting: asyncio.Queue[Progress | None] = asyncio.Queue()

    async def tell() -> None:
        while (progress := await waiting.get()) is not None:
            with suppress(Exception):  # outside a run nobody listens; a handler's fault is its own
                await adispatch_custom_event(EVENT, news(progress))

    def dispatch(progress: Progress) -> None:
        _stream(progress)
        waiting.put_nowait(progress)

    task = asyncio.create_task(tell())
    try:
        yield dispatch
        waiting.put_nowait(None)
        await task
    finally:
        task.cancel()


def _stream(progress: Progress) -> None:
    """One step to LangGraph's stream_mode="custom", where a graph runs."""
    config = sys.modules.get("langgraph.config")
    if config is not None:
        with suppress(Exception):  # outside a graph there is no writer
            config.get_stream_writer()({EVENT: news(progress)})
