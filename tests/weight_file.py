"""Weight files as the formats' own libraries write them, for tests of what reads their headers."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
import safetensors.numpy
import torch
from onnx import TensorProto, helper, numpy_helper

from miners.headers.header import Header, Tensor
from miners.headers.reading import read_header
from miners.headers.source import InMemory, Source

Array = np.ndarray[Any, Any]
ARRAYS: dict[str, Array] = {"layer.weight": np.zeros((3, 4), np.float32), "layer.bias": np.zeros(3, np.float16)}


def torch_file(value: object, **options: Any) -> bytes:
    """What torch.save writes."""
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def gguf_file(place: Path, write: Callable[[Any], object]) -> bytes:
    """What gguf's writer makes of the metadata and tensors that `write` gives it."""
    writer = gguf.GGUFWriter(str(place), "llama")
    write(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return place.read_bytes()


def onnx_model(arrays: dict[str, Array]) -> onnx.ModelProto:
    """A graph with an input, an output and initialisers."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, None])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, producer_name="tests", opset_imports=[helper.make_opsetid("", 17)])


def numpy_file(save: Callable[..., object], *arrays: Array, **named: Array) -> bytes:
    """What one of numpy's savers writes."""
    stream = io.BytesIO()
    save(stream, *arrays, **named)
    return stream.getvalue()


def one_of_each(folder: Path) -> dict[str, bytes]:
    """A small sound file in each format, by a name that tells it."""

    def tensors(writer: Any) -> None:
        writer.add_array("tokens", ["a", "b"])
        writer.add_array("scores", [1.5, 2.5])
        for name, array in ARRAYS.items():
            writer.add_tensor(name, array)

    state = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    return {
        "model.safetensors": safetensors.numpy.save(ARRAYS, {"format": "np"}),
        "model.gguf": gguf_file(folder / "small.gguf", tensors),
        "model.onnx": onnx_model(ARRAYS).SerializeToString(),
        "model.pt": torch_file({"state_dict": state, "epoch": 3}),
        "model.npz": numpy_file(np.savez, **ARRAYS),
        "packed.npz": numpy_file(np.savez_compressed, **ARRAYS),
        "model.npy": numpy_file(np.save, ARRAYS["layer.weight"]),
    }


def read(path: str, content: bytes) -> Header:
    """Read the header of a file that is there as bytes."""
    return read_header(path, Source(InMemory(content)))


def by_name(path: str, content: bytes) -> dict[str, Tensor]:
    """The tensors of a file."""
    return {tensor.name: tensor for tensor in read(path, content).tensors}
