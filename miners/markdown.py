"""Tables and links in Markdown."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LINK = re.compile(r"\[([^\[\]]{0,300})\]\(\s*([^()\s]{1,1000}(?:\([^()\s]{0,200}\)[^()\s]{0,200})?)[^()]{0,200}\)")
TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
CELL = re.compile(r"(?<!\\)\|")
FENCES = ("```", "~~~")
HEADING = re.compile(r"#{1,6}[ \t]")
LONGEST_LINE = 10_000
MOST_PARAGRAPHS = 10  # before a table


class Row(NamedTuple):
    """A row of a table: its cells by the column's heading, without markup, and the line that it is.

    `before` are the paragraphs between the last heading and the table as they stand there, the last one first.
    """

    cells: dict[str, str]
    line: str
    targets: list[str]
    before: Sequence[str]


def rows(text: str) -> Iterator[Row]:
    """Give the rows of all tables of a Markdown text, those in its code left out."""
    lines = text.splitlines()
    headings: list[str] | None = None
    section = _Section()
    for place, line in enumerate(lines):
        if section.is_code(line):
            headings = None
            section.end_paragraph()
        elif "|" not in line or len(line) > LONGEST_LINE:
            headings = None
            section.add(line)
        elif _is_rule(line):
            headings = _cells(lines[place - 1]) if place else None
        elif headings:
            section.end_paragraph()
            cells = dict(zip(headings, _cells(line), strict=False))
            yield Row(cells, line.strip(), [target for _, target in links(line)], section.paragraphs)


class _Section:
    """What has been read of a section: its paragraphs, the last one first."""

    def __init__(self) -> None:
        self.paragraphs: list[str] = []
        self._lines: list[str] = []
        self._in_code = False

    def is_code(self, line: str) -> bool:
        """Say whether a line belongs to a fenced block."""
        is_fence = line.lstrip().startswith(FENCES)
        self._in_code = self._in_code != is_fence
        return self._in_code or is_fence

    def add(self, line: str) -> None:
        """Take a line that is neither code nor a row of a table."""
        if HEADING.match(line):
            self.paragraphs, self._lines = [], []
        elif line.strip():
            self._lines.append(line.strip())
        else:
            self.end_paragraph()

    def end_paragraph(self) -> None:
        """Begin another paragraph."""
        if self._lines:
            self.paragraphs = ["\n".join(self._lines), *self.paragraphs][:MOST_PARAGRAPHS]
            self._lines = []


def _is_rule(line: str) -> bool:
    return "-" in line and not line.strip("|:- \t")


def _cells(line: str) -> list[str]:
    inside = line.strip().removeprefix("|")
    inside = inside[:-1] if inside.endswith("|") and not inside.endswith("\\|") else inside
    return [plain(cell) for cell in CELL.split(inside)]


def plain(text: str) -> str:
    """Remove the markup of links, emphasis and code, and HTML tags.

    >>> plain("**[mIOU](#metric)** (%)")
    'mIOU (%)'
    """
    unmarked = LINK.sub(r"\1", text).replace("**", "").replace("`", "")
    return " ".join(TAG.sub(" ", unmarked).split())


def links(text: str) -> list[tuple[str, str]]:
    """Give (words, target) of each link.

    >>> links("See [a](b.html) and [c](http://d/e_(f)).")
    [('a', 'b.html'), ('c', 'http://d/e_(f)')]
    """
    return [(match[1], match[2]) for match in LINK.finditer(text)]


def section(text: str, heading: str) -> str:
    """Give what stands under the first heading of Markdown that begins with these words, in any case; or nothing."""
    found = re.search(rf"(?ims)^#+[ \t]*{re.escape(heading)}[^\n]*\n(.*?)(?=^#|\Z)", text)
    return found[1].strip() if found else ""


def code_blocks(text: str) -> Iterator[str]:
    """Give the contents of fenced code blocks; one that is not closed goes on to the end."""
    block: list[str] | None = None
    for line in text.splitlines():
        if line.lstrip().startswith(FENCES):
            if block is not None:
                yield "\n".join(block)
            block = [] if block is None else None
        elif block is not None:
            block.append(line)
    if block:
        yield "\n".join(block)
