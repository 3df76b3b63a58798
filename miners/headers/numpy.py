"""Headers of NumPy's .npy and .npz files -> arrays (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).

numpy's own reader evaluates the header as a Python literal. Here it is matched with a pattern, and arrays of objects,
which are pickles, are refused.
"""

import re
import struct
from zipfile import ZipFile, ZipInfo

from miners.fields import LARGEST
from miners.headers import archive
from miners.headers.header import Header, Tensor, check_count, check_tensors, checked_shape, storable_text
from miners.headers.source import Source
from schemas.errors import DataError

MAGIC = b"\x93NUMPY"
LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I"), 3: struct.Struct("<I")}
LONGEST = 10_000  # bytes of a header, as numpy has it
FIRST_BYTES = len(MAGIC) + 2 + 4 + LONGEST
HEADER = re.compile(
    r"\s*\{\s*'descr':\s*(?P<descr>'[^'\\]{1,40}'|\[.*\]),\s*'fortran_order':\s*(?:True|False),"
    r"\s*'shape':\s*\((?P<shape>[\d,\sL]*)\),?\s*\}\s*",
    re.ASCII | re.DOTALL,
)
NUMBER = re.compile(r"'[<>|=]?([biufcSUVmM])(\d{1,9})(?:\[\w+\])?'", re.ASCII)
DTYPES = {
    **{"b1": "BOOL", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64"},
    **{"u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64"},
    **{"f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64", "c16": "C128", "m8": "TIMEDELTA", "M8": "DATETIME"},
}
DATA = re.compile(
    r"(?:(?:x|y|data|images?|labels?|targets?|inputs?|features?|samples?)(?:_?(?:train|test|val|valid|validation))?"
    r"|(?:train|test|val|valid|validation)(?:_?(?:x|y|data|images?|labels?|targets?|inputs?|features?))?)",
    re.IGNORECASE,
)
TEXTS = {"S": 1, "U": 4}  # bytes of a character


def read_npy(source: Source) -> Header:
    """Read the header of a .npy file; the array is called after nothing, and its name is empty.

    Raises DataError for what is no such file, for arrays of objects or records, and for a file that ends too early.
    """
    tensor, start = array("", source.read(0, FIRST_BYTES))
    check_tensors([tensor], source.size)
    return Header([tensor], length=start)


def read_npz(source: Source) -> Header:
    """Read the headers of the arrays in a .npz file; where in the file an array lies is not said.

    Raises DataError as `read_npy`, and for archives that cannot be read.
    """
    with archive.archive(source) as opened:
        members = [member for member in opened.infolist() if member.filename.endswith(".npy")]
        check_count(len(members))
        if not members:
            raise DataError("the zip archive has no .npy in it: this is no .npz file")
        tensors = [_member(source, opened, member) for member in members]
    check_tensors(tensors)
    return Header(tensors)


def is_data(header: Header) -> bool:
    """Whether named arrays are a data set's, by their names (x_train, labels, ...), and no weights.

    >>> is_data(Header([Tensor("x_train", "U8", [60000, 28, 28]), Tensor("y_train", "U8", [60000])]))
    True
    """
    return bool(header.tensors) and all(DATA.fullmatch(tensor.name) for tensor in header.tensors)


def _member(source: Source, opened: ZipFile, member: ZipInfo) -> Tensor:
    name = storable_text(member.filename.removesuffix(".npy"))
    tensor, _ = array(name, archive.content(source, opened, member, FIRST_BYTES, FIRST_BYTES))
    if tensor.end != member.file_size:
        raise DataError(f"array {name[:80]!r} has {member.file_size} bytes, its header describes {tensor.end}")
    return tensor._replace(begin=None, end=None)


def array(name: str, first: bytes) -> tuple[Tensor, int]:
    """Give the array that the first bytes of a .npy file describe, and where its data begin.

    Raises DataError as `read_npy`.
    """
    text, start = _text(first)
    match = HEADER.fullmatch(text)
    if match is None:
        raise DataError(f"the header is {text.strip()[:80]!r}, expected descr, fortran_order and shape")
    number = NUMBER.fullmatch(match["descr"])
    if number is None:
        what = "objects, which are pickled" if "O" in match["descr"] else f"records or of {match['descr'][:80]}"
        raise DataError(f"the array is one of {what}; only numbers and texts are read")
    sizes = [size.strip().rstrip("L") for size in match["shape"].split(",")]
    shape = checked_shape(name, [int(size) if size.isdecimal() and len(size) < 20 else -1 for size in sizes if size])
    kind, width = number[1], int(number[2])
    dtype = "STRING" if kind in TEXTS else DTYPES.get(f"{kind}{width}", f"NUMPY_{kind}{width}")
    tensor = Tensor(name, dtype, shape, start)
    end = start + tensor.elements * width * TEXTS.get(kind, 1)
    if end > LARGEST:
        raise DataError(f"array {name[:80]!r} would end at byte {end}, more than 64 bits can count")
    return tensor._replace(end=end), start


def _text(first: bytes) -> tuple[str, int]:
    if not first.startswith(MAGIC) or len(first) < len(MAGIC) + 4:
        raise DataError(f"the file begins with {first[:6]!r}, a .npy file with {MAGIC!r}")
    number = LENGTHS.get(first[6])
    if number is None or len(first) < 8 + number.size:
        raise DataError(f"the file is of .npy version {first[6]}, expected 1, 2 or 3")
    length = number.unpack_from(first, 8)[0]
    start = 8 + number.size + length
    if length > LONGEST or len(first) < start:
        raise DataError(f"the header has {length} bytes, expected at most {LONGEST} and no more than the file has")
    return first[8 + number.size : start].decode("utf-8", errors="replace"), start
