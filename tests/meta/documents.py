"""Code blocks of the documentation."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A fenced block: where it begins, its language, its text."""

    path: Path
    line: int
    language: str
    text: str


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = path.read_text()
    return [
        Block(path=path, line=text.count("\n", 0, found.start()) + 2, language=found.group(1), text=found.group(2))
        for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[list[str]]:
    """The command lines of a console block, as words, without comments."""
    joined = block.text.replace("\\\n", " ")
    return [shlex.split(line[2:], comments=True) for line in joined.splitlines() if line.startswith("$ ")]


def links(path: Path) -> list[str]:
    """Files that a document links to."""
    return [found.group(1) for found in _LINK.finditer(path.read_text()) if "://" not in found.group(1)]
