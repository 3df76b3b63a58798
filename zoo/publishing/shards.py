"""Plans published shards and writes them: safetensors files in which every tensor of every model is one of its own.

A tensor is called `model_id/epoch/name`. What a shard holds is fixed, and its name with it, before anything is read:
the name ends in a digest of what goes into it. So a file of the right name and size need not be written again, and one
that changes never takes the place of another.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import accumulate, groupby
from pathlib import Path
from typing import BinaryIO

import polars as pl

from schemas import Lake
from schemas.files import written_whole
from zoo.families import SPLITS
from zoo.publishing.layout import Layout, Part, alignments_of

FOLDER = "weights"
FORMAT = 1
"""Part of the digest: another number where the same models would be written otherwise."""
LARGEST = 2 * 10**9
"""Bytes of a shard; hubs advise 1 to 5 GB."""
MOST_TENSORS = 100_000
"""Tensors of a shard, so that its header stays small."""
AT_ONCE = 64 * 2**20
"""Bytes of weights that are in memory at a time."""
LENGTH_BYTES = 8


@dataclass(frozen=True)
class Row:
    """A checkpoint of a model on its way into a shard."""

    layout: Layout
    source: str
    """Its shard in the lake."""
    model_id: str
    epoch: int
    final: bool
    row: int
    source_sha256: str


@dataclass(frozen=True)
class Shard:
    """What a published shard is going to hold, in this order."""

    split: str
    number: int
    rows: tuple[Row, ...]

    @cached_property
    def path(self) -> str:
        """Its path inside the dataset."""
        content = [[FORMAT], *([row.model_id, row.epoch, row.source_sha256, row.row] for row in self.rows)]
        digest = sha256(json.dumps(content).encode()).hexdigest()[:12]
        return f"{FOLDER}/{self.split}-{self.number:05}-{digest}.safetensors"

    @property
    def data_bytes(self) -> int:
        """Bytes of its tensors, without the header."""
        return sum(row.layout.size for row in self.rows)


def plan_shards(
    checkpoints: pl.DataFrame, layouts: Mapping[str, Layout], largest: int = LARGEST, most_tensors: int = MOST_TENSORS
) -> list[Shard]:
    """Distribute checkpoints over shards: a split after the other, final weights before others, then by model.

    So the cells of a grid lie together, and so do the index's rows of a model, among rows of which all are near it.

    Args:
        checkpoints: Columns model_id, epoch, final, shard, row, shard_sha256, split.
        layouts: Of each shard of the lake.
        largest: Bytes of a shard; a model that is larger alone has one to itself.
        most_tensors: Tensors of a shard.
    """
    order = pl.col("split").replace_strict({split: i for i, split in enumerate(SPLITS)})
    ordered = checkpoints.sort(order, ~pl.col("final"), "epoch", "model_id")
    columns = ("split", "shard", "model_id", "epoch", "final", "row", "shard_sha256")
    shards: list[Shard] = []
    for split, group in groupby(ordered.select(columns).iter_rows(), key=lambda each: each[0]):
        rows = (Row(layouts[source], source, *rest) for _, source, *rest in group)
        cut = _portions(rows, largest, most_tensors)
        shards += [Shard(split, number, tuple(portion)) for number, portion in enumerate(cut)]
    return shards


def _portions(rows: Iterator[Row], largest: int, most_tensors: int) -> Iterator[list[Row]]:
    portion: list[Row] = []
    size = tensors = 0
    for row in rows:
        size += row.layout.size
        tensors += len(row.layout.parts)
        if portion and (size > largest or tensors > most_tensors):
            yield portion
            portion, size, tensors = [], row.layout.size, len(row.layout.parts)
        portion.append(row)
    yield portion


@dataclass(frozen=True)
class Places:
    """Where everything of a shard lies, in bytes from the start of its file."""

    header: bytes
    """With its length before it."""
    begins: Mapping[int, Sequence[int]]
    """By alignment, where the rows' blocks begin; and one past the last."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return max((ends[-1] for ends in self.begins.values()), default=len(self.header))


def places(shard: Shard) -> Places:
    """Work out a shard's header and where its rows' blocks lie."""
    begins: dict[int, list[int]] = {}
    end = 0
    for alignment in alignments_of([row.layout for row in shard.rows]):
        begins[alignment] = list(accumulate((row.layout.bytes[alignment] for row in shard.rows), initial=end))
        end = begins[alignment][-1]
    header = _header(shard, begins)
    return Places(header, {each: [len(header) + begin for begin in found] for each, found in begins.items()})


def _header(shard: Shard, begins: Mapping[int, Sequence[int]]) -> bytes:
    """The header of a safetensors file (https://huggingface.co/docs/safetensors), padded to eight bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    for row, part, begin, end in tensors(shard, begins):
        entry = {"dtype": part.dtype, "shape": part.shape, "data_offsets": [begin, end]}
        entries[f"{row.model_id}/{row.epoch}/{part.name}"] = entry
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def tensors(shard: Shard, begins: Mapping[int, Sequence[int]]) -> Iterator[tuple[Row, Part, int, int]]:
    """Each tensor of a shard, with its first byte and one past its last, counted as the blocks' begins are."""
    for index, row in enumerate(shard.rows):
        place = {alignment: found[index] for alignment, found in begins.items()}
        for part in row.layout.parts:
            begin = place.get(part.alignment, 0)  # nothing of its alignment has any bytes
            place[part.alignment] = begin + part.bytes
            yield row, part, begin, begin + part.bytes


def write_shard(lake: Lake, shard: Shard, folder: Path) -> Places:
    """Write a shard into the dataset's folder, unless it is there; reads and holds a part of it at a time.

    Raises:
        DataError: Weights of the lake are missing or damaged.
        OutsideError: The disk is full or cannot be written.
    """
    found = places(shard)
    path = folder / shard.path
    if path.is_file() and path.stat().st_size == found.size:
        return found
    with written_whole(path) as beside, beside.open("wb") as file:
        file.write(found.header)
        for source, indices in _by_source(shard.rows):
            for portion in _read_at_once(shard.rows, indices):
                _write_rows(lake, shard, found, source, portion, file)
        file.truncate(found.size)
    return found


def _by_source(rows: Sequence[Row]) -> list[tuple[str, list[int]]]:
    """Which rows come from which shard of the lake."""
    indices: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        indices.setdefault(row.source, []).append(index)
    return list(indices.items())


def _read_at_once(rows: Sequence[Row], indices: list[int]) -> Iterator[list[int]]:
    step = max(1, AT_ONCE // max(1, rows[indices[0]].layout.size))
    yield from (indices[first : first + step] for first in range(0, len(indices), step))


def _write_rows(lake: Lake, shard: Shard, found: Places, source: str, indices: list[int], file: BinaryIO) -> None:
    """Move rows of one shard of the lake to their places; neighbours are written in one go."""
    layout = shard.rows[indices[0]].layout
    stacked = lake.weights.read_members(source, [shard.rows[index].row for index in indices])
    for alignment in alignments_of([layout]):
        packed = layout.pack(alignment, stacked).numpy()
        for first, last in _runs(indices):
            file.seek(found.begins[alignment][indices[first]])
            file.write(packed[first:last].data)


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Positions [first, last) whose values follow each other."""
    first = 0
    for position in range(1, len(indices) + 1):
        if position == len(indices) or indices[position] != indices[position - 1] + 1:
            yield first, position
            first = position
