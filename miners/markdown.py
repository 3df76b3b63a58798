"""Tables and links in Markdown."""

import re
from collections.abc import Iterator
from typing import NamedTuple

LINK = re.compile(r"\[([^\[\]]{0,300})\]\(\s*([^()\s]{1,1000}(?:\([^()\s]{0,200}\)[^()\s]{0,200})?)[^()]{0,200}\)")
TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
CELL = re.compile(r"(?<!\\)\|")
LONGEST_LINE = 10_000


class Row(NamedTuple):
    """A row of a table: its cells by the column's heading, without markup, and the line that it is.

    `before` is the last line of text before the table.
    """

    cells: dict[str, str]
    line: str
    targets: list[str]
    before: str


def rows(text: str) -> Iterator[Row]:
    """Give the rows of all tables of a Markdown text."""
    lines = text.splitlines()
    headings: list[str] | None = None
    before = ""
    for place, line in enumerate(lines):
        if "|" not in line or len(line) > LONGEST_LINE:
            headings = None
            before = line.strip() or before
        elif _is_rule(line):
            headings = _cells(lines[place - 1]) if place else None
        elif headings:
            cells = dict(zip(headings, _cells(line), strict=False))
            yield Row(cells, line.strip(), [target for _, target in links(line)], before)


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
        if line.lstrip().startswith(("```", "~~~")):
            if block is not None:
                yield "\n".join(block)
            block = [] if block is None else None
        elif block is not None:
            block.append(line)
    if block:
        yield "\n".join(block)
