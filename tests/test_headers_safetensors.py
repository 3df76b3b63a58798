import json
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from miners.headers.header import LONGEST_HEADER as LONGEST
from miners.headers.header import MOST_TENSORS
from miners.headers.safetensors import described, header_length, read_safetensors
from miners.headers.source import InMemory, Source, on_disk
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
    header = read_safetensors(Source(InMemory(file)))
    found = {tensor.name: tensor for tensor in header.tensors}
    assert header.length == 8 + header_length(file)
    assert [(fact.kind, fact.key, fact.value) for fact in header.facts] == [("metadata", "format", "np")]
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
        described(text)


def test_values_nested_to_any_depth_are_refused() -> None:
    for depth in range(1, 1200):
        for text in ('{"a": %s}', '{"a": {"dtype": %s}}', '{"a": {"dtype": "F32", "shape": %s}}'):
            with pytest.raises(DataError):
                described((text % ("[" * depth + "]" * depth)).encode())


def test_data_must_end_where_the_file_ends() -> None:
    text = header({"a": entry("F32", [1], 0, 4)})
    assert len(described(text, 8 + len(text) + 4).tensors) == 1
    with pytest.raises(DataError, match="its header describes"):
        described(text, 8 + len(text) + 3)


def test_small_floats_take_parts_of_bytes() -> None:
    found = described(header({"a": entry("F4", [3, 2], 0, 3), "b": entry("F6_E2M3", [4], 3, 6)})).tensors
    assert [tensor.elements for tensor in found] == [6, 4]


def test_names_that_no_database_takes_are_mended() -> None:
    [tensor] = described(b'{"a\\ud800b\\u0000": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]}}').tensors
    assert tensor.name == "a\ufffdb\ufffd"


def test_a_file_that_ends_inside_its_header_is_refused() -> None:
    with pytest.raises(DataError, match="inside its header of 108"):
        read_safetensors(Source(InMemory(struct.pack("<Q", 100) + b"{}")))


def test_fifty_megabytes_of_metadata_are_read_and_cut() -> None:
    text = header({"__metadata__": {"notes": "x" * 50_000_000}, "a": entry("F32", [1], 0, 4)})
    file = struct.pack("<Q", len(text)) + text + bytes(4)
    found = read_safetensors(Source(InMemory(file)))
    assert [tensor.name for tensor in found.tensors] == ["a"]
    assert [(fact.key, len(fact.value or ""), fact.characters) for fact in found.facts] == [("notes", 4096, 50_000_000)]


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"[]," * 16_000_000 + b"[]]",
        b"{" + b'"":0,' * 10_000_000 + b'"":0}',
        header({f"layers.{n:09d}.weight": entry("F32", [1], 4 * n, 4 * n + 4) for n in range(MOST_TENSORS + 1)}),
    ],
    ids=["lists", "keys", "tensors"],
)
def test_a_header_with_too_much_in_it_is_refused_in_bounded_time_and_memory(text: bytes) -> None:
    file = struct.pack("<Q", len(text)) + text
    begun = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="100000"):
            read_safetensors(Source(InMemory(file)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(file) + 2**28
    assert time.monotonic() - begun < 30


@pytest.mark.data
def test_real_files_are_read_as_the_library_reads_them(data_folder: Path) -> None:
    files = sorted((data_folder / "weights").rglob("*.safetensors"))
    assert len(files) > 50
    for file in files:
        found = {tensor.name: tensor for tensor in read_safetensors(on_disk(file, file.stat().st_size)).tensors}
        with safe_open(file, "np") as opened:
            assert found.keys() == set(opened.keys())
            for name, tensor in found.items():
                stored = opened.get_slice(name)
                assert (tensor.shape, tensor.dtype) == (stored.get_shape(), stored.get_dtype())
