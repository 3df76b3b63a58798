"""Header of a GGUF file -> its tensors and metadata (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

import json
import struct
from typing import Any

from miners.fields import LARGEST
from miners.headers.cursor import Cursor
from miners.headers.ggml import TYPES, Type
from miners.headers.header import (
    LONGEST_NAME,
    LONGEST_VALUE,
    Fact,
    Header,
    Tensor,
    check_count,
    check_tensors,
    checked_shape,
    kept_facts,
    storable_text,
)
from miners.headers.source import Source
from schemas.errors import DataError

MAGIC = b"GGUF"
U32, U64 = struct.Struct("<I"), struct.Struct("<Q")
LENGTHS = {1: U32, 2: U64, 3: U64}  # how each version writes lengths and counts
NUMBERS = {
    **{0: ("uint8", "<B"), 1: ("int8", "<b"), 2: ("uint16", "<H"), 3: ("int16", "<h"), 4: ("uint32", "<I")},
    **{5: ("int32", "<i"), 6: ("float32", "<f"), 7: ("bool", "<?"), 10: ("uint64", "<Q"), 11: ("int64", "<q")},
    **{12: ("float64", "<d")},
}
NUMBER_TYPES = {number: (name, struct.Struct(code)) for number, (name, code) in NUMBERS.items()}
STRING, ARRAY = 8, 9
DEEPEST = 4  # arrays in arrays
MOST_PAIRS = 20_000
MOST_ITEMS = 4_000_000  # strings of arrays; the largest vocabularies in use have 260,000 and as many merges
SHOWN_ITEMS = 64  # arrays up to this length are kept as values
LONGEST_ALIGNMENT = 2**20
MORE_THAN_TOKENS = 4  # a vocabulary's tokens are about a quarter of what a tokenizer takes up
FARTHEST_AHEAD = 2**25


def read_gguf(source: Source) -> Header:
    """Read the metadata and the tensor infos of a GGUF file of version 1, 2 or 3.

    Shapes are given as PyTorch and the other formats order them, the fastest dimension last. Elements of quantised
    types are counted, not blocks; a type that is not known is called GGML_ and its number, and has no end.

    Raises DataError for another or a later version, big-endian numbers, and whatever exceeds a limit or the file.
    """
    return _Reading(Cursor(source)).header(source.size)


class _Reading:
    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.items_left = MOST_ITEMS
        self.alignment = 32
        self.length = LENGTHS[_version(cursor)]

    def header(self, file_bytes: int | None) -> Header:
        tensors, pairs = self.count(), self.count()
        check_count(tensors)
        if pairs > MOST_PAIRS:
            raise DataError(f"the file has {pairs} entries of metadata, at most {MOST_PAIRS} are read")
        facts, problems = kept_facts([self.fact() for _ in range(pairs)])
        self.cursor.expected = 0
        infos = [self.info() for _ in range(tensors)]
        start = -(-self.cursor.position // self.alignment) * self.alignment
        found = [_tensor(name, shape, type, start + offset) for name, shape, type, offset in infos]
        check_tensors(found, file_bytes)
        return Header(found, facts, length=self.cursor.position, problems=problems)

    def count(self) -> int:
        value: int = self.cursor.number(self.length)
        return value

    def string(self, most: int, what: str) -> str:
        length = self.count()
        if length > 4 * most:
            raise DataError(f"{what} has {length} bytes, expected at most {most} characters")
        return storable_text(self.cursor.take(length).decode("utf-8", errors="replace"))

    def fact(self) -> Fact:
        key = self.string(LONGEST_NAME, "a key of the metadata")[:LONGEST_NAME]
        kind = self.cursor.number(U32)
        if kind == ARRAY:
            type, value, characters = self.array(1)
        else:
            type, value, characters = self.value(kind)
            if key == "general.alignment" and type == "uint32":
                self.alignment = _alignment(int(value or 0))
        return Fact("metadata", key, type, value, characters)

    def value(self, kind: int) -> tuple[str, str | None, int | None]:
        if kind == STRING:
            length = self.count()
            text = self.cursor.take(min(length, 4 * LONGEST_VALUE)).decode("utf-8", errors="replace")
            self.cursor.skip(length - min(length, 4 * LONGEST_VALUE))
            return "string", storable_text(text[:LONGEST_VALUE]), length
        name, number = _number_type(kind)
        value = str(self.cursor.number(number))
        return name, value, len(value)

    def array(self, depth: int) -> tuple[str, str | None, int | None]:
        """Pass over an array; only a short one of numbers or strings is kept, as JSON."""
        kind, count = self.cursor.number(U32), self.count()
        if kind == ARRAY:
            return self.arrays(count, depth), None, None
        if kind == STRING:
            return f"string[{count}]", *self.strings(count)
        name, number = _number_type(kind)
        if count > SHOWN_ITEMS:
            self.cursor.skip(count * number.size)
            return f"{name}[{count}]", None, None
        return f"{name}[{count}]", *_shown([self.cursor.number(number) for _ in range(count)])

    def arrays(self, count: int, depth: int) -> str:
        if depth == DEEPEST:
            raise DataError(f"the metadata has arrays nested deeper than {DEEPEST}")
        self.spend(count)
        inner = {self.array(depth + 1)[0] for _ in range(count)}
        return f"array[{count}]" if len(inner) != 1 else f"{inner.pop()}[{count}]"

    def strings(self, count: int) -> tuple[str | None, int | None]:
        self.spend(count)
        begin, kept = self.cursor.position, list[str]()
        for place in range(count):
            if place % 1024 == 256:
                self.look_ahead((count - place) * (self.cursor.position - begin) // place)
            length = self.count()
            if count <= SHOWN_ITEMS and length <= LONGEST_VALUE:
                kept.append(self.cursor.take(length).decode("utf-8", errors="replace"))
            else:
                self.cursor.skip(length)
        return _shown(kept) if 0 < count == len(kept) else (None, None)

    def look_ahead(self, left: int) -> None:
        """Let the next piece have the rest of the tokenizer, of which `left` bytes of tokens are to come."""
        self.cursor.expected = min(MORE_THAN_TOKENS * left, FARTHEST_AHEAD)

    def spend(self, items: int) -> None:
        self.items_left -= items
        if self.items_left < 0:
            raise DataError(f"the metadata has arrays of more than {MOST_ITEMS} strings")

    def info(self) -> tuple[str, list[int], int, int]:
        name = self.string(LONGEST_NAME, "a tensor's name")
        dimensions = self.cursor.number(U32)
        if dimensions > 8:
            raise DataError(f"tensor {name[:80]!r} has {dimensions} dimensions, expected at most 8")
        shape = checked_shape(name, [self.count() for _ in range(dimensions)])
        return name, shape[::-1], self.cursor.number(U32), self.cursor.number(U64)


def _version(cursor: Cursor) -> int:
    magic = cursor.take(4)
    if magic != MAGIC:
        old = " (GGML's format before GGUF)" if magic in (b"lmgg", b"fmgg", b"tjgg") else ""
        raise DataError(f"the file begins with {magic!r}{old}, a GGUF file with {MAGIC!r}")
    version: int = cursor.number(U32)
    if not version & 0xFFFF:
        raise DataError("the file is big-endian; only little-endian GGUF is read")
    if version not in LENGTHS:
        raise DataError(f"the file is of GGUF version {version}, expected 1, 2 or 3")
    return version


def _number_type(kind: int) -> tuple[str, struct.Struct]:
    if kind not in NUMBER_TYPES:
        raise DataError(f"the metadata has a value of type {kind}, expected 0 to 12")
    return NUMBER_TYPES[kind]


def _alignment(value: int) -> int:
    if not 0 < value <= LONGEST_ALIGNMENT:
        raise DataError(f"general.alignment is {value}, expected 1 to {LONGEST_ALIGNMENT}")
    return value


def _shown(items: list[Any]) -> tuple[str | None, int | None]:
    text = json.dumps(items, ensure_ascii=False)
    return storable_text(text[:LONGEST_VALUE]), len(text)


def _tensor(name: str, shape: list[int], number: int, begin: int) -> Tensor:
    type = TYPES.get(number, Type(f"GGML_{number}", 1, 0))
    tensor = Tensor(name, type.name, shape, begin)
    if begin > LARGEST or tensor.elements > LARGEST:
        raise DataError(f"tensor {name[:80]!r} lies or ends at a byte that 64 bits cannot count")
    if number not in TYPES:
        return tensor
    row = shape[-1] if shape else 1
    if row % type.elements:
        expected = f"a multiple of the {type.elements} that a block of {type.name} has"
        raise DataError(f"tensor {name[:80]!r} has rows of {row} elements, expected {expected}")
    return tensor._replace(end=begin + tensor.elements // type.elements * type.bytes)
