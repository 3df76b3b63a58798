"""Loading 10,000 small models: from stacked shards, against one safetensors file a model and a plain memory copy.

    python benchmarks/loading.py [models]

Each figure is the median of several runs in one process with one thread, in processor time; every way ends with the
weights of all models stacked in memory of its own, which the system has to give it: what the run before has freed is
given back first. Files are in the page cache, so this measures reading, not the disk.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import ctypes
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from schemas import Lake, open_lake
from zoo import load_population
from zoo.architectures import skeleton

RUNS = 9
SHARD_MODELS = 1_000


def population(models: int) -> dict[str, Tensor]:
    """Random weights of the small CNN of the model-zoo literature, [models, ...] a tensor."""
    shapes = {name: tensor.shape for name, tensor in skeleton("cnn", (1, 28, 28), 10, 8).named_parameters()}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(models, *shape, generator=generator) for name, shape in shapes.items()}


def fill(lake: Lake, tensors: dict[str, Tensor], models: int) -> None:
    """Write the models as shards and their rows into the lake."""
    names = [f"zoo:benchmark/m{index}" for index in range(models)]
    shards = []
    for begin in range(0, models, SHARD_MODELS):
        shard = f"benchmark/{begin}.safetensors"
        part = {name: tensor[begin : begin + SHARD_MODELS] for name, tensor in tensors.items()}
        digest = lake.weights.write(shard, part)
        rows = range(len(names[begin : begin + SHARD_MODELS]))
        shards += [{"shard": shard, "row": row, "shard_sha256": digest} for row in rows]
    checkpoints = pl.DataFrame(shards).with_columns(model_id=pl.Series(names), epoch=1, final=True)
    with lake.write() as transaction:
        transaction.append("checkpoint", checkpoints)
        transaction.append("model", pl.DataFrame({"model_id": names, "hub": "zoo"}))


def give_memory_back() -> None:
    """Let no run write into memory that the one before has freed, as far as the C library can be told so."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def median_seconds(work: Callable[[], object]) -> float:
    """Median processor time of RUNS calls after one that is not counted."""
    work()
    times = []
    for _ in range(RUNS):
        give_memory_back()
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    models = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    tensors = population(models)
    size = sum(tensor.nbytes for tensor in tensors.values())
    with tempfile.TemporaryDirectory() as folder, open_lake(Path(folder) / "lake") as lake:
        fill(lake, tensors, models)
        single = [Path(folder) / f"{index}.safetensors" for index in range(models)]
        for index, path in enumerate(single):
            save_file({name: tensor[index] for name, tensor in tensors.items()}, path)
        shards = sorted({f"benchmark/{begin}.safetensors" for begin in range(0, models, SHARD_MODELS)})

        def copied() -> object:
            return {name: tensor.clone() for name, tensor in tensors.items()}

        def from_shards() -> object:
            parts = [lake.weights.read(shard) for shard in shards]
            return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

        def through_sql() -> object:
            return load_population(lake, "SELECT model_id FROM model")

        def in_another_order() -> object:
            return load_population(lake, "SELECT model_id FROM model ORDER BY hash(model_id)")

        def nothing() -> object:
            return lake.sql("SELECT 1")

        def one_file_each() -> object:
            parts = [load_file(path) for path in single]
            return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}

        ways = {
            "memory copy": copied,
            "shards": from_shards,
            "load_population": through_sql,
            "load_population, shuffled": in_another_order,
            "opening the database alone": nothing,
            "one safetensors file a model": one_file_each,
        }
        seconds = {name: median_seconds(work) for name, work in ways.items()}
    print(f"{models:,} models, {size / 2**20:.1f} MiB, torch {torch.__version__}, median of {RUNS}, processor time")
    for name, value in seconds.items():
        print(f"{name:32} {value:9.4f} s   {value / seconds['memory copy']:8.1f} x memory copy")


if __name__ == "__main__":
    main()
