"""What a class is to the shop, told by the names of its ancestors: nothing is imported that the seller does not use.

Objects of frameworks do things: they hold models, keys and clients. They are run where they can be run,
and never written out. Data is what is left: pydantic models, dataclasses and the like that neither come
from such a package nor act by themselves.
"""

from __future__ import annotations

from typing import Any, Literal

Kind = Literal[
    "crew", "flow", "builder", "runnable", "model", "prompt", "tool", "output", "message", "doer", ""
]

# The first rule that fits decides: package, class, kind.
_RULES: tuple[tuple[str, str, Kind], ...] = (
    ("crewai", "CrewOutput", "output"),
    ("crewai", "TaskOutput", "output"),
    ("crewai", "LiteAgentOutput", "output"),
    ("crewai", "Crew", "crew"),
    ("crewai", "Flow", "flow"),
    ("langchain_core", "BaseMessage", "message"),
    ("langgraph", "StateGraph", "builder"),
    ("langchain_core", "BaseLanguageModel", "model"),
    ("langchain_core", "BasePromptTemplate", "prompt"),
    ("langchain_core", "BaseTool", "tool"),
    ("langchain_core", "Runnable", "runnable"),
)
# Of the packages below these are data, which work may return.
_DATA = {
    ("crewai", "FlowState"),
    ("crewai", "UsageMetrics"),
    ("langchain_core", "Document"),
    ("langchain_core", "Generation"),
}
_DOING_PACKAGES = {
    "agents", "anthropic", "autogen", "autogen_agentchat", "autogen_core", "boto3", "botocore", "crewai",
    "crewai_tools", "dspy", "google", "groq", "haystack", "httpx", "instructor", "langchain", "langgraph",
    "litellm", "llama_index", "mistralai", "openai", "pydantic_ai", "pydantic_settings", "requests",
    "smolagents", "sqlalchemy",
}  # fmt: skip
_DOING_PREFIXES = ("langchain_", "langgraph_", "llama_index_", "autogen_")
_DOING_METHODS = (
    "__call__", "invoke", "ainvoke", "kickoff", "akickoff", "kickoff_async", "call", "acall", "run", "arun",
    "chat", "complete", "generate", "execute", "request", "send", "connect",
)  # fmt: skip
_BASES = {
    "pydantic",
    "pydantic_core",
    "typing",
    "typing_extensions",
    "abc",
    "builtins",
    "collections",
    "enum",
}

RUNS: frozenset[Kind] = frozenset(
    {"crew", "flow", "builder", "runnable"}
)  # what work may return to have it run


def descends_from(cls: type[Any], package: str, name: str) -> bool:
    """Whether the class is, or comes from, this class of this package."""
    return any(c.__name__ == name and root(c) == package for c in cls.__mro__)


def root(cls: type[Any]) -> str:
    """The package in which the class was written."""
    return str(cls.__module__).partition(".")[0]


def kind_of(cls: type[Any]) -> Kind:
    """What objects of this class are: to be run, to be read as an output, doers that are neither, or ""."""
    for package, name, kind in _RULES:
        if descends_from(cls, package, name):
            return kind
    for one in cls.__mro__:
        if (root(one), one.__name__) in _DATA or ".types" in one.__module__:  # the answers of model providers
            return ""
        if root(one) in _DOING_PACKAGES or root(one).startswith(_DOING_PREFIXES):
            return "doer"
    return ""


def acts(cls: type[Any]) -> bool:
    """Whether a class that looks like data does things: it comes from a framework, or can be called or run."""
    if kind_of(cls) in ("output", "message"):
        return False
    own = [c for c in cls.__mro__ if root(c) not in _BASES]
    return kind_of(cls) != "" or any(callable(c.__dict__.get(name)) for c in own for name in _DOING_METHODS)
