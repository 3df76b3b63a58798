"""A snapshot that is JSON lists, as the Hub's API answers: its records, one a line, as snapshots are read."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]  # ships no types

from miners.pages import spans
from schemas.errors import UsageError
from schemas.files import written_whole

LARGEST_LIST = 64 * 2**20  # bytes; it is held in memory, and a page of the API has a few million
BEGINNING = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*(?:\{|\]|\Z)")
BLANK = re.compile(r"\s*")


def as_lines(file: Path, copy: Path) -> Path:
    """Give the file itself or, if it holds lists of records one after the other, a `copy` with a record a line.

    Raises UsageError for lists that are too large for memory.
    """
    with pyarrow.input_stream(str(file), compression="detect") as stream:
        start = stream.read(1000)
        if not BEGINNING.match(start):
            return file
        body = start + stream.read(LARGEST_LIST)
    if len(body) > LARGEST_LIST:
        raise UsageError(
            f"{file} is one JSON list of more than {LARGEST_LIST} bytes, expected one record a line; "
            f"jq -c '.[]' {file.name} > records.jsonl makes that of it"
        )
    with written_whole(copy) as beside, beside.open("w", encoding="utf-8", newline="\n") as lines:
        lines.writelines(f"{record}\n" for record in _records(body.decode("utf-8-sig", errors="replace")))
    return copy


def _records(text: str) -> Iterator[str]:
    """Give the text of each record without line breaks; what follows the last list is one more, and broken."""
    at = 0
    while (at := _behind_blanks(text, at)) < len(text):
        if text[at] != "[":
            yield _in_one_line(text[at:])
            return
        end = at
        for begin, end in spans(text, at):
            if piece := text[begin:end].strip():
                yield _in_one_line(piece)
        at = end + 1


def _behind_blanks(text: str, at: int) -> int:
    blanks = BLANK.match(text, at)
    return blanks.end() if blanks else at


def _in_one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\r", " ")
