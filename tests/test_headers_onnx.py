from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from miners.headers.onnx import DTYPES, read_onnx
from miners.headers.source import InMemory, Source
from schemas.errors import DataError
from tests.weight_file import ARRAYS, by_name, onnx_model, read


def test_initialisers_inputs_outputs_and_opset_are_those_that_the_library_reads() -> None:
    model = onnx_model({**ARRAYS, "ids": np.arange(5), "scalar": np.array(1.0)})
    model.metadata_props.add(key="author", value="x" * 10_000)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    content = model.SerializeToString()
    header = read("m.onnx", content)
    found = {tensor.name: tensor for tensor in header.tensors}
    stored = {tensor.name: tensor for tensor in onnx.load_from_string(content).graph.initializer}
    assert list(found) == list(stored)
    for name, tensor in stored.items():
        assert found[name].shape == list(tensor.dims)
        assert found[name].dtype == DTYPES[tensor.data_type]
        assert content[found[name].begin : found[name].end] == tensor.raw_data
    assert [fact[:4] for fact in header.facts] == [
        ("metadata", "ir_version", None, str(model.ir_version)),
        ("metadata", "producer_name", None, "tests"),
        ("input", "x", "F32", "batch, 3, ?"),
        ("output", "y", "I64", ""),
        ("opset", "ai.onnx", None, "17"),
        ("opset", "com.microsoft", None, "1"),
        ("metadata", "author", None, "x" * 4096),
    ]
    assert header.facts[-1].characters == 10_000


def test_every_type_of_the_library_has_a_name() -> None:
    assert set(DTYPES) == {number for name, number in TensorProto.DataType.items() if name != "UNDEFINED"}


@pytest.mark.parametrize("kind", sorted(set(DTYPES) - {TensorProto.STRING}))
def test_data_of_every_type_lie_where_the_header_says(kind: int) -> None:
    array = np.zeros((3, 4), helper.tensor_dtype_to_np_dtype(kind))
    content = onnx_model({"w": array}).SerializeToString()
    tensor = by_name("m.onnx", content)["w"]
    assert (tensor.dtype, tensor.shape) == (DTYPES[kind], [3, 4])
    raw = onnx.load_from_string(content).graph.initializer[0].raw_data
    assert tensor.bytes == len(raw)


def test_numbers_that_are_no_raw_data_and_texts_are_read() -> None:
    model = onnx_model({})
    model.graph.initializer.append(helper.make_tensor("floats", TensorProto.FLOAT, [2], [1.0, 2.0]))
    model.graph.initializer.append(helper.make_tensor("longs", TensorProto.INT64, [3], [1, -2, 3]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(["a", "b"], object), "texts"))
    found = by_name("m.onnx", model.SerializeToString())
    assert [(t.name, t.dtype, t.shape, t.begin) for t in found.values()] == [
        ("floats", "F32", [2], None),
        ("longs", "I64", [3], None),
        ("texts", "STRING", [2], None),
    ]


def test_a_sparse_initialiser_has_the_shape_that_it_stands_for() -> None:
    model = onnx_model({})
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [2], [1.0, 2.0])
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, helper.make_tensor("", TensorProto.INT64, [2], [0, 5]), [4, 3])
    )
    assert by_name("m.onnx", model.SerializeToString())["sparse"][1:3] == ("F32", [4, 3])


def test_external_data_are_named_and_not_looked_for(tmp_path: Path) -> None:
    model = onnx_model({"w": np.zeros((100, 100), np.float32)})
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    header = read("m.onnx", (tmp_path / "m.onnx").read_bytes())
    assert header.tensors[0][:4] == ("w", "F32", [100, 100], None)
    assert header.tensors[0].bytes == 40_000
    assert [(fact.kind, fact.value) for fact in header.facts if fact.kind == "external"] == [("external", "m.data")]


class Counting(InMemory):
    fetches, fetched = 0, 0

    def fetch(self, begin: int, end: int) -> bytes:
        self.fetches += 1
        self.fetched += end - begin
        return super().fetch(begin, end)


def test_large_weights_are_passed_over_and_small_files_read_at_once() -> None:
    arrays = {f"layer.{place}": np.zeros((512, 1024), np.float32) for place in range(10)}
    content = Counting(onnx_model(arrays).SerializeToString())
    assert len(read_onnx(Source(content)).tensors) == 10
    assert content.fetches <= 11
    assert content.fetched < 2**20
    small = Counting(
        onnx_model({f"l.{place}": np.zeros(50_000, np.float32) for place in range(10)}).SerializeToString()
    )
    assert len(read_onnx(Source(small)).tensors) == 10
    assert small.fetches == 2


def test_many_small_weights_take_pieces_that_grow() -> None:
    arrays = {f"layer.{place}": np.zeros((64, 64), np.float32) for place in range(2000)}
    content = Counting(onnx_model(arrays).SerializeToString())
    assert len(read_onnx(Source(content)).tensors) == 2000
    assert content.fetches < 20


def test_pieces_are_short_again_where_large_weights_begin() -> None:
    model = onnx_model({f"layer.{place}": np.zeros((512, 1024), np.float32) for place in range(40)})
    model.graph.node.extend(helper.make_node("Add", ["x" * 200, "y"], ["z"]) for _ in range(20_000))
    content = Counting(model.SerializeToString())
    assert len(read_onnx(Source(content)).tensors) == 40
    assert content.fetches < 60
    assert content.fetched < 16 * 2**20


def test_more_pieces_than_a_header_may_take_are_refused() -> None:
    arrays = {f"layer.{place}": np.zeros(40_000, np.float32) for place in range(100)}
    with pytest.raises(DataError, match="more than 20 pieces"):
        read_onnx(Source(InMemory(onnx_model(arrays).SerializeToString()), most_pieces=20))


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 0x80 else bytes([low | 0x80]) + varint(value >> 7)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(content: bytes) -> bytes:
    return field(7, field(5, content))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no graph"),
        (b"\x80\x02}", "no graph"),
        (b"\x03\x00", "begin no field"),
        (varint(7 << 3 | 2) + varint(2**62), "ends inside its header"),
        (b"\xff" * 11, "longer than 10 bytes"),
        (field(7, varint(5 << 3 | 2) + varint(100)), "reaches beyond its message"),
        (field(7, varint(5 << 3) + b"\1"), "is a number, expected bytes"),
        (tensor(field(1, varint(2**64 - 1))), "expected a list of sizes"),
        (tensor(field(1, b"\1" * 100)), "a list of numbers has more than 64"),
        (tensor((varint(1 << 3) + b"\1") * 100), "expected a list of sizes"),
        (tensor(field(8, b"n" * 5000)), "has 5000 bytes"),
        (tensor(b"\x08\x02\x10\x01" + field(9, b"abc")), "takes 3 bytes, expected 8 of F32"),
        (field(7, field(5, field(8, b"w")) * 2), "names 'w' twice"),
        (field(7, field(11, b"") * 10_001), "more than 10000 inputs"),
    ],
)
def test_a_graph_that_cannot_be_right_is_refused_with_the_reason(content: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read("m.onnx", content)


def test_a_tensor_that_is_no_model_is_refused() -> None:
    with pytest.raises(DataError):
        read("m.onnx", numpy_helper.from_array(ARRAYS["layer.weight"]).SerializeToString())
