"""Which keys of a state a graph fills itself, told from the source of its nodes.

A state lists what a graph is asked beside what it finds out. A key that some node writes, and that no node reads
before one has written it, need not come from the buyer. Where a source cannot be read, all keys are asked.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_START, _END = "__start__", "__end__"


@dataclass(frozen=True, slots=True)
class _Node:
    """What the source of a node says: the keys that it reads (None: any of them) and writes, and whether it jumps."""

    reads: frozenset[str] | None
    writes: frozenset[str] = frozenset()
    jumps: bool = False


_UNKNOWN = _Node(None, jumps=True)


def filled_by_itself(builder: Any) -> set[str]:
    """The keys that the graph of this builder (a StateGraph) writes before it reads them."""
    nodes = {name: _read(getattr(spec, "runnable", None)) for name, spec in builder.nodes.items()}
    written = {key for node in nodes.values() for key in node.writes}
    return {key for key in written if not _is_read_first(builder, nodes, key)}


def _is_read_first(builder: Any, nodes: dict[str, _Node], key: str) -> bool:
    """Whether some way from the start comes to a node that reads the key, past none that writes it."""
    seen, open_ = {_START}, [_START]
    while open_:
        name = open_.pop()
        node = nodes.get(name, _Node(frozenset()))
        for one in (node, *_routers(builder, name)):
            if one.reads is None or key in one.reads:
                return True
        if key in node.writes:
            continue
        after = _after(builder, nodes, name) - seen
        seen |= after
        open_ += after
    return False


def _routers(builder: Any, name: str) -> Iterable[_Node]:
    return [_read(branch.path) for branch in builder.branches.get(name, {}).values()]


def _after(builder: Any, nodes: dict[str, _Node], name: str) -> set[str]:
    """The nodes that may come next; all of them where that is decided as the graph runs."""
    found = {end for start, end in builder.edges if start == name}
    found |= {end for starts, end in builder.waiting_edges if name in starts}
    ends = [branch.ends for branch in builder.branches.get(name, {}).values()]
    if name in nodes and nodes[name].jumps:
        ends.append(None)
    for one in ends:
        found |= set(nodes) if one is None else set(one.values())
    return found - {_END}


def _read(runnable: Any) -> _Node:
    inner = getattr(runnable, "builder", None)
    if inner is not None and hasattr(inner, "branches"):  # a graph in the graph
        own = frozenset(filled_by_itself(inner))
        return _Node(frozenset(inner.channels) - own, own)
    function: Any = getattr(runnable, "func", None) or getattr(runnable, "afunc", None)
    while isinstance(function, functools.partial):
        function = function.func
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # no function, no file, or a piece of an expression
        return _UNKNOWN
    return _node(tree, _first_parameters(tree))


def _node(tree: ast.AST, states: set[str]) -> _Node:
    reads: set[str] = set()
    writes: set[str] = set()
    whole = 0  # how often the state is handed on as it is, so that anything may be read of it
    for one in ast.walk(tree):
        match one:
            case ast.Subscript(slice=ast.Constant(value=str(key)), ctx=context):
                (reads if isinstance(context, ast.Load) else writes).add(key)
            case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[ast.Constant(value=str(key)), *_]):
                reads.add(key)
            case ast.Attribute(attr=key):
                reads.add(key)
            case ast.Dict(keys=keys):
                writes |= {str(key.value) for key in keys if isinstance(key, ast.Constant)}
            case ast.Name(id=name) if name in states:
                whole += 1
        whole -= sum(isinstance(part, ast.Name) and part.id in states for part in _harmless(one))
    jumps = any(isinstance(one, ast.Name) and one.id == "Command" for one in ast.walk(tree))
    return _Node(None if whole else frozenset(reads), frozenset(writes), jumps)


def _harmless(one: ast.AST) -> list[Any]:
    """Where the state stands in this piece without being handed on: one key of it, or all of it as the answer."""
    match one:
        case ast.Subscript(value=value, slice=ast.Constant()) | ast.Attribute(value=value):
            return [value]
        case ast.Return(value=value):
            return [value]
        case ast.Dict(keys=keys, values=values):
            return [value for key, value in zip(keys, values, strict=True) if key is None]
    return []


def _first_parameters(tree: ast.AST) -> set[str]:
    """How the functions of a source call the state that they are given."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    found = [one.args for one in ast.walk(tree) if isinstance(one, functions)]
    return {parameter.arg for one in found for parameter in (*one.posonlyargs, *one.args)[:2]}
