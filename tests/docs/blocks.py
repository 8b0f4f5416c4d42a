"""The fenced blocks of a page, and the notes in HTML comments that say how each is tested.

A note stands right before its block:

* ``<!-- not run: REASON -->``: it cannot be run here; its syntax is checked all the same.
* ``<!-- output -->``: what the block before it prints; ``…`` stands for anything.
* ``<!-- until: TEXT -->``: a command that goes on in another terminal, such as a server; it runs
  until the end of the page, and is ready when it has printed TEXT.
* ``<!-- json: NAME -->``: an object of the OpenAPI document; without a note JSON is a config.

``<!-- given: NAME, NAME -->``, anywhere on the page, names what the page's blocks start from.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What can be run or checked. Any other language needs the note "not run".
RUN = frozenset({"python", "bash", "json", "sql"})
NOTES = frozenset({"not run", "output", "until", "json"})

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
_NOTE = re.compile(r"<!-- ([a-z ]+?)(?:: *((?:(?!-->).)*?))? *-->\s*\Z", re.DOTALL)
_GIVEN = re.compile(r"<!-- given: (.*?) -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: The file, as pages name it.
        line: Of the block's first line.
        language: What follows the fence.
        text: The content, without common indentation.
        note: The kind of note before it, or "".
        detail: What follows the note's colon.
    """

    page: str
    line: int
    language: str
    text: str
    note: str = ""
    detail: str = ""

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


class BlockError(Exception):
    """A block that no test covers."""


def pages() -> list[Path]:
    """Return every page in docs/, and the pages outside of it."""
    above = [
        ROOT / name
        for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "examples/README.md")
    ]
    return [*above, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(path: Path) -> list[Block]:
    return list(parse(path.read_text(), str(path.relative_to(ROOT))))


def given_of(text: str) -> list[str]:
    """Return the fixtures that a page names."""
    found = [name.strip() for note in _GIVEN.findall(text) for name in note.split(",")]
    return [name for name in dict.fromkeys(found) if name]


def parse(text: str, page: str) -> Iterator[Block]:
    """Yield the blocks of a page.

    Raises:
        BlockError: A block would not be tested, and no note says why.
    """
    end = 0
    for match in _FENCE.finditer(text):
        note = _NOTE.search(text[end : match.start()])
        end = match.end()
        kind, detail = (note[1], note[2] or "") if note else ("", "")
        block = Block(
            page=page,
            line=text.count("\n", 0, match.start(3)) + 1,
            language=match[2].strip(),
            text=textwrap.dedent(match[3]),
            note=kind if kind in NOTES else "",
            detail=detail.strip(),
        )
        _check(block)
        yield block


def _check(block: Block) -> None:
    if block.note == "not run" and not block.detail:
        raise BlockError(f"{block.where}: the note 'not run' gives no reason")
    if block.note in {"not run", "output"}:
        return
    if block.language not in RUN:
        raise BlockError(
            f"{block.where}: {block.language or 'no language'} is not among {sorted(RUN)}; write "
            "<!-- not run: REASON --> or <!-- output --> before it"
        )
    if block.note == "until" and block.language != "bash":
        raise BlockError(f"{block.where}: only bash can go on in another terminal")
