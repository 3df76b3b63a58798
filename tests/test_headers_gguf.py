import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from miners.headers.ggml import TYPES
from miners.headers.gguf import read_gguf
from miners.headers.source import InMemory, Source
from schemas.errors import DataError
from tests.weight_file import gguf_file, read


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def file(*pairs: bytes, tensors: bytes = b"", count: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, count, len(pairs)) + b"".join(pairs) + tensors


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def info(name: bytes, shape: list[int], kind: int, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def test_tensors_are_those_that_the_library_reads(tmp_path: Path) -> None:
    def write(writer: Any) -> None:
        writer.add_tensor("plain", np.zeros((2, 3, 4), np.float32))
        for kind, (elements, size) in gguf.GGML_QUANT_SIZES.items():
            raw = np.zeros((2, 3 * size), np.uint8)
            writer.add_tensor(f"of {kind.name} {elements}", raw, raw_dtype=kind)

    place = tmp_path / "all.gguf"
    found = {tensor.name: tensor for tensor in read("all.gguf", gguf_file(place, write)).tensors}
    stored = gguf.GGUFReader(place).tensors
    assert len(found) == len(stored) == 1 + len(gguf.GGML_QUANT_SIZES)
    for tensor in stored:
        mine = found[tensor.name]
        assert mine.shape == list(reversed(tensor.shape.tolist()))
        assert (mine.dtype, mine.elements) == (tensor.tensor_type.name, tensor.n_elements)
        assert (mine.begin, mine.bytes) == (tensor.data_offset, tensor.n_bytes)


def test_the_types_are_those_of_the_library() -> None:
    for kind, sizes in gguf.GGML_QUANT_SIZES.items():
        assert TYPES[int(kind)] == (kind.name, *sizes)


def test_metadata_are_kept_short_and_long_lists_are_passed_over(tmp_path: Path) -> None:
    def write(writer: Any) -> None:
        writer.add_uint32("count", 7)
        writer.add_float32("rate", 0.5)
        writer.add_bool("flag", True)
        writer.add_string("text", "h\u00e9llo")
        writer.add_string("template", "x" * 10_000)
        writer.add_array("few", [1, 2, 3])
        writer.add_array("names", ["a", "b"])
        writer.add_array("tokens", [f"token {place}" for place in range(50_000)])
        writer.add_array("scores", [0.5] * 50_000)
        writer.add_tensor("w", np.zeros(3, np.float32))

    header = read("m.gguf", gguf_file(tmp_path / "m.gguf", write))
    facts = {fact.key: fact[2:] for fact in header.facts}
    assert facts == {
        "general.architecture": ("string", "llama", 5),
        "count": ("uint32", "7", 1),
        "rate": ("float32", "0.5", 3),
        "flag": ("bool", "True", 4),
        "text": ("string", "h\u00e9llo", 6),
        "template": ("string", "x" * 4096, 10_000),
        "few": ("int32[3]", "[1, 2, 3]", 9),
        "names": ("string[2]", '["a", "b"]', 10),
        "tokens": ("string[50000]", None, None),
        "scores": ("float32[50000]", None, None),
    }
    assert [tensor.name for tensor in header.tensors] == ["w"]


def test_alignment_moves_the_data(tmp_path: Path) -> None:
    def write(writer: Any) -> None:
        writer.add_custom_alignment(4096)
        writer.add_tensor("w", np.zeros(3, np.float32))
        writer.add_tensor("v", np.zeros(3, np.float32))

    header = read("m.gguf", gguf_file(tmp_path / "m.gguf", write))
    assert [(tensor.begin, tensor.end) for tensor in header.tensors] == [(4096, 4108), (8192, 8204)]


@pytest.mark.parametrize("version", [1, 2])
def test_older_versions_are_read(version: int) -> None:
    if version == 2:
        content = file(pair(b"a", 4, b"\1\0\0\0"), tensors=info(b"w", [4, 2], 1), count=1, version=2)
    else:  # lengths and counts of 32 bits; the sizes of tensors, too
        key = struct.pack("<I", 1) + b"a" + struct.pack("<II", 4, 1)
        tensor = struct.pack("<I", 1) + b"w" + struct.pack("<IIIIQ", 2, 4, 2, 1, 0)
        content = b"GGUF" + struct.pack("<III", 1, 1, 1) + key + tensor
    header = read("m.gguf", content + bytes(64))
    assert [tensor[:3] for tensor in header.tensors] == [("w", "F16", [2, 4])]
    assert [(fact.key, fact.value) for fact in header.facts] == [("a", "1")]


def test_a_type_that_is_not_known_keeps_its_elements() -> None:
    content = file(tensors=info(b"w", [32, 2], 999), count=1) + bytes(64)
    [tensor] = read("m.gguf", content).tensors
    assert (tensor.dtype, tensor.elements, tensor.end, tensor.bytes) == ("GGML_999", 64, None, None)


NESTED = struct.pack("<IQ", 9, 1) * 5 + struct.pack("<IQ", 0, 0)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "ends inside its header"),
        (b"lmgg" + bytes(20), "GGML's format before GGUF"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (file(version=4), "version 4"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "has 9223372036854775808 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), "1099511627776 entries"),
        (file(struct.pack("<Q", 2**60)), "a key of the metadata has"),
        (file(pair(b"a", 8, struct.pack("<Q", 2**62))), "goes on to byte 16429"),
        (file(pair(b"a", 13, b"")), "of type 13"),
        (file(pair(b"a", 9, struct.pack("<IQ", 4, 2**62))), "the file ends"),
        (file(pair(b"a", 9, struct.pack("<IQ", 8, 2**50))), "more than 4000000 strings"),
        (file(pair(b"a", 9, NESTED)), "nested deeper than 4"),
        (file(pair(b"general.alignment", 4, bytes(4))), "general.alignment is 0"),
        (file(tensors=info(b"w", [1] * 9, 0), count=1), "9 dimensions"),
        (file(tensors=info(b"w", [2**63], 0), count=1), "expected a list of sizes"),
        (file(tensors=info(b"w", [2**40, 2**40], 0), count=1), "64 bits cannot count"),
        (file(tensors=info(b"w", [33], 2), count=1), "rows of 33 elements"),
        (file(tensors=info(b"w", [4], 0), count=1), "would end at byte"),
        (file(tensors=info(b"w", [4], 0, 2**63), count=1), "64 bits cannot count"),
        (file(tensors=info(b"w", [0], 0) * 2, count=2) + bytes(99), "names 'w' twice"),
        (file(tensors=info(b"w" * 1001, [0], 0), count=1) + bytes(99), "has 1001 characters"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused_with_the_reason(content: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read("m.gguf", content)


class Counting(InMemory):
    fetches = 0

    def fetch(self, begin: int, end: int) -> bytes:
        self.fetches += 1
        return super().fetch(begin, end)


def test_a_large_vocabulary_takes_three_pieces(tmp_path: Path) -> None:
    def write(writer: Any) -> None:
        tokens = [f"tok{place}" for place in range(128_000)]
        writer.add_array("tokenizer.ggml.tokens", tokens)
        writer.add_array("tokenizer.ggml.token_type", [1] * 128_000)
        writer.add_array("tokenizer.ggml.merges", [f"{token[:4]} {token[4:]}" for token in tokens] * 2)
        for place in range(300):
            writer.add_tensor(f"blk.{place}.weight", np.zeros((64, 1024), np.float32))

    content = Counting(gguf_file(tmp_path / "m.gguf", write))
    header = read_gguf(Source(content))
    assert len(header.tensors) == 300
    assert header.length
    assert header.length > 5_000_000
    assert content.fetches <= 3
