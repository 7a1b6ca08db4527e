"""MasumiAgentTool and MasumiToolkit for CrewAI: thin skins over `masumi_tools.tools`.

No exception leaves a tool here, since CrewAI runs a raising tool again, up to six times for one action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, Unpack

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, computed_field, model_validator

from masumi_tools.errors import MissingExtra
from masumi_tools.hire.budget import AmountsLike
from masumi_tools.hire.buyer import Buyer
from masumi_tools.hire.flows import Progress
from masumi_tools.hire.quote import Hireable, Quote
from masumi_tools.hire.receipt import Receipt
from masumi_tools.keywords import keywords
from masumi_tools.settings import VARIABLES, Settings, hush_crewai
from masumi_tools.tools.actions import Actions
from masumi_tools.tools.approval import Approval
from masumi_tools.tools.kept import KEPT, card_again, keep_tool, restored, restoring
from masumi_tools.tools.options import ToolOptions, split
from masumi_tools.tools.progress import EVENT, news
from masumi_tools.tools.talk import Call, Said
from masumi_tools.tools.toolset import HIRE, Card, Names, agent_card, cards, distinct, renewed
from masumi_tools.tools.wording import Follow

hush_crewai()
try:
    from crewai.context import get_current_task_id
    from crewai.events import crewai_event_bus
    from crewai.events.base_events import BaseEvent
    from crewai.tools import BaseTool
    from crewai.tools.base_tool import EnvVar
    from crewai.tools.structured_tool import CrewStructuredTool
    from crewai.types.callback import SerializableCallable
    from crewai.utilities.string_utils import sanitize_tool_name
except ModuleNotFoundError as missing:
    raise MissingExtra("CrewAI is not installed: pip install 'masumi_tools[crewai]'") from missing

__all__ = ["HireText", "MasumiAgentTool", "MasumiProgressEvent", "MasumiToolkit", "approval", "restoring"]

# The one argument under which refused arguments reach `_run`, which may not raise.
_REFUSED = "masumi_refused"
# What CrewAI itself keeps of a tool and counts.
_FIELDS = (
    "scope",
    "cache_function",
    "result_as_answer",
    "max_usage_count",
    "current_usage_count",
    "tool_failure_policy",
)


def _variable(setting: str, words: str, required: bool) -> EnvVar:
    return EnvVar(name=VARIABLES[setting][0], description=words, required=required)


_VARIABLES = (
    _variable("node_url", "Address of your payment node", True),
    _variable("node_token", "API key of your payment node, with the right to pay", True),
    _variable("registry_url", "Address of the registry; needed to find services", False),
    _variable("registry_token", "API key of the registry", False),
    _variable("network", "Preprod or Mainnet", False),
    _variable("database_url", "Where the journal of hires lies; a file of its own by default", False),
)


class MasumiProgressEvent(BaseEvent):
    """One step of a hire on CrewAI's event bus. `service_text` is the service's own words: data."""

    type: str = EVENT
    hire_id: str
    state: str
    step: str
    service_text: str
    at_ms: int
    ms_left: int | None = None


class HireText(str):
    """What a tool answers, with the `receipt` (or None) for hooks and callers that want more than the text."""

    __slots__ = ("receipt",)
    receipt: Receipt | None

    def __new__(cls, text: str, receipt: Receipt | None = None) -> Self:
        made = super().__new__(cls, text)
        made.receipt = receipt
        return made


def cache_when_verified(arguments: Any = None, result: Any = None) -> bool:
    """Whether CrewAI may keep a result: only one that is finished and matches its hash on the chain."""
    receipt = getattr(result, "receipt", None)
    return receipt is not None and receipt.ok and receipt.verified is True


class AgentOptions(ToolOptions, total=False):
    """The keywords of MasumiAgentTool: those of every tool, its name and scope, and CrewAI's own."""

    name: str | None
    description: str | None
    fallback: Sequence[Hireable]
    scope: str
    cache_function: Any
    result_as_answer: bool
    max_usage_count: int | None


class ToolkitOptions(ToolOptions, total=False):
    """The keywords of MasumiToolkit."""

    allow: Iterable[str] | None
    scope: str


class _Tool(BaseTool):
    """A card as a CrewAI tool: arguments in every shape, never an exception."""

    scope: str = ""
    env_vars: list[EnvVar] = Field(default_factory=lambda: list(_VARIABLES))
    package_dependencies: list[str] = Field(default_factory=lambda: ["masumi_tools"])
    cache_function: SerializableCallable = cache_when_verified
    _actions: Actions = PrivateAttr()
    _card: Card = PrivateAttr()

    def __init__(self, *, card: Card, actions: Actions, **fields: Any) -> None:
        super().__init__(name=card.name, description=card.description, args_schema=card.args, **fields)
        self._actions, self._card = actions, card

    # Checkpoints, pickles and copies ---------------------------------------------------------

    @computed_field(repr=False)  # type: ignore[prop-decorator]
    @property
    def masumi(self) -> dict[str, Any]:
        """What a checkpoint stores of this tool: budget, options and settings by name, and no secret."""
        return keep_tool(self._actions, self._card)

    @model_validator(mode="wrap")
    @classmethod
    def _of_checkpoint(cls, value: Any, made: Callable[[Any], Any]) -> Any:
        """CrewAI restores a tool from its fields: with all its limits, or not at all."""
        if isinstance(value, Mapping) and (KEPT in value or "tool_type" in value):
            return cls._revived(value)
        return made(value)

    @classmethod
    def _revived(cls, kept: Mapping[str, Any]) -> Self:
        actions = restored(kept.get(KEPT), str(kept.get("name", "a tool")))
        fields = {name: kept[name] for name in _FIELDS if kept.get(name) is not None}
        if not callable(fields.get("cache_function")):
            fields.pop("cache_function", None)
        made = cls.__new__(cls)
        card, more = cls._recalled(actions, kept)
        _Tool.__init__(made, card=card, actions=actions, **fields, **more)
        return made

    @classmethod
    def _recalled(cls, actions: Actions, kept: Mapping[str, Any]) -> tuple[Card, dict[str, Any]]:
        """The card of the tool that was kept, and the fields that only its class has."""
        return card_again(actions, kept[KEPT], None), {}

    def __reduce__(self) -> Any:
        plain = self.model_dump(mode="json", exclude={"args_schema", "result_schema", "cache_function"})
        return _revive, (type(self), {**plain, "cache_function": self.cache_function})

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()  # budget and journal are the same ones

    # Calls -----------------------------------------------------------------------------------

    def _run(self, *args: Any, **given: Any) -> Any:
        read = self._arguments(args, given)
        if isinstance(read, Said):
            return self._answer(read)
        return self._answer(self._actions.run(self._card.act(read, self._call())))

    async def _arun(self, *args: Any, **given: Any) -> Any:
        read = self._arguments(args, given)
        if isinstance(read, Said):
            return self._answer(read)
        return self._answer(await self._actions.arun(self._card.act(read, self._call())))

    def _arguments(self, args: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any] | Said:
        """The arguments under their own names, whoever calls; or the refusal."""
        read = given if _REFUSED in given else self._read(args[0] if args else given)
        words = read.get(_REFUSED)
        return read if words is None else Said(words, True, "invalid_input")

    def _read(self, payload: Any) -> dict[str, Any]:
        """The arguments under their own names, or why they are refused."""
        try:
            return self._card.args.model_validate(payload).model_dump(exclude_unset=True)
        except ValidationError as error:
            words = (str(one["msg"]).removeprefix("Value error, ") for one in error.errors()[:10])
            return {_REFUSED: "\n".join(words)}

    def _validate_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """As in BaseTool, but what does not fit is answered and not raised."""
        return self._read(kwargs)

    def to_structured_tool(self) -> CrewStructuredTool:
        """As in BaseTool, but no argument is dropped unseen and what does not fit is answered."""
        made = super().to_structured_tool()
        fields = {name: getattr(made, name) for name in CrewStructuredTool.model_fields}
        tool = _Structured(**{**fields, "args_schema": _seeing_all(self._card.args)})
        tool._original_tool = self
        return tool

    def _call(self) -> Call:
        # Ids of runs and tasks die with the process: a crew that is started again would pay again.
        return Call(self.scope, self.scope, None, self._tell)

    def _tell(self, progress: Progress) -> None:
        crewai_event_bus.emit(self, MasumiProgressEvent(**news(progress), task_id=get_current_task_id()))

    def _answer(self, said: Said) -> Any:
        if (card := renewed(self._actions, self._card)) is not None:  # for the crew's next run
            self._card, self.description, self.args_schema = card, card.description, card.args
        if said.failed and (failure := _failure(said)) is not None:
            return failure
        return HireText(said.text, said.receipt)

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
    """One agentic service as a CrewAI tool: its input fields are the arguments, its result is the answer.

        tool = MasumiAgentTool.for_agent("<agent identifier>", budget=Budget("20 ADA", per_hire="2 ADA"))

    Price and input fields are asked for when it is made; MasumiError when the service cannot be hired at
    all. A call never raises: over budget, refunded or failed is a ToolFailure with the receipt in its
    `details` (plain text where CrewAI has none); a result is a HireText. Equal hires are one within
    `scope`, also in a crew that is started again, and in rows of `kickoff_for_each` with equal inputs: give
    tools whose equal work is to be paid for twice a scope each. `settings` come from the environment when not given; with a `buyer` the tool shares
    its journal, budget and settings.
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
        if actions is None:
            actions = Actions(**own)
            actions.follow = Follow(repeat=False)  # CrewAI stops the same call from being made twice
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


class MasumiToolkit:
    """CrewAI tools to find, quote, hire, check, answer, refund and see the budget, over one budget and journal.

        agent = Agent(..., tools=MasumiToolkit(budget=Budget("20 ADA", per_hire="2 ADA")).get_tools())

    `allow` lists the only agent identifiers and URLs that may be hired. The other arguments are those of
    MasumiAgentTool. `for_agent` adds a tool with typed fields for one service, over the same budget.
    """

    @keywords(ToolkitOptions)
    def __init__(self, **options: Unpack[ToolkitOptions]) -> None:
        """Make the tools; nothing is asked or hired before one of them is called."""
        own, fields = split(options, None)
        self.scope = scope = fields.get("scope", "")
        self._names = Names()
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

    def close(self) -> None:
        """Close connections and the journal, unless they belong to a given buyer. Open hires stay resumable."""
        self._actions.buyers.close()


def _revive(cls: type[_Tool], kept: Mapping[str, Any]) -> _Tool:
    return cls._revived(kept)


@keywords()
def approval(
    *tools: BaseTool,
    above: AmountsLike | None = None,
    ask: Callable[[str], bool] | None = None,
) -> Callable[[Any], bool | None]:
    """A before_tool_call hook: a person sees the quoted price and decides, above a price.

        register_before_tool_call_hook(approval(*tools, above="1 ADA"))

    `ask` is shown the question and answers True for yes; without it CrewAI asks on the terminal. Anything
    but a yes, an error included, blocks the call. The price that was shown is paid, or the hire is refused.
    Of a toolkit's tools only `masumi_hire` asks.
    """
    distinct([sanitize_tool_name(tool.name) for tool in tools])
    asked = {
        sanitize_tool_name(tool.name): (tool, Approval(tool._actions, getattr(tool, "target", None), above))
        for tool in tools
        if isinstance(tool, MasumiAgentTool) or (isinstance(tool, _Tool) and tool.name == HIRE)
    }

    def hook(context: Any) -> bool | None:
        tool, approving = asked.get(context.tool_name, (None, None))
        if tool is None or approving is None:
            return None
        try:  # CrewAI lets a call pass whose hook raises
            given, call = tool._read(context.tool_input), tool._call()
            if not approving.asks(given, call):
                return None
            question = approving.question(given, call)
            if (ask(question) if ask else _asked(context, question)) is not True:
                return False
            approving.vouch(given, call, "a person in CrewAI")
            return None
        except Exception:
            return False

    return hook


def _asked(context: Any, question: str) -> bool:
    answer = context.request_human_input(question, "Type yes to hire:")
    return str(answer).strip().lower() in ("yes", "y", "approve")


def _failure(said: Said) -> Any:
    """A ToolFailure; None where this version of CrewAI has none."""
    try:
        from crewai.tools.tool_failure import ToolFailure
    except ImportError:
        return None
    details = {"receipt": said.receipt.as_json()} if said.receipt else {"data": said.data}
    return ToolFailure(message=said.text, code=said.code, retryable=False, details=details)


# The text path of CrewAI -----------------------------------------------------------------------


class _Structured(CrewStructuredTool):
    """The form in which the text path holds a tool."""

    def _parse_args(self, raw_args: Any) -> dict[str, Any]:
        read: dict[str, Any] = self._original_tool._read(raw_args)
        return read


class _AllKeys:
    """The keys of a schema, among which CrewAI looks for each argument before it drops it."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = list(keys)

    def __contains__(self, key: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class _Properties(dict[str, Any]):
    def keys(self) -> Any:
        return _AllKeys(super().keys())


def _seeing_all(args: type[BaseModel]) -> type[BaseModel]:
    """The same arguments; CrewAI hands over unknown ones, too, so that they can be read or refused by name."""

    class Seeing(args):  # type: ignore[misc, valid-type]
        @classmethod
        def model_json_schema(cls, *positional: Any, **options: Any) -> dict[str, Any]:
            schema: dict[str, Any] = args.model_json_schema(*positional, **options)
            return {**schema, "properties": _Properties(schema.get("properties", {}))}

    Seeing.__name__ = args.__name__
    return Seeing
