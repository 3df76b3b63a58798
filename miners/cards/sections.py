"""A card's Markdown -> its sections, and whether anything but filler stands in them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# Only lines that begin like this can end a section or a piece of code; all others are never looked at one by one.
MARK = re.compile(r"\n {0,3}(?:(#{1,6})(?=[ \t\n]|\Z)|(=+|-+)[ \t]*(?=\n|\Z)|(`{3,}|~{3,})(.*))")
NO_PARAGRAPH = re.compile(
    r"[ \t]*(?:[>|<#]|```|~~~|(?:-+|=+)[ \t]*$|[-*+](?:[ \t]|$)|\d{1,9}[.)][ \t]|$)", re.MULTILINE
)
FENCE = re.compile(r" {0,3}(?:`{3,}|~{3,}).*$", re.MULTILINE)
TAG = re.compile(r"</?[A-Za-z][^<>]*>")
IMAGE = re.compile(r"!\[[^\[\]\n]{0,1000}\]\([^()\n]{0,2000}\)")
NO_WORDS = b"|-*:#>=_~`+."  # a piece of text of nothing else is no word
LETTERS = bytes(ord(" ") if chr(code) in " \t\n\r\v\f" else ord("x") for code in range(256))
EVIDENCE = 80
UNSEEN = (("<!--", "-->"), ("<style", "</style>"), ("<script", "</script>"))
Cut = tuple[int, str | None, str]


class Section(NamedTuple):
    """A heading and what stands under it; level 0 and no heading for the text before the first one."""

    level: int
    heading: str | None
    words: int
    filled: bool
    evidence: str | None


def sections(text: str) -> list[Section]:
    """Cut Markdown at its ATX (`# Title`) and setext (underlined) headings, those in fenced code left alone.

    `text` is without comments and filler.
    """
    found = [_section(*part) for part in cut(text)]
    return found if not found or found[0].filled or found[0].level else found[1:]


def without_unseen(text: str) -> str:
    """Remove comments, styles and scripts of HTML, which no reader of a card sees; one that is not closed stays."""
    for begins, ends in UNSEEN:
        if begins in text:
            text = _without(text, begins, ends)
    return text


def _without(text: str, begins: str, ends: str) -> str:
    kept, position = [], 0
    while (begin := text.find(begins, position)) >= 0:
        end = text.find(ends, begin + len(begins))
        if end < 0:
            break
        kept += [text[position:begin], "\n" * text.count("\n", begin, end)]
        position = end + len(ends)
    return "".join([*kept, text[position:]]) if kept else text


def cut(text: str) -> Iterator[Cut]:
    """Give level, heading and text of each section, the text before the first heading as level 0 with none."""
    text = f"\n{text}"
    level, heading, begin, fence = 0, None, 1, ""
    for mark in MARK.finditer(text):
        hashes, underline, opened, rest = mark.groups()
        if opened:
            fence = _fence(fence, opened, rest)
        if opened or fence:
            continue
        line = mark.start() + 1
        start = line if hashes else _paragraph(text, begin, line)
        if start == line and underline:
            continue
        yield level, heading, text[begin : start - 1]
        end = text.find("\n", mark.end())
        end = len(text) if end < 0 else end
        level = len(hashes) if hashes else 1 if underline[0] == "=" else 2
        heading = _atx(text[mark.end() : end]) if hashes else _joined(text[start:line])
        begin = end + 1
    yield level, heading, text[begin:]


def _fence(fence: str, mark: str, rest: str) -> str:
    """Give the fence that is open after this mark, or nothing."""
    if not fence:
        return "" if mark[0] == "`" and "`" in rest else mark
    return "" if mark.startswith(fence) and not rest.strip() else fence


def _atx(line: str) -> str:
    """Give a heading's text without the `##` that may close it, if a blank stands before that."""
    heading = line.strip()
    rest = heading.rstrip("#")
    return rest.rstrip() if rest != rest.rstrip() or not rest else heading


def _joined(lines: str) -> str:
    return " ".join(line.strip() for line in lines.removesuffix("\n").split("\n"))


def _paragraph(text: str, begin: int, end: int) -> int:
    """Give where the paragraph begins that ends at `end`, or `end`; there is none after a list, a table or code."""
    start = end
    while start > begin and not NO_PARAGRAPH.match(text, before := text.rfind("\n", begin, start - 1) + 1 or begin):
        start = before
    if start == end or text.startswith(("    ", "\t"), start):
        return end
    if start == begin:
        return start
    before = text.rfind("\n", begin, start - 1) + 1 or begin
    return start if not text[before : start - 1].strip() or FENCE.match(text, before, start - 1) else end


def _section(level: int, heading: str | None, text: str) -> Section:
    if "<" in text:
        text = TAG.sub(" ", text)
    if "![" in text:
        text = IMAGE.sub(" ", text)
    words = (b" " + text.encode().translate(LETTERS, NO_WORDS)).count(b" x")
    evidence = " ".join(text.lstrip()[: 5 * EVIDENCE].split())[:EVIDENCE] if words else ""
    return Section(level, heading, words, True, evidence) if evidence else Section(level, heading, 0, False, None)
