"""Markdown pages as blocks of code: what to run, and what the page says that it prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
EXAMPLES = REPO / "examples"
_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>.+?) -->\n)?^(?P<indent> *)```(?P<kind>\w+)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block. `why_not` says why it is not run; `output` is the text block that follows at once."""

    kind: str
    text: str
    line: int
    why_not: str | None = None
    output: str | None = None


@dataclass(frozen=True)
class Command:
    """One `$ ` line of a terminal, and what the page says that it prints."""

    line: str
    output: str


def pages() -> list[Path]:
    """Every page that people read, with code or without."""
    top = [REPO / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*top, *sorted((REPO / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(REPO).as_posix()


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The page's blocks in order; a ```text right after a ```python block is its output."""
    source = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = 0
    for match in _BLOCK.finditer(source):
        between = source[end : match.start()]
        text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        if match["kind"] == "text" and found and found[-1].kind == "python" and not between.strip():
            found[-1] = Block(**{**vars(found[-1]), "output": text})
        else:
            line = source.count("\n", 0, match.start()) + 1
            found.append(Block(match["kind"], text, line, match["why"]))
        end = match.end()
    return tuple(found)


def commands(block: Block) -> list[Command]:
    """The commands of a ```console block; a line that ends in a backslash goes on in the next."""
    made: list[Command] = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        while line.endswith("\\"):
            more, _, output = output.partition("\n")
            line = line[:-1] + more.strip()
        made.append(Command(line, output))
    return made


_CHANGING = (
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]"), ""),  # colours
    (re.compile(r"\b[0-9a-f]{12,}(?:\.{3})?"), "*"),  # identifiers, hashes, hire ids, keys
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-\*"), "*"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?"), "TIME"),
    (re.compile(r"in \d+ (?:minutes?|hours?|days?)"), "in SOME TIME"),
    (re.compile(r"/\S*/masumi-sandbox-\w+/"), "/FOLDER/"),
    (re.compile(r"\b\d+(?:\.\d+)? s\b"), "N s"),
    (re.compile(r"\b\d+ a second\b"), "N a second"),
)


def plain(text: str) -> str:
    """Text without what differs from run to run, and without spaces that nobody sees."""
    for pattern, instead in _CHANGING:
        text = pattern.sub(instead, text)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def fits(said: str, printed: str) -> bool:
    """Whether a page's output is what was printed; a line "..." in the page stands for any lines."""
    parts = re.split(r"^\.\.\.$\n?", plain(said), flags=re.MULTILINE)
    pattern = r"(?:.*\n)*?".join(re.escape(part) for part in parts)
    if parts[-1] == "":
        pattern += r"(?:.*\n?)*"
    return re.fullmatch(pattern, plain(printed)) is not None
