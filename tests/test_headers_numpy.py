import struct
from typing import Any

import numpy as np
import pytest

from schemas.errors import DataError
from tests.weight_file import Array, by_name, numpy_file, read

TYPES = ["?", "i1", "<i2", ">i4", "i8", "u1", "u2", "u4", "u8", "f2", "<f4", ">f8", "c8", "c16"]
NAMES = ["BOOL", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "F16", "F32", "F64", "C64", "C128"]


@pytest.mark.parametrize(("kind", "name"), list(zip(TYPES, NAMES, strict=True)))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_an_array_of_each_type_lies_where_its_header_says(kind: str, name: str, shape: tuple[int, ...]) -> None:
    array = np.ones(shape, kind)
    content = numpy_file(np.save, array)
    header = read("a.npy", content)
    [tensor] = header.tensors
    assert (tensor.dtype, tuple(tensor.shape)) == (name, shape)
    assert content[tensor.begin : tensor.end] == array.tobytes()
    assert header.length == tensor.begin


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_is_read(version: tuple[int, int]) -> None:
    def save(stream: Any, array: np.ndarray[Any, Any]) -> None:
        np.lib.format.write_array(stream, array, version)

    assert read("a.npy", numpy_file(save, np.zeros((2, 3)))).tensors[0].shape == [2, 3]


def test_texts_and_times_are_read() -> None:
    content = numpy_file(np.savez, text=np.array(["ab", "c"]), raw=np.array([b"abc"]), time=np.array(["2020"], "M8[D]"))
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in by_name("a.npz", content).items()}
    assert found == {"text": ("STRING", [2]), "raw": ("STRING", [1]), "time": ("DATETIME", [1])}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_are_read_as_numpy_reads_them(save: Any) -> None:
    arrays: dict[str, Array] = {
        "a/b.c": np.zeros((3, 4), np.float32),
        "arr": np.ones(1000, np.int8),
        "empty": np.zeros((0, 2)),
    }
    found = by_name("a.npz", numpy_file(save, **arrays))
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        name: array.shape for name, array in arrays.items()
    }
    assert sum(tensor.bytes or 0 for tensor in found.values()) == sum(array.nbytes for array in arrays.values())


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + data


def described(descr: str = "'<f4'", shape: str = "(1,)", rest: str = "") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {rest}}}"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file begins with b''"),
        (b"\x93NUMPY\7\0\0\0", "version 7"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff", "header has 4294967295 bytes"),
        (npy(described())[:-5], "no more than the file has"),
        (npy("__import__('os')"), "expected descr"),
        (npy(described(rest="'x': 1")), "expected descr"),
        (npy(described("'|O'")), "objects, which are pickled"),
        (npy(described("[('a', '<f4'), ('b', '<i4')]")), "records"),
        (npy(described("[('a', '|O')]")), "objects, which are pickled"),
        (npy(described(shape="(-1,)")), "expected descr"),
        (npy(described(shape="(99999999999999999999,)")), "expected a list of sizes"),
        (npy(described(shape="(9223372036854775807, 9223372036854775807)")), "64 bits can count"),
        (npy(described(), b"abc"), "would end at byte"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused_with_the_reason(content: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read("a.npy", content)


def test_an_archive_without_arrays_or_with_objects_is_refused() -> None:
    with pytest.raises(DataError, match="objects, which are pickled"):
        read("a.npz", numpy_file(np.savez, a=np.array([{}], dtype=object)))
    with pytest.raises(DataError, match="no zip archive"):
        read("a.npz", numpy_file(np.save, np.zeros(3)))
