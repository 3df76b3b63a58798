"""Walks through protobuf messages in a file without fetching the fields that are passed over.

The wire format: https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from miners.headers.cursor import Cursor
from schemas.errors import DataError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED = {FIXED64: struct.Struct("<q"), FIXED32: struct.Struct("<i")}
MOST_FIELDS = 2_000_000
LONGEST_VARINT = 10  # bytes


class Field(NamedTuple):
    """A field of a message: its number, its value where that is a number, else where its bytes begin and end."""

    number: int
    value: int | None
    begin: int
    end: int


class Messages:
    """Reads messages of one file; together they may have MOST_FIELDS fields.

    Every method raises DataError for bytes that are no message, or that reach beyond the message they lie in.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._left = MOST_FIELDS

    def fields(self, end: int | None) -> Iterator[Field]:
        """Give the fields up to byte `end`, or to the file's end; what the caller has not read of one is skipped."""
        while not self._cursor.at_end if end is None else self._cursor.position < end:
            field = self._field(end)
            yield field
            self._cursor.skip(field.end - self._cursor.position)
        if end is not None and self._cursor.position > end:
            raise DataError(f"a field ends at byte {self._cursor.position}, its message at {end}")

    def content(self, field: Field, most: int) -> bytes:
        """Give the first `most` bytes of the field that was given last."""
        self._expect_bytes(field)
        return self._cursor.take(min(field.end - field.begin, most))

    def text(self, field: Field, most: int) -> str:
        """Give the first `most` bytes of a field as text."""
        return self.content(field, most).decode("utf-8", errors="replace")

    def inside(self, field: Field) -> Iterator[Field]:
        """Give the fields of the message that the field given last holds."""
        self._expect_bytes(field)
        return self.fields(field.end)

    def numbers(self, field: Field, most: int) -> list[int]:
        """Give the integers of a repeated field, of which a message may hold one or, packed, up to `most`."""
        if field.value is not None:
            return [field.value]
        found: list[int] = []
        while self._cursor.position < field.end:
            if len(found) == most:
                raise DataError(f"a list of numbers has more than {most}")
            found.append(_signed(self._varint()))
        if self._cursor.position > field.end:
            raise DataError(f"a list of numbers does not end at byte {field.end}")
        return found

    def _expect_bytes(self, field: Field) -> None:
        if field.value is not None:
            raise DataError(f"field {field.number} at byte {field.begin} is a number, expected bytes")

    def _field(self, end: int | None) -> Field:
        self._left -= 1
        if self._left < 0:
            raise DataError(f"the file has more than {MOST_FIELDS} fields")
        tag = self._varint()
        number, kind = tag >> 3, tag & 7
        begin = self._cursor.position
        if kind == VARINT:
            return Field(number, _signed(self._varint()), begin, self._cursor.position)
        if kind in FIXED:
            return Field(number, self._cursor.number(FIXED[kind]), begin, self._cursor.position)
        if kind != BYTES or not number:
            raise DataError(f"the bytes before {begin} begin no field of a message (type {kind}, number {number})")
        length = self._varint()
        begin = self._cursor.position
        if end is not None and begin + length > end:
            raise DataError(f"a field of {length} bytes at {begin} reaches beyond its message, which ends at {end}")
        return Field(number, None, begin, begin + length)

    def _varint(self) -> int:
        value = 0
        for place in range(LONGEST_VARINT):
            byte = self._cursor.take(1)[0]
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF
        raise DataError(f"a number before byte {self._cursor.position} is longer than {LONGEST_VARINT} bytes")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
