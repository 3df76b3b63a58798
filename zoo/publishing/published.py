"""Opens a published dataset as a source that only reads: SQL over its tables, weights by ranges of bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from pathlib import Path

import duckdb
import polars as pl
import torch

from schemas.connection import CONFIG, matched, one_line
from schemas.errors import DataError, UsageError
from zoo.families import KIN, SPLITS
from zoo.population import Weights
from zoo.publishing.address import OnHub, parse_address
from zoo.publishing.ranges import joined
from zoo.publishing.source import FolderSource, Source

INDEX = "tensors"
QUERY = re.compile(r"\s*(?:\(\s*)*(?:select|from|with|values|pivot|unpivot|table)\b", re.IGNORECASE)
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
OF_FILES = (duckdb.InvalidInputException, duckdb.IOException, duckdb.InternalException, duckdb.SerializationException)
READING = re.compile(r"while reading file|bytes outside file")
"""What DuckDB says of a damaged file in errors of other kinds."""
PLACES = """
SELECT position, name, shard, dtype, shape, begin_byte, end_byte FROM wanted JOIN tensors USING (model_id)
WHERE CASE WHEN wanted.epoch IS NULL THEN tensors.final ELSE tensors.epoch = wanted.epoch END
ORDER BY position, name
"""


def open_published(place: str | Path, endpoint: str | None = None) -> Published:
    """Open a published dataset; nothing but a list of its files is read before it is asked for.

    Args:
        place: Its folder, or hf:owner/name, or hf:owner/name@revision.
        endpoint: URL of another hub.

    Raises:
        UsageError: There is no such folder, or it holds no published dataset.
        HubError: The hub cannot be reached, or shows no such dataset.
    """
    address = parse_address(place)
    if isinstance(address, OnHub):
        from zoo.publishing.hub import HubSource  # here, since a folder needs no network

        return Published(HubSource(address, endpoint))
    return Published(FolderSource(address))


class Published:
    """A published dataset. Its tables are those of the card: models, training, tensors and so on."""

    def __init__(self, source: Source) -> None:
        self.source = source
        if not self.tables:
            raise UsageError(f"{source.name} is no published dataset: there is no table in it, such as models/train-0")

    @cached_property
    def tables(self) -> Mapping[str, Sequence[str]]:
        """The files of each table."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.source.sizes):
            table, _, file = path.partition("/")
            if re.fullmatch(r"\w+", table) and re.fullmatch(rf"(?:{'|'.join(SPLITS)})-\d+\.parquet", file):
                found.setdefault(table, []).append(path)
        return found

    def sql(self, query: str, /, **parameters: object) -> pl.DataFrame:
        """Ask its tables in SQL; from a hub come the columns and rows that it needs, in whole groups of rows.

        Raises:
            UsageError: DuckDB refuses the query.
            DataError: A table is damaged.
        """
        with duckdb.connect(config=CONFIG) as opened:
            return self._rows(opened, query, parameters)

    def _rows(self, opened: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object]) -> pl.DataFrame:
        try:
            opened.execute("SET TimeZone = 'UTC'")
            for table in sorted(set(re.findall(r"\w+", query)) & self.tables.keys()):
                paths = self.source.attach(opened, self.tables[table])
                listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
                opened.execute(f'CREATE VIEW "{table}" AS SELECT * FROM read_parquet([{listed}])')  # noqa: S608 - our names
            with matched(query, parameters):
                found: pl.DataFrame = opened.sql(query, params=dict(parameters) or None).pl()
            return found
        except duckdb.Error as error:
            self.source.complain()
            if isinstance(error, OF_FILES) or READING.search(str(error)):
                raise DataError(f"a table of {self.source.name} cannot be read: {one_line(error)}") from error
            known = ", ".join(self.tables)
            raise UsageError(f"{one_line(error)} (the tables of {self.source.name}: {known})") from error

    def models(self, condition: str, **parameters: object) -> pl.DataFrame:
        """The rows that a condition or a query selects.

        Args:
            condition: A condition on the table `models`, as `width = 8 AND batch_size < 64`; or a query over any of
                the tables that returns model_id, and epoch where not the final weights are meant.
            parameters: Values for `$name` in it.

        Raises:
            UsageError: DuckDB refuses it, it selects nothing, or gives no model_id.
        """
        if not condition.strip():
            raise UsageError("the condition is empty; try width = 8, or true for all")
        is_query = QUERY.match(condition)
        query = condition if is_query else f"SELECT * FROM models WHERE {condition}"  # noqa: S608 - whose words these are reads only
        rows = self.sql(query, **parameters)
        rows = rows if is_query else rows.sort("model_id")  # not in SQL, whose complaints would then name our words
        if "model_id" not in rows.columns:
            raise UsageError(
                f"the query returns {', '.join(rows.columns)}; it has to return model_id, and may return epoch"
            )
        if rows.is_empty():
            raise UsageError(f"{condition!r} selects no model of {self.source.name}; take a wider condition")
        return rows

    def stacked(self, rows: pl.DataFrame) -> Weights:
        """Load the weights of rows of `models`, `[N, ...]` by name; of the shards only their bytes are read.

        Raises:
            UsageError: They are models of different shapes, or have no weights here.
            DataError: The dataset is damaged.
            HubError: The hub does not give what it should.
        """
        places = self._places(rows)
        ids = rows["model_id"].to_list()
        kinds = _kinds(ids, places)
        found = {name: torch.empty(len(ids), *shape, dtype=dtype) for name, (dtype, shape) in kinds.items()}
        for (shard,), part in places.group_by("shard", maintain_order=True):
            self._fill(str(shard), part, found)
        return found

    def kin(self) -> pl.DataFrame:
        """All models with what says who descends from whom, where the dataset says it: model_id, family, parents."""
        said = self.sql("SELECT * FROM models LIMIT 0").columns
        return self.sql(f"SELECT {', '.join(name for name in KIN if name in said)} FROM models")  # noqa: S608 - our names

    def _places(self, rows: pl.DataFrame) -> pl.DataFrame:
        """A row a tensor and model: position of the model, name, shard, dtype, shape, begin_byte, end_byte."""
        if INDEX not in self.tables:
            raise UsageError(
                f"{self.source.name} holds no weights: it has no table {INDEX}, only {', '.join(self.tables)}"
            )
        epoch = pl.col("epoch").cast(pl.Int32) if "epoch" in rows.columns else pl.lit(None, pl.Int32).alias("epoch")
        wanted = rows.select("model_id", epoch).with_row_index("position")
        with duckdb.connect(config=CONFIG) as opened:
            opened.register("wanted", wanted.to_arrow(compat_level=pl.CompatLevel.newest()))
            found = self._rows(opened, PLACES, {})
        _check_complete(self.source, wanted, found)
        return found

    def _fill(self, shard: str, part: pl.DataFrame, stacked: Weights) -> None:
        """Read a shard's ranges and put each tensor into its row."""
        ordered = part.sort("begin_byte").select("begin_byte", "end_byte", "position", "name").rows()
        pieces = joined([(begin, end) for begin, end, *_ in ordered])
        at, buffer, start = 0, bytearray(), 0
        for (begin, end), content in zip(pieces, self.source.read(shard, pieces), strict=True):
            if begin != start + len(buffer):
                buffer, start = bytearray(), begin
            buffer += content
            while at < len(ordered) and ordered[at][1] <= end:
                first, last, position, name = ordered[at]
                _copy(buffer, first - start, last - start, stacked[name], position)
                at += 1
            if at < len(ordered):  # what lies before the next tensor is not needed any more
                done = min(max(ordered[at][0] - start, 0), len(buffer))
                buffer, start = buffer[done:], start + done


def _copy(buffer: bytearray, begin: int, end: int, stacked: torch.Tensor, position: int) -> None:
    if end > begin:
        bytes_of_one = stacked[position].reshape(-1).view(torch.uint8)
        bytes_of_one.copy_(torch.frombuffer(buffer, dtype=torch.uint8, count=end - begin, offset=begin))


def _kinds(ids: Sequence[str], places: pl.DataFrame) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Type and shape of each tensor; raises UsageError where models differ."""
    kinds = places.group_by("name").agg(
        pl.col("dtype", "shape").n_unique().name.suffix("s"), pl.first("dtype", "shape"), pl.len()
    )
    for row in kinds.sort("name").iter_rows(named=True):
        if row["dtypes"] > 1 or row["shapes"] > 1 or row["len"] != len(ids):
            raise UsageError(
                f"these cannot be stacked: tensor {row['name']} is not alike in all {len(ids)} models; "
                "select models of the same shapes, e.g. with architecture = ... AND width = ..."
            )
    return {row["name"]: (TYPES[row["dtype"]], tuple(row["shape"])) for row in kinds.iter_rows(named=True)}


def _check_complete(source: Source, wanted: pl.DataFrame, found: pl.DataFrame) -> None:
    """Nothing that a hub says is believed: every model is there, and every tensor inside of its file."""
    absent = wanted.join(found, on="position", how="anti")
    if absent.height:
        model_id, epoch = absent.select("model_id", "epoch").row(0)
        what = "no weights" if epoch is None else f"no checkpoint of epoch {epoch}"
        raise UsageError(f"{source.name} has {what} for {model_id}; its table tensors says what there is")
    entries = found.select("position", "name", "shard", "dtype", "shape", "begin_byte", "end_byte")
    odd = found["shape"].list.eval(pl.element().is_null() | (pl.element() < 0)).list.any().any()
    if odd or sum(entries.null_count().row(0)) or entries.select("position", "name").is_duplicated().any():
        raise DataError(
            f"the index of {source.name} says of a tensor nothing, or twice, where it lies; publish it again"
        )
    for shard, last in found.group_by("shard").agg(pl.max("end_byte")).rows():
        inside = shard.startswith("weights/") and shard in source.sizes
        if not inside or last > source.sizes[shard]:
            raise DataError(f"the index of {source.name} names bytes up to {last} of {shard}, which are not there")
    for name, dtype, shape, begin, end in (
        found.select("name", "dtype", "shape", "begin_byte", "end_byte").unique().rows()
    ):
        size = TYPES[dtype].itemsize * prod(shape) if dtype in TYPES else None
        if size != end - begin or begin < 0:
            raise DataError(f"the index of {source.name} gives tensor {name} {end - begin} bytes for {dtype} x {shape}")
