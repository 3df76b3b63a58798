import json
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from miners.headers import LONGEST, header_length, read_header
from schemas.errors import DataError


def header(entries: object) -> bytes:
    return json.dumps(entries).encode()


def entry(dtype: str, shape: list[Any], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_every_tensor_of_a_real_file_is_found_where_its_bytes_lie() -> None:
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "weight": np.arange(12, dtype=np.float32).reshape(3, 4),
        "bias": np.arange(4, dtype=np.float16),
        "steps": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 5), dtype=np.float32),
    }
    file = save(tensors, metadata={"format": "np"})
    length = header_length(file)
    found = {tensor.name: tensor for tensor in read_header(file[8 : 8 + length], len(file))}
    assert set(found) == set(tensors)
    for name, array in tensors.items():
        tensor = found[name]
        assert tuple(tensor.shape) == array.shape
        assert file[tensor.begin : tensor.end] == array.tobytes()
    assert found["bias"].dtype == "F16"
    assert sum(tensor.elements for tensor in found.values()) == 12 + 4 + 1 + 0


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        (b"", "has 0 bytes"),
        (b"\x10\0\0", "has 3 bytes"),
        (struct.pack("<Q", 1), "claims 1 bytes"),
        (struct.pack("<Q", LONGEST + 1), "claims 100000001 bytes"),
        (b"\xff" * 8, "no safetensors file"),
    ],
)
def test_a_length_that_cannot_be_is_refused(first: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        header_length(first)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"{", "not JSON"),
        (b"\xff\xff", "not JSON"),
        (b"[]", "expected a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": {}, "a": {}}', "names 'a' twice"),
        (header({"a": 1}), "expected dtype, shape and data_offsets"),
        (header({"a": entry("F33", [1], 0, 4)}), "has dtype 'F33'"),
        (header({"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}), "has dtype"),
        (header({"a": entry("F32", [-1], 0, 4)}), "expected a list of sizes"),
        (header({"a": entry("F32", [True], 0, 4)}), "expected a list of sizes"),
        (header({"a": entry("F32", [1.0], 0, 4)}), "expected a list of sizes"),
        (header({"a": entry("F32", [2**64], 0, 4)}), "expected a list of sizes"),
        (header({"a": entry("F32", [1], 4, 0)}), "expected \\[begin, end\\]"),
        (header({"a": entry("F32", [1], 0, 8)}), "takes 8 bytes"),
        (header({"a": entry("F32", [2**62, 2**62], 0, 4)}), "takes 4 bytes"),
        (header({"a": entry("F4", [2, 2**63 - 1], 0, 2**63 - 1)}), "more than 64 bits can count"),
        (header({"a": entry("F32", [1], 4, 8)}), "leaves a hole"),
        (header({"a": entry("F32", [2], 0, 8), "b": entry("F32", [1], 4, 8)}), "overlaps"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused_with_the_reason(text: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_header(text)


def test_data_must_end_where_the_file_ends() -> None:
    text = header({"a": entry("F32", [1], 0, 4)})
    assert len(read_header(text, 8 + len(text) + 4)) == 1
    with pytest.raises(DataError, match="its header describes"):
        read_header(text, 8 + len(text) + 3)


def test_small_floats_take_parts_of_bytes() -> None:
    found = read_header(header({"a": entry("F4", [3, 2], 0, 3), "b": entry("F6_E2M3", [4], 3, 6)}))
    assert [tensor.elements for tensor in found] == [6, 4]


def test_names_that_no_database_takes_are_mended() -> None:
    [tensor] = read_header(b'{"a\\ud800b\\u0000": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]}}')
    assert tensor.name == "a\ufffdb\ufffd"


@given(st.binary(max_size=200))
def test_any_bytes_give_tensors_or_a_reason(text: bytes) -> None:
    readers: list[Callable[[bytes], object]] = [header_length, read_header]
    for read in readers:
        with suppress(DataError):
            read(text)
