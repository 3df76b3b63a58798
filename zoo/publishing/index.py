"""The index of a published dataset: for every tensor of every checkpoint the shard and the bytes at which it lies."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow  # type: ignore[import-untyped] # pyarrow ships no types
from pyarrow import parquet

from schemas import Lake
from schemas.files import written_whole
from zoo.publishing.shards import Places, Shard, tensors, write_shard
from zoo.publishing.tables import rows_together

CONFIG = "tensors"
GROUP_SHARE = 30
"""For `rows_together`: a row of the index takes about a byte."""
SCHEMA = pyarrow.schema(
    [
        ("model_id", pyarrow.string()),
        ("epoch", pyarrow.int32()),
        ("final", pyarrow.bool_()),
        ("name", pyarrow.string()),
        ("shard", pyarrow.string()),
        ("dtype", pyarrow.string()),
        ("shape", pyarrow.list_(pyarrow.int64())),
        ("begin_byte", pyarrow.int64()),
        ("end_byte", pyarrow.int64()),
    ]
)
MEANINGS = {
    "model_id": "The model.",
    "epoch": "Epochs completed; 0 is the initialisation, and the only one of a made model.",
    "final": "Whether these are the model's weights when no epoch is named.",
    "name": "The tensor's name; in its shard it is called model_id/epoch/name.",
    "shard": "The safetensors file, by its path in this dataset.",
    "dtype": "As safetensors names it: F32, BF16, I64, ...",
    "shape": "Its shape; empty for a scalar.",
    "begin_byte": "First byte of its data, counted from the start of the file.",
    "end_byte": "One past its last byte.",
}


def write_weights(lake: Lake, shards: Sequence[Shard], folder: Path) -> Iterator[tuple[Shard, int]]:
    """Write shards and, beside them, the index of each split; gives each shard with its size once it is there."""
    splits = list(dict.fromkeys(shard.split for shard in shards))
    counts = Counter[str]()
    for shard in shards:
        counts[shard.split] += sum(len(row.layout.parts) for row in shard.rows)
    with ExitStack() as stack:
        writers = {}
        for split in splits:
            beside = stack.enter_context(written_whole(folder / CONFIG / f"{split}-0.parquet"))
            writers[split] = stack.enter_context(_writer(beside))
        for shard in shards:
            found = write_shard(lake, shard, folder)
            writers[shard.split].write_table(_rows(shard, found), rows_together(counts[shard.split], GROUP_SHARE))
            yield shard, found.size


def _writer(path: Path) -> parquet.ParquetWriter:
    texts = ["model_id", "epoch", "final", "name", "shard", "dtype", "shape.list.element"]
    places = dict.fromkeys(["begin_byte", "end_byte"], "DELTA_BINARY_PACKED")  # they grow from row to row
    return parquet.ParquetWriter(
        path,
        SCHEMA,
        compression="zstd",
        use_dictionary=texts,
        column_encoding=places,
        write_statistics=["model_id", "epoch", "final"],  # by what rows are asked for; more would make the footer long
        store_schema=False,
    )


def _rows(shard: Shard, found: Places) -> pyarrow.Table:
    rows = [
        (row.model_id, row.epoch, row.final, part.name, shard.path, part.dtype, part.shape, begin, end)
        for row, part, begin, end in tensors(shard, found.begins)
    ]
    columns = zip(*rows, strict=True)
    return pyarrow.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA)
