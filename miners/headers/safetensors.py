"""Header of a safetensors file -> its tensors, without their data (https://huggingface.co/docs/safetensors)."""

import json
from collections import Counter
from typing import Any

from miners.fields import LARGEST
from miners.headers.header import (
    BITS,
    LONGEST_HEADER,
    MOST_TENSORS,
    Header,
    Tensor,
    are_sizes,
    brief,
    check_count,
    check_tensors,
    checked_shape,
    kept_facts,
    text_fact,
)
from miners.headers.source import Source
from miners.pages import storable
from schemas.errors import DataError

LENGTH_BYTES = 8
MOST_MARKS = 16 * MOST_TENSORS  # brackets, commas and colons; a tensor has about 12 of them
DTYPES = frozenset(BITS) - {"U2", "I2", "U4", "I4", "C128"}


def read_safetensors(source: Source) -> Header:
    """Read the header of a safetensors file; one that fits into the first piece takes no second one.

    Raises DataError as `header_length` and `described` do, and for a file that ends inside its header.
    """
    end = LENGTH_BYTES + header_length(source.read(0, LENGTH_BYTES))
    header = source.read(LENGTH_BYTES, end)
    if LENGTH_BYTES + len(header) < end:
        raise DataError(f"the file ends after {LENGTH_BYTES + len(header)} bytes, inside its header of {end}")
    return described(header, source.size)


def header_length(first: bytes) -> int:
    """Give the length in bytes of the header that follows the file's first eight bytes.

    Raises DataError if these cannot be the first bytes of a safetensors file.
    """
    if len(first) < LENGTH_BYTES:
        raise DataError(f"the file has {len(first)} bytes, a safetensors file begins with {LENGTH_BYTES} of length")
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if not 2 <= length <= LONGEST_HEADER:
        raise DataError(
            f"the header claims {length} bytes, expected 2 to {LONGEST_HEADER}: this is no safetensors file"
        )
    return length


def described(header: bytes, file_bytes: int | None = None) -> Header:
    """Give what a header (without its length) describes, the tensors in the order of their data.

    `file_bytes` is the size of the whole file; where it is known, the data must end there.

    Raises:
        DataError: no JSON object, more tensors than are read, a name given twice, an unknown dtype, a shape that is
            none, offsets that do not fit shape and dtype or 64 bits, data that overlaps, leaves a hole or ends
            elsewhere than the file.
    """
    entries = _object(header)
    metadata = entries.pop("__metadata__", None)
    check_count(len(entries))
    start = LENGTH_BYTES + len(header)
    tensors = sorted((_tensor(name, entry, start) for name, entry in entries.items()), key=_place)
    check_tensors(tensors)
    position = start
    for tensor in tensors:
        begin, end = _place(tensor)
        if begin != position:
            what = "overlaps the data before it" if begin < position else "leaves a hole before it"
            raise DataError(f"tensor {tensor.name[:80]!r} begins at byte {begin}, expected {position}: it {what}")
        position = end
    if file_bytes is not None and position != file_bytes:
        raise DataError(f"the file has {file_bytes} bytes, its header describes {position}")
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    facts, problems = kept_facts([text_fact("metadata", k, v) for k, v in pairs if isinstance(v, str)])
    return Header(tensors, facts, length=start, problems=problems)


def _place(tensor: Tensor) -> tuple[int, int]:
    return tensor.begin or 0, tensor.end or 0


def _object(header: bytes) -> dict[str, Any]:
    marks = sum(map(header.count, (b"{", b"[", b",", b":")))
    if marks > MOST_MARKS:
        raise DataError(f"the header has {marks} entries, more than {MOST_TENSORS} tensors need")
    try:
        value = json.loads(storable(header.decode()), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the header is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"the header is {brief(value)!r}, expected a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise DataError(f"the header names {twice[:80]!r} twice")
    return found


def _tensor(name: str, entry: object, start: int) -> Tensor:
    if not isinstance(entry, dict):
        raise DataError(f"tensor {name[:80]!r} is {brief(entry)!r}, expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        expected = f"expected one of {', '.join(sorted(DTYPES))}"
        raise DataError(f"tensor {name[:80]!r} has dtype {brief(dtype)!r}, {expected}")
    shape = checked_shape(name, shape if isinstance(shape, list) else [shape])
    if not are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise DataError(f"tensor {name[:80]!r} has data_offsets {brief(offsets)}, expected [begin, end]")
    tensor = Tensor(name, dtype, shape, start + offsets[0], start + offsets[1])
    size = offsets[1] - offsets[0]
    if start + offsets[1] > LARGEST:
        raise DataError(f"tensor {name[:80]!r} would end at byte {tensor.end}, more than 64 bits can count")
    if tensor.elements * BITS[dtype] != 8 * size:
        raise DataError(f"tensor {name[:80]!r} takes {size} bytes, expected those of {dtype} x {brief(shape)}")
    return tensor
