"""Record `masumi-tools demo` as docs/demo.svg, the picture of the README.

python scripts/record_demo.py [FILE]
"""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

from rich.console import Console

from masumi_tools.cli.context import Context
from masumi_tools.cli.demo import run

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "demo.svg"
WIDTH = 112


def record() -> str:
    """The demo's last screen as SVG. Its letters come from the reader's machine: nothing is fetched."""
    os.environ["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # as after activation
    )
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    status = run(Context(out=console))
    if status:
        raise SystemExit(f"the demo ended with {status}")
    svg = console.export_svg(title="masumi-tools demo", unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def text_of(svg: str) -> str:
    """The words in the picture, line by line as they are shown."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for x, y, words in re.findall(
        r'<text class="demo-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg
    ):
        rows.setdefault(float(y), []).append((float(x), words.replace("&#160;", " ")))
    return "\n".join("".join(words for _, words in sorted(row)).rstrip() for _, row in sorted(rows.items()))


if __name__ == "__main__":
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    picture.write_text(record(), encoding="utf-8")
    print(f"{picture.name}: {picture.stat().st_size // 1000} kB")
