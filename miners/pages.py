"""Page of a listing -> JSON values, one a record, whatever is wrong with the page."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

TO_MEND = ("\\ud", "\\uD", "\\u0000")
ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair of surrogates: a character
    r"|(?P<broken>u[dD][89a-fA-F][0-9a-fA-F]{2}|u0000)"  # half a pair, or a NUL
    r"|.)",
    re.DOTALL,
)
MARK = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
LONGEST_NUMBER = 30


class Page(NamedTuple):
    """One answer of a listing: where it came from, when, and what it said."""

    url: str
    fetched_at: datetime
    body: bytes


class Unreadable(NamedTuple):
    """Stands in for a record that is not JSON; `reason` says why."""

    reason: str


def records(page: bytes) -> list[object]:
    """Parse a page, a JSON list, into its records; one that cannot be parsed becomes an `Unreadable`.

    Never raises: bytes that are not UTF-8, halves of surrogate pairs and NUL characters become U+FFFD, and one record
    that is broken, cut off or nested too deeply does not take the others with it.
    """
    text = storable(page.decode("utf-8-sig", errors="replace"))
    try:
        values = _decoded(text)
    except (ValueError, RecursionError) as error:
        return _one_by_one(text.replace("\0", "\ufffd")) or [Unreadable(f"the page is not JSON: {error}")]
    if isinstance(values, list):
        return values
    return [Unreadable(f"the page is a JSON {_kind(values)}, expected a list of records: {text[:200]}")]


def _decoded(text: str) -> object:
    """Parse JSON, the quicker way first; what only Python takes for JSON (NaN, 1e999, ...) is left to Python."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return json.loads(text)


def storable(text: str) -> str:
    r"""JSON text whose strings can all be stored: lone surrogates and NULs (`\\u0000`) are replaced by U+FFFD."""
    if "\\u" in text and any(mark in text for mark in TO_MEND):
        text = ESCAPE.sub(_mended, text)
    return text


def _mended(match: re.Match[str]) -> str:
    return "\\ufffd" if match["broken"] else match[0]


def _one_by_one(text: str) -> list[object]:
    pieces = [text[begin:end] for begin, end in spans(text)]
    return [_parsed(piece) for piece in pieces if piece.strip()]


def spans(text: str, begin: int = 0) -> Iterator[tuple[int, int]]:
    """Cut `[a, b, c]` at the commas of its outermost level: where each piece begins and ends, whatever is in it.

    The list is the first one behind `begin`; where it is cut off, so is the last piece.

    >>> text = "[1, {2: [3]}] 4"
    >>> [text[begin:end] for begin, end in spans(text)]
    ['1', ' {2: [3]}']
    """
    depth, start = 0, 0
    for mark in MARK.finditer(text, begin):
        symbol = mark[0]
        if symbol in "[{":
            depth += 1
            start = mark.end() if depth == 1 else start
        elif symbol in "]}":
            depth -= 1
        if depth == (0 if symbol in "]}" else 1) and symbol in ",]}":
            yield start, mark.start()
            start = mark.end()
        if depth <= 0:
            return
    if depth:
        yield start, len(text)


def _parsed(piece: str) -> object:
    try:
        value: object = json.loads(piece, parse_int=_whole)
    except RecursionError:
        return Unreadable("nested too deeply")
    except ValueError as error:
        return Unreadable(f"not JSON: {error}")
    return value


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_NUMBER else float(digits)


def _kind(value: object) -> str:
    return {dict: "object", str: "string", type(None): "null", bool: "boolean"}.get(type(value), "number")
