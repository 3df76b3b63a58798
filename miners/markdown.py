"""Tables and links in Markdown."""

import re
from collections.abc import Iterator
from typing import NamedTuple

LINK = re.compile(r"\[([^\[\]]{0,300})\]\(\s*([^()\s]{1,1000}(?:\([^()\s]{0,200}\)[^()\s]{0,200})?)[^()]{0,200}\)")
CELL = re.compile(r"(?<!\\)\|")
LONGEST_LINE = 10_000


class Row(NamedTuple):
    """A row of a table: its cells by the column's heading, without markup of links, and the line that it is."""

    cells: dict[str, str]
    line: str
    targets: list[str]


def rows(text: str) -> Iterator[Row]:
    """Give the rows of all tables of a Markdown text."""
    lines = text.splitlines()
    headings: list[str] | None = None
    for place, line in enumerate(lines):
        if "|" not in line or len(line) > LONGEST_LINE:
            headings = None
        elif _is_rule(line):
            headings = _cells(lines[place - 1]) if place else None
        elif headings:
            cells = dict(zip(headings, _cells(line), strict=False))
            yield Row(cells, line.strip(), [target for _, target in links(line)])


def _is_rule(line: str) -> bool:
    return "-" in line and not line.strip("|:- \t")


def _cells(line: str) -> list[str]:
    inside = line.strip().removeprefix("|")
    inside = inside[:-1] if inside.endswith("|") and not inside.endswith("\\|") else inside
    return [plain(cell) for cell in CELL.split(inside)]


def plain(text: str) -> str:
    """Remove the markup of links, emphasis and code.

    >>> plain("**[mIOU](#metric)** (%)")
    'mIOU (%)'
    """
    return LINK.sub(r"\1", text).replace("**", "").replace("`", "").strip()


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
