"""How long the header of a weight file takes to read, beside the format's own library asked for the same.

    python benchmarks/headers.py [--tensors 2000]

Names, shapes and dtypes of a file with that many tensors of 64 x 64. The peers are what somebody would write who has
the file and the library: safetensors' safe_open, torch.load (weights only, mapped), gguf's GGUFReader, onnx.load
(external data left out), numpy.load. Best of five, in milliseconds of work.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from safetensors import safe_open
from safetensors.numpy import save_file

from miners.headers.reading import read_header
from miners.headers.source import on_disk

Arrays = dict[str, np.ndarray[Any, Any]]


def main() -> None:
    """Write the files, read each both ways, and print the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensors", type=int, default=2000)
    given = parser.parse_args()
    names = [f"model.layers.{place}.self_attn.q_proj.weight" for place in range(given.tensors)]
    arrays = {name: np.zeros((64, 64), np.float32) for name in names}
    print(f"{given.tensors:,} tensors a file\n{'format':14}{'ours':>8}{'peer':>8}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for ending, (write, peer) in FORMATS.items():
            place = Path(folder) / f"model.{ending}"
            write(arrays, place)
            ours = milliseconds(read_ours, place)
            theirs = milliseconds(peer, place)
            print(f"{ending:14}{ours:8.1f}{theirs:8.1f}{ours / theirs:8.2f}")


def read_ours(place: Path) -> object:
    """Read the header of a file on disk."""
    return read_header(place.name, on_disk(place, place.stat().st_size))


def milliseconds(read: Callable[[Path], object], place: Path) -> float:
    """Work that a reader takes, the best of five times."""
    times = []
    for _ in range(5):
        begun = time.process_time()
        read(place)
        times.append(time.process_time() - begun)
    return 1000 * min(times)


def write_torch(arrays: Arrays, place: Path) -> None:
    """Write a checkpoint."""
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, place)


def write_gguf(arrays: Arrays, place: Path) -> None:
    """Write a GGUF file."""
    writer = gguf.GGUFWriter(str(place), "llama")
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_onnx(arrays: Arrays, place: Path) -> None:
    """Write a graph that has initialisers and nothing else."""
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    onnx.save(helper.make_model(helper.make_graph([], "graph", [], [], tensors)), place)


def read_safetensors(place: Path) -> object:
    """Ask safetensors for every tensor's shape and dtype."""
    with safe_open(place, "np") as opened:
        slices = [opened.get_slice(name) for name in opened.keys()]  # noqa: SIM118 - it is no dictionary
        return [(each.get_shape(), each.get_dtype()) for each in slices]


def read_torch(place: Path) -> object:
    """Ask torch."""
    state = torch.load(place, weights_only=True, mmap=True)
    return [(name, tensor.shape, tensor.dtype) for name, tensor in state.items()]


def read_gguf(place: Path) -> object:
    """Ask gguf."""
    return [(tensor.name, tensor.shape, tensor.tensor_type) for tensor in gguf.GGUFReader(place).tensors]


def read_onnx(place: Path) -> object:
    """Ask onnx, which reads the weights on the way."""
    graph = onnx.load(place, load_external_data=False).graph
    return [(tensor.name, list(tensor.dims), tensor.data_type) for tensor in graph.initializer]


def read_numpy(place: Path) -> object:
    """Ask numpy, which has no way but to read the arrays."""
    with np.load(place) as arrays:
        return [(name, arrays[name].shape, arrays[name].dtype) for name in arrays]


FORMATS: dict[str, tuple[Callable[[Arrays, Path], object], Callable[[Path], object]]] = {
    "safetensors": (save_file, read_safetensors),
    "pt": (write_torch, read_torch),
    "gguf": (write_gguf, read_gguf),
    "onnx": (write_onnx, read_onnx),
    "npz": (lambda arrays, place: np.savez(place, **arrays), read_numpy),  # type: ignore[arg-type]  # names are ours
}

if __name__ == "__main__":
    main()
