"""Bytes of a model card (README.md) -> all that it says, and what is wrong with it. Pure, and never an exception."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from miners.cards.filler import filler_in, without_filler
from miners.cards.footprint import Footprint, footprints
from miners.cards.front_matter import Malformed, parse
from miners.cards.mentions import Mention, mentions
from miners.cards.sections import Section, sections, without_comments

SIZE_LIMIT = 2**20  # bytes; of a longer card the first part is kept
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
FENCE_LINE = re.compile(r"---[ \t]*")

EMPTY = "empty"
NOT_UTF8 = "not UTF-8"
POINTER = "LFS pointer"
OVER_LIMIT = "over the size limit"
NO_FRONT_MATTER = "no front matter"
NOT_CLOSED = "front matter not closed"
NOT_A_MAP = "not a map"


class Card(NamedTuple):
    """A model card. `metadata` is its front matter, an object of JSON values; `problems` name what is wrong with it."""

    text: str
    metadata: dict[str, Any] | None
    problems: list[str]
    sections: Sequence[Section] = ()
    mentions: Sequence[Mention] = ()
    footprints: Sequence[Footprint] = ()


def read_card(body: bytes, size: int | None = None) -> Card:
    """Read a card; whatever its bytes are, they give a card whose `problems` say what is wrong.

    `body` are the file's first bytes and `size` is the file's size if it is larger. Bytes that are not UTF-8
    become U+FFFD.
    """
    problems = []
    if max(len(body), size or 0) > SIZE_LIMIT:
        problems.append(OVER_LIMIT)
        body = body[:SIZE_LIMIT]
    text, utf8 = _decoded(body, cut=bool(problems))
    if not utf8:
        problems.append(NOT_UTF8)
    if not text.strip():
        return Card(text, None, [*problems, EMPTY])
    if body.startswith(LFS_POINTER):
        return Card(text, None, [*problems, POINTER])
    lines = _lines(text)
    front, rest, problem = _split(lines)
    metadata, found = (None, [problem]) if problem else _metadata("\n".join(front))
    return Card(text, metadata, problems + found, *_said("\n".join(rest), metadata))


def _said(rest: str, metadata: dict[str, Any] | None) -> tuple[list[Section], list[Mention], list[Footprint]]:
    """Give what a reader of the card sees, without what nobody has written for this model."""
    visible = without_comments(rest)
    lower = visible.lower()
    filler = filler_in(lower)
    found = sections(visible, filler)
    if filler:
        visible = without_filler(visible, filler)
        lower = visible.lower()
    return found, mentions(visible, lower, metadata), footprints(visible, lower, metadata)


def _lines(text: str) -> list[str]:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.split("\n")


def _decoded(body: bytes, cut: bool) -> tuple[str, bool]:
    """Decode; a character that the size limit cuts in two is no fault of the card's."""
    try:
        return body.decode("utf-8-sig"), True
    except UnicodeDecodeError as error:
        text = body.decode("utf-8-sig", errors="replace")
        return text, cut and error.start >= len(body) - 3


def _split(lines: list[str]) -> tuple[list[str], list[str], str | None]:
    """Split lines into front matter and the rest, or say what keeps the front matter from being found."""
    begin = next(position for position, line in enumerate(lines) if line.strip())
    if lines[begin].strip() != "---":  # the Hub, too, lets blanks stand before the first one
        return [], lines, NO_FRONT_MATTER
    for end in range(begin + 1, len(lines)):
        if lines[end].startswith("---") and FENCE_LINE.fullmatch(lines[end]):
            return lines[begin + 1 : end], lines[end + 1 :], None
    return [], lines[begin + 1 :], NOT_CLOSED


def _metadata(text: str) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        value, problems = parse(text)
    except Malformed as error:
        return None, [str(error)]
    if value is None:
        return {}, problems
    return (value, problems) if isinstance(value, dict) else (None, [*problems, NOT_A_MAP])
