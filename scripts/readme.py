"""The README for package indexes, where no other file of the repository lies beside it: a hook of the build.

Where `[project.urls]` names the repository as Source, relative links and pictures lead there. Until it does, a
link is its words and the name of the file, a picture is left out, so that nothing on that page leads nowhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[1] / "README.md"
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://)([^)#]*)(#[^)]*)?\)")
WHERE = "\n\nThe files that are named here stand in the source archive.\n"


def standalone(text: str, source: str = "") -> str:
    """The text with every link and picture absolute, or without it."""

    def absolute(found: re.Match[str]) -> str:
        picture, words, path, heading = found[1], found[2], found[3], found[4] or ""
        if not source:
            return "" if picture else path if path.endswith(words) else f"{words} ({path})"
        kind = "raw" if picture else "blob"
        return f"{picture}[{words}]({source.rstrip('/')}/{kind}/HEAD/{path}{heading})"

    lone = re.sub(r"\n{3,}", "\n\n", LINK.sub(absolute, text))
    return lone if source else lone.rstrip() + WHERE


def get_metadata_hook() -> Any:
    """What hatchling calls."""
    from hatchling.metadata.plugin.interface import MetadataHookInterface

    class Readme(MetadataHookInterface):
        def update(self, metadata: dict[str, Any]) -> None:
            source = metadata.get("urls", {}).get("Source", "")
            text = standalone(README.read_text(encoding="utf-8"), source)
            metadata["readme"] = {"content-type": "text/markdown", "text": text}

    return Readme
