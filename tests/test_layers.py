"""Imports only fall. A room that is not in RANKS yet gets its place there, by what it may know."""

from __future__ import annotations

from pathlib import Path
from statistics import quantiles

import pytest

from tests.layers import Source, arrows, circle, functions, sources

# From the ground up. A room may import from its own rank and below, and no way leads back.
RANKS: tuple[set[str], ...] = (
    {"errors", "money", "text", "clock", "target", "keywords"},
    {"proof"},
    {"models", "inputs", "settings"},
    {"calls"},
    {"net", "journal"},
    {"hire"},
    {"tools"},
    {"langchain", "crewai", "mcp", "page"},
)
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
SELLER_KNOWS = set().union(*RANKS[:5])  # never how to hire
TOP = {"__init__", "__main__", "cli"}  # these may see every room

FRAMEWORKS = {"langchain", "langchain_core", "langgraph", "langchain_openai", "crewai", "crewai_tools"}
MAY_IMPORT_A_FRAMEWORK = {"langchain.py", "crewai.py", "seller/work/crew.py", "seller/work/graphs.py"}
# Pure: the same record and time always give the same answer.
PURE = {
    "money",
    "proof",
    "models",
    "hire/purchase",
    "hire/acceptance",
    "hire/steps",
    "hire/replies",
    "hire/request",
}
CLOCKS_AND_IO = {
    "anyio",
    "asyncio",
    "httpx",
    "logging",
    "os",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
}
CHANCE = {"random", "secrets", "uuid"}
HTTP_CLIENTS = {"Client", "AsyncClient", "get", "post", "put", "patch", "delete", "head", "request", "stream"}
OTHER_HTTP_LIBRARIES = {"requests", "aiohttp", "urllib3", "httpx2", "http.client", "urllib.request"}
MOST_LINES = 600  # one concept, one file
MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_NINE_IN_TEN = 20
# What somebody sees who opens the package, beside the files that every package has.
HALL = {"__init__", "__main__", "errors", "money", "settings", "clock"}
MOST_ROOMS = 18


def _is_in(source: Source, places: set[str]) -> bool:
    """Whether the file is, or lies in, one of these: "money", "hire/replies"."""
    name = source.name.removesuffix(".py")
    return any(name == place or name.startswith(f"{place}/") for place in places)


def test_every_room_has_a_place():
    rooms = {source.room for source in sources()}

    assert rooms - set(RANK) - TOP - {"seller", "sandbox"} == set()


def test_imports_only_fall():
    rising = [
        f"{source.name} imports {seen}"
        for source in sources()
        if source.room in RANK
        for seen in source.rooms_seen
        if RANK.get(seen, len(RANKS)) > RANK[source.room] or seen in TOP
    ]

    assert rising == []


def test_no_way_leads_back():
    edges: dict[str, set[str]] = {}
    for source in sources():
        if source.room not in TOP:
            edges.setdefault(source.room, set()).update(source.rooms_seen)

    assert circle(edges) == []


def test_no_way_leads_back_among_the_files_either():
    assert circle(arrows()) == []


@pytest.mark.parametrize("room", ["langchain", "crewai"])
def test_the_tools_of_one_framework_do_not_know_the_other(room):
    seen = set().union(*(source.rooms_seen for source in sources() if source.room == room))

    assert seen & {"langchain", "crewai"} == set()


def test_the_seller_knows_nothing_of_hiring():
    strange = [
        f"{source.name} imports {seen}"
        for source in sources()
        if source.room == "seller"
        for seen in source.rooms_seen - SELLER_KNOWS
    ]

    assert strange == []


def test_the_sandbox_imports_nothing_of_the_package():
    strange = [
        f"{source.name} imports {seen}"
        for source in sources()
        if source.room == "sandbox"
        for seen in source.rooms_seen
    ]

    assert strange == []


def test_frameworks_are_imported_in_four_files():
    strange = [
        f"{source.name} imports {library}"
        for source in sources()
        if source.name not in MAY_IMPORT_A_FRAMEWORK and source.name != "cli/demo.py"
        for library in source.libraries & FRAMEWORKS
    ]

    assert strange == []


def test_each_framework_file_keeps_to_its_framework():
    seen = {source.name: source.libraries & FRAMEWORKS for source in sources()}

    assert "crewai" not in seen.get("langchain.py", set())
    assert not seen.get("crewai.py", set()) - {"crewai", "crewai_tools"}


@pytest.mark.parametrize(
    ("libraries", "rooms"),
    [
        ({"fastapi"}, {"seller"}),
        ({"starlette"}, {"seller", "page"}),
        ({"uvicorn"}, {"seller", "mcp", "page"}),
        ({"jinja2"}, {"page"}),
        ({"typer", "rich", "click"}, {"cli"}),
        ({"sqlalchemy"}, {"journal", "seller"}),
        ({"nacl", "cbor2"}, {"proof", "sandbox"}),
    ],
    ids=["web", "routes", "server", "templates", "terminal", "database", "signatures"],
)
def test_a_library_is_known_in_its_own_rooms(libraries, rooms):
    strange = [
        f"{source.name} imports {library}"
        for source in sources()
        if source.room not in rooms
        for library in source.libraries & libraries
    ]

    assert strange == []


def test_pure_rooms_have_no_io_no_clock_and_no_randomness():
    strange = [
        f"{source.name} imports {library}"
        for source in sources()
        if _is_in(source, PURE)
        for library in source.libraries & (CLOCKS_AND_IO | CHANCE)
    ]
    clocks = [
        call
        for source in sources()
        if _is_in(source, PURE | {"hire/budget", "hire/receipt", "hire/rows"})
        for call in source.uses({"now", "today", "utcnow"})
    ]

    assert strange + clocks == []


def test_only_settings_reads_the_environment():
    readers = [
        source.name
        for source in sources()
        if {"os.environ", "os.getenv"} & set(source.imports)
        or source.uses({"environ", "getenv", "putenv", "unsetenv"}, of="os")
    ]

    assert set(readers) <= {"settings.py"}


def test_only_http_builds_http_clients():
    built = [
        call for source in sources() if source.room != "net" for call in source.uses(HTTP_CLIENTS, of="httpx")
    ]
    others = [
        f"{source.name} imports {name}"
        for source in sources()
        for name in source.imports
        if name in OTHER_HTTP_LIBRARIES or name.split(".")[0] in OTHER_HTTP_LIBRARIES
    ]

    assert built + others == []


def test_files_are_short():
    long = [f"{source.name} has {source.lines} lines" for source in sources() if source.lines > MOST_LINES]

    assert long == []


def test_functions_are_short():
    lengths = {where: lines for source in sources() for where, lines in functions(source)}
    long = {where: lines for where, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION}

    assert long == {}
    assert quantiles(lengths.values(), n=10)[-1] <= MOST_LINES_OF_NINE_IN_TEN


def test_the_hall_has_few_doors():
    rooms = {source.room for source in sources()} - HALL

    assert len(rooms) <= MOST_ROOMS, sorted(rooms)


def test_the_reader_of_imports_sees_every_way_to_write_one(tmp_path: Path):
    (tmp_path / "seller").mkdir()
    file = tmp_path / "seller" / "app.py"
    file.write_text(
        "import fastapi\n"
        "from masumi_tools import buyer\n"
        "from masumi_tools.hire import next_step\n"
        "from ..money import Amount\n"
        "from . import jobs\n"
        "def later():\n    import crewai.tools\n    httpx.get('x')\n"
    )
    source = Source(file, tmp_path)

    assert source.rooms_seen == {"buyer", "hire", "money"}
    assert source.libraries == {"fastapi", "crewai"}
    assert source.uses(HTTP_CLIENTS, of="httpx") == ["seller/app.py:8 get"]


def test_the_search_for_circles_finds_them():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a"}}) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
