"""A table of timm's as CSV -> its rows, each with its place, and the numbers in them."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from miners.evaluations import number
from miners.fields import LARGEST
from miners.package import Lost

THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


class Line(NamedTuple):
    """A row of a table; `place` names the table and the row, counted from 1."""

    table: str
    place: str
    values: Mapping[str, str]


def lines(path: str, body: bytes, needed: Sequence[str]) -> Iterator[Line | Lost] | Lost:
    """Give the rows of a table, each or why it cannot be read: too many or too few values, or nothing in `needed`.

    A table whose headings lack one of `needed`, or that has no row, is lost as a whole: it is damaged.
    """
    reader = csv.reader(io.StringIO(body.decode("utf-8-sig", "replace"), newline=""), strict=True)
    try:
        headings = next(reader, [])
        missing = [name for name in needed if name not in headings]
        if missing:
            return Lost(path, f"its first line has no column {', '.join(missing)}: the table is damaged, or another")
        if not (values := next(filter(None, reader), [])):
            return Lost(path, "it has no row below its first line: the table is damaged, or empty")
    except csv.Error as error:
        return Lost(path, f"the table cannot be read: {error}")
    return _lines(path.rpartition("/")[2], reader, headings, values, needed)


def _lines(
    table: str, reader: Iterator[list[str]], headings: list[str], first: list[str], needed: Sequence[str]
) -> Iterator[Line | Lost]:
    place = 0
    try:
        for place, values in enumerate(chain([first], reader), start=1):
            if values:
                yield _line(table, f"{table}#{place}", headings, values, needed)
    except csv.Error as error:
        yield Lost(f"{table}#{place + 1}", f"the table cannot be read from here on: {error}")


def _line(table: str, place: str, headings: list[str], values: list[str], needed: Sequence[str]) -> Line | Lost:
    if len(values) != len(headings):
        return Lost(place, f"{len(values)} values in a table of {len(headings)} columns")
    found = {heading: value.strip() for heading, value in zip(headings, values, strict=True)}
    for name in needed:
        if not found.get(name):
            return Lost(place, f"it has no {name}")
    return Line(table, place, found)


def figure(text: str | None) -> float | None:
    """Give the number that a cell holds, with commas between thousands or without.

    >>> figure("1,014.45"), figure("+1.088"), figure("1,01"), figure("")
    (1014.45, 1.088, None, None)
    """
    if text and THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    return number(text)


def whole(text: str | None) -> int | None:
    """Give the whole number that a cell holds; `1024.0` is one, too."""
    found = figure(text)
    return int(found) if found is not None and found.is_integer() and abs(found) < LARGEST else None
