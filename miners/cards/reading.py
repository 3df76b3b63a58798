"""Bytes of a model card (README.md) -> all that it says, and what is wrong with it. Pure, and never an exception."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from miners.cards.filler import without_filler
from miners.cards.footprint import Footprint, footprints
from miners.cards.front_matter import Malformed, parse
from miners.cards.mentions import Mention, mentions
from miners.cards.sections import Section, sections, without_unseen

SIZE_LIMIT = 2**20  # bytes; of a longer card the first part is kept
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
FENCE_LINE = re.compile(r"\n---[ \t]*(?=\n|\Z)")

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
    front, rest, problem = _split(_with_newlines(text))
    metadata, found = (None, [problem]) if problem else _metadata(front)
    return Card(text, metadata, problems + found, *_said(rest, metadata))


def _said(rest: str, metadata: dict[str, Any] | None) -> tuple[list[Section], list[Mention], list[Footprint]]:
    """Give what a reader of the card sees, without what nobody has written for this model."""
    text, lower = without_filler(without_unseen(rest))
    return sections(text), mentions(text, lower, metadata), footprints(text, lower, metadata)


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _decoded(body: bytes, cut: bool) -> tuple[str, bool]:
    """Decode; a character that the size limit cuts in two is no fault of the card's."""
    try:
        return body.decode("utf-8-sig"), True
    except UnicodeDecodeError as error:
        text = body.decode("utf-8-sig", errors="replace")
        return text, cut and error.start >= len(body) - 3


def _split(text: str) -> tuple[str, str, str | None]:
    """Split a text into front matter and the rest, or say what keeps the front matter from being found."""
    shown = len(text) - len(text.lstrip())  # the Hub, too, lets blanks stand before the first line
    end = text.find("\n", shown)
    end = len(text) if end < 0 else end
    if text[shown:end].rstrip() != "---":
        return "", text, NO_FRONT_MATTER
    fence = FENCE_LINE.search(text, end)
    if fence is None:
        return "", text[end + 1 :], NOT_CLOSED
    return text[end + 1 : fence.start()], text[fence.end() + 1 :], None


def _metadata(text: str) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        value, problems = parse(text)
    except Malformed as error:
        return None, [str(error)]
    if value is None:
        return {}, [*problems]
    return (value, [*problems]) if isinstance(value, dict) else (None, [*problems, NOT_A_MAP])
