"""Header of a safetensors file -> its tensors, without their data (https://huggingface.co/docs/safetensors)."""

import json
import math
from typing import Any, NamedTuple, TypeGuard

from miners.pages import storable
from schemas.errors import DataError

LENGTH_BYTES = 8
LONGEST = 100_000_000  # bytes, the limit of the safetensors library
LARGEST = 2**63 - 1
BITS = {
    **dict.fromkeys(["F4"], 4),
    **dict.fromkeys(["F6_E2M3", "F6_E3M2"], 6),
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8),
    **dict.fromkeys(["U16", "I16", "F16", "BF16"], 16),
    **dict.fromkeys(["U32", "I32", "F32"], 32),
    **dict.fromkeys(["U64", "I64", "F64", "C64"], 64),
}


class Tensor(NamedTuple):
    """A tensor of a file; `begin` and `end` are positions of its bytes, counted from the start of the file."""

    name: str
    dtype: str
    shape: list[int]
    begin: int
    end: int

    @property
    def elements(self) -> int:
        """Number of its elements."""
        return math.prod(self.shape)


def header_length(first: bytes) -> int:
    """Give the length in bytes of the header that follows the file's first eight bytes.

    Raises DataError if these cannot be the first bytes of a safetensors file.
    """
    if len(first) < LENGTH_BYTES:
        raise DataError(f"the file has {len(first)} bytes, a safetensors file begins with {LENGTH_BYTES} of length")
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if not 2 <= length <= LONGEST:
        raise DataError(f"the header claims {length} bytes, expected 2 to {LONGEST}: this is no safetensors file")
    return length


def read_header(header: bytes, file_bytes: int | None = None) -> list[Tensor]:
    """Give the tensors that a header (without its length) describes, in the order of their data.

    `file_bytes` is the size of the whole file; where it is known, the data must end there.

    Raises:
        DataError: no JSON object, a name given twice, an unknown dtype, a shape that is none, offsets that do not
            fit shape and dtype or 64 bits, data that overlaps, leaves a hole or ends elsewhere than the file.
    """
    entries = _object(header)
    entries.pop("__metadata__", None)
    start = LENGTH_BYTES + len(header)
    tensors = sorted((_tensor(name, entry, start) for name, entry in entries.items()), key=lambda t: (t.begin, t.end))
    position = start
    for tensor in tensors:
        if tensor.begin != position:
            what = "overlaps the data before it" if tensor.begin < position else "leaves a hole before it"
            raise DataError(f"tensor {tensor.name!r} begins at byte {tensor.begin}, expected {position}: it {what}")
        position = tensor.end
    if file_bytes is not None and position != file_bytes:
        raise DataError(f"the file has {file_bytes} bytes, its header describes {position}")
    return tensors


def _object(header: bytes) -> dict[str, Any]:
    try:
        value = json.loads(storable(header.decode()), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the header is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"the header is {str(value)[:80]!r}, expected a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise DataError(f"the header names {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _tensor(name: str, entry: object, start: int) -> Tensor:
    if not isinstance(entry, dict):
        raise DataError(f"tensor {name!r} is {str(entry)[:80]!r}, expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise DataError(f"tensor {name!r} has dtype {str(dtype)[:80]!r}, expected one of {', '.join(BITS)}")
    if not _are_sizes(shape):
        raise DataError(f"tensor {name!r} has shape {str(shape)[:80]}, expected a list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise DataError(f"tensor {name!r} has data_offsets {str(offsets)[:80]}, expected [begin, end]")
    tensor = Tensor(name, dtype, shape, start + offsets[0], start + offsets[1])
    if tensor.end > LARGEST:
        raise DataError(f"tensor {name!r} would end at byte {tensor.end}, more than 64 bits can count")
    if tensor.elements * BITS[dtype] != 8 * (tensor.end - tensor.begin):
        raise DataError(
            f"tensor {name!r} takes {tensor.end - tensor.begin} bytes, expected those of {dtype} x {str(shape)[:80]}"
        )
    return tensor


def _are_sizes(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= LARGEST for value in values)
