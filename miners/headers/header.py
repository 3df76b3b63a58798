"""What a header says, whatever the format: tensors, facts about the file, and the limits that hold for all."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeGuard

from miners.fields import LARGEST
from schemas.errors import DataError

LONGEST_HEADER = 100_000_000  # bytes, the limit of the safetensors library
MOST_TENSORS = 100_000  # of one file; the largest shards in use have a few thousand
MOST_DIMENSIONS = 64  # numpy's limit; torch's and ggml's are lower
LONGEST_NAME = 1000  # characters
MOST_FACTS = 1000  # of one file
LONGEST_VALUE = 4096  # characters of a fact's value that are kept
BITS = {  # of an element, by dtype
    **dict.fromkeys(["U2", "I2"], 2),
    **dict.fromkeys(["F4", "U4", "I4"], 4),
    **dict.fromkeys(["F6_E2M3", "F6_E3M2"], 6),
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8),
    **dict.fromkeys(["U16", "I16", "F16", "BF16"], 16),
    **dict.fromkeys(["U32", "I32", "F32"], 32),
    **dict.fromkeys(["U64", "I64", "F64", "C64"], 64),
    "C128": 128,
}


class Tensor(NamedTuple):
    """A tensor of a file; `begin` and `end` are positions of its bytes in the file, None where the header names none.

    `dtype` is what safetensors calls the type, and for other types what their own format does: Q4_K, C128, STRING.
    """

    name: str
    dtype: str
    shape: list[int]
    begin: int | None = None
    end: int | None = None

    @property
    def elements(self) -> int:
        """Number of its elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int | None:
        """Bytes that it takes up; None where neither the header nor the dtype tells."""
        if self.begin is not None and self.end is not None:
            return self.end - self.begin
        return (self.elements * BITS[self.dtype] + 7) // 8 if self.dtype in BITS else None


class Fact(NamedTuple):
    """Something else that a header says; `value` is cut to LONGEST_VALUE of its `characters`, None where not kept.

    `kind` is metadata, input, output, opset or external; `type` is the value's in its own format, e.g. string[32000].
    """

    kind: str
    key: str
    type: str | None
    value: str | None
    characters: int | None


class Header(NamedTuple):
    """A file's tensors and facts. `tied` names tensors that are others of the file under a second name.

    `length` is the number of bytes at the file's start that the header takes up, None where it lies elsewhere.
    `problems` says what was left out.
    """

    tensors: list[Tensor]
    facts: Sequence[Fact] = ()
    tied: frozenset[str] = frozenset()
    length: int | None = None
    problems: Sequence[str] = ()


def text_fact(kind: str, key: str, value: str, type: str | None = None) -> Fact:
    """Make a fact of a text, cut to what is kept."""
    return Fact(kind, storable_text(key)[:LONGEST_NAME], type, storable_text(value[:LONGEST_VALUE]), len(value))


def storable_text(text: str) -> str:
    """A text that every database takes: NULs and lone surrogates become U+FFFD."""
    text = text.replace("\0", "\ufffd")
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def kept_facts(facts: Sequence[Fact]) -> tuple[Sequence[Fact], list[str]]:
    """Give the facts that are kept, and the problem that there were more."""
    if len(facts) <= MOST_FACTS:
        return facts, []
    return facts[:MOST_FACTS], [f"{len(facts)} entries of metadata, of which the first {MOST_FACTS} were kept"]


def check_count(count: int) -> None:
    """Raise DataError if a file has more tensors than are read."""
    if count > MOST_TENSORS:
        raise DataError(f"the file has {count} tensors or more, at most {MOST_TENSORS} are read")


def check_tensors(tensors: Sequence[Tensor], file_bytes: int | None = None) -> None:
    """Raise DataError for too many tensors, a name that is too long or stands twice, or data beyond the file's end."""
    check_count(len(tensors))
    names: set[str] = set()
    for tensor in tensors:
        if len(tensor.name) > LONGEST_NAME:
            raise DataError(f"a tensor's name has {len(tensor.name)} characters, expected at most {LONGEST_NAME}")
        if tensor.name in names:
            raise DataError(f"the header names {tensor.name[:80]!r} twice")
        if tensor.end is not None and tensor.end > (LARGEST if file_bytes is None else file_bytes):
            has = "more than 64 bits can count" if file_bytes is None else f"the file has {file_bytes} bytes"
            raise DataError(f"tensor {tensor.name[:80]!r} would end at byte {tensor.end}, {has}")
        names.add(tensor.name)


def brief(value: object) -> str:
    """What stands in place of something else, for a message.

    >>> brief([1] * 1000)
    '[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,'
    """
    try:
        return str(value)[:60]
    except RecursionError:
        return "something nested deeply"


def are_sizes(values: object) -> TypeGuard[list[int]]:
    """Whether these are whole numbers from 0 to 2^63 - 1, in a list."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= LARGEST for value in values)


def checked_shape(name: str, sizes: Iterable[object]) -> list[int]:
    """A shape as a list of sizes; DataError for what is none."""
    shape = list(sizes)
    if not are_sizes(shape) or len(shape) > MOST_DIMENSIONS:
        raise DataError(f"tensor {name[:80]!r} has shape {brief(shape[:9])}, expected a list of sizes")
    return shape
