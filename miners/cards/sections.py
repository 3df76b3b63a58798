"""A card's Markdown -> its sections, and whether anything but the template's filler stands in them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|\Z)")
SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")
NO_PARAGRAPH = re.compile(r"[ \t]*(?:[>|<#]|```|~~~|(?:-+|=+)[ \t]*\Z|[-*+](?:[ \t]|\Z)|\d{1,9}[.)][ \t]|\Z)")
FILLER = re.compile(r"\[?\b(?:more information needed|needs more information)\b\]?\.?", re.IGNORECASE)
LABEL = re.compile(r"[ \t]*(?:[-*+][ \t]+)?\*\*[^*]*\*\*:?[ \t]*")
MARKUP = "|-*:#>=_~`+."  # a piece of text of nothing else is no word
EVIDENCE = 80


class Section(NamedTuple):
    """A heading and what stands under it; level 0 and no heading for the text before the first one."""

    level: int
    heading: str | None
    words: int
    filled: bool
    evidence: str | None


def sections(text: str) -> list[Section]:
    """Cut Markdown at its ATX (`# Title`) and setext (underlined) headings, those in fenced code left alone."""
    found = [_section(level, heading, body) for level, heading, body in _cut(without_comments(text).split("\n"))]
    return found if not found or found[0].filled or found[0].level else found[1:]


def without_comments(text: str) -> str:
    """Remove HTML comments, which no reader of a card sees; one that is not closed stays."""
    kept, position = [], 0
    while (begin := text.find("<!--", position)) >= 0:
        end = text.find("-->", begin + 4)
        if end < 0:
            break
        kept += [text[position:begin], "\n" * text.count("\n", begin, end)]
        position = end + 3
    return "".join([*kept, text[position:]])


def _cut(lines: list[str]) -> Iterator[tuple[int, str | None, list[str]]]:
    """Give level, heading and lines of each section."""
    level, heading, fence = 0, None, ""
    body: list[str] = []
    for line in lines:
        before, fence = fence, _fence(line, fence)
        if not before and not fence and (found := _heading(line, body)):
            yield level, heading, body[: len(body) - found[2]]
            level, heading, body = found[0], found[1], []
        else:
            body.append(line)
    yield level, heading, body


def _heading(line: str, body: list[str]) -> tuple[int, str, int] | None:
    """Give level and text if the line makes a heading, and how many lines of the body before it belong to that."""
    mark = line.lstrip(" ")[:1]
    if mark == "#" and (atx := ATX.match(line)):
        return len(atx[1]), _without_closing(line[atx.end() :].strip()), 0
    if mark in ("=", "-") and SETEXT.fullmatch(line) and (count := _paragraph(body)):
        return 1 if mark == "=" else 2, " ".join(part.strip() for part in body[-count:]), count
    return None


def _without_closing(heading: str) -> str:
    """Remove the `##` that may close a heading, if a blank stands before it."""
    rest = heading.rstrip("#")
    return rest.rstrip() if rest != rest.rstrip() or not rest else heading


def _paragraph(body: list[str]) -> int:
    """Count the lines of the paragraph that the body ends with; there is none after a list, a table or code."""
    count = 0
    while count < len(body) and not NO_PARAGRAPH.match(body[-count - 1]):
        count += 1
    is_code = count and body[-count].startswith(("    ", "\t"))
    begins = count == len(body) or not body[-count - 1].strip() or FENCE.fullmatch(body[-count - 1])
    return count if begins and not is_code else 0


def _fence(line: str, fence: str) -> str:
    """Give the fence that is open after this line, or nothing."""
    if "```" not in line and "~~~" not in line:
        return fence
    mark = FENCE.fullmatch(line)
    if mark is None:
        return fence
    if not fence:
        return "" if mark[1][0] == "`" and "`" in mark[2] else mark[1]
    closes = mark[1].startswith(fence) and not mark[2].strip()
    return "" if closes else fence


def _section(level: int, heading: str | None, lines: list[str]) -> Section:
    text = "\n".join(lines)
    if "information" in text.lower():
        text = "\n".join(_without_filler(line) for line in lines)
    words = len([piece for piece in text.split() if piece.strip(MARKUP)])
    evidence = " ".join(text[: 20 * EVIDENCE].split())[:EVIDENCE] if words else None
    return Section(level, heading, words, words > 0, evidence)


def _without_filler(line: str) -> str:
    """Remove the filler, and the label that it leaves alone: `- **Developed by:** [More Information Needed]`."""
    rest = FILLER.sub("", line)
    return "" if rest != line and LABEL.fullmatch(rest) else rest
