"""The slow and obvious way to find a card's headings: line by line, as CommonMark tells it."""

import re
from collections.abc import Iterator

ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|\Z)")
SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")
NO_PARAGRAPH = re.compile(r"[ \t]*(?:[>|<#]|```|~~~|(?:-+|=+)[ \t]*\Z|[-*+](?:[ \t]|\Z)|\d{1,9}[.)][ \t]|\Z)")


def slow_cut(text: str) -> Iterator[tuple[int, str | None, str]]:
    """Give level, heading and text of each section."""
    level, heading, fence = 0, None, ""
    body: list[str] = []
    for line in text.split("\n"):
        before, fence = fence, _fence(line, fence)
        if not before and not fence and (found := _heading(line, body)):
            yield level, heading, "\n".join(body[: len(body) - found[2]])
            level, heading, body = found[0], found[1], []
        else:
            body.append(line)
    yield level, heading, "\n".join(body)


def _heading(line: str, body: list[str]) -> tuple[int, str, int] | None:
    if atx := ATX.match(line):
        return len(atx[1]), _without_closing(line[atx.end() :].strip()), 0
    if SETEXT.fullmatch(line) and (count := _paragraph(body)):
        return 1 if line.lstrip(" ")[0] == "=" else 2, " ".join(part.strip() for part in body[-count:]), count
    return None


def _without_closing(heading: str) -> str:
    rest = heading.rstrip("#")
    return rest.rstrip() if rest != rest.rstrip() or not rest else heading


def _paragraph(body: list[str]) -> int:
    count = 0
    while count < len(body) and not NO_PARAGRAPH.match(body[-count - 1]):
        count += 1
    is_code = count and body[-count].startswith(("    ", "\t"))
    begins = count == len(body) or not body[-count - 1].strip() or FENCE.fullmatch(body[-count - 1])
    return count if begins and not is_code else 0


def _fence(line: str, fence: str) -> str:
    mark = FENCE.fullmatch(line)
    if mark is None:
        return fence
    if not fence:
        return "" if mark[1][0] == "`" and "`" in mark[2] else mark[1]
    return "" if mark[1].startswith(fence) and not mark[2].strip() else fence
