"""What weightlake puts beside a zoo that it exports: rows of the lake for which the other tool's format has no place.

    weightlake.json                  the population, and which of its tensors are called what in this format
    weightlake-member.parquet        a row a member; and likewise training, statement, measurement, lineage

Other tools pass over these files. Read back, they give the rows as they were; weights always come from the format's
own files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas import DataError, Lake, OutsideError
from schemas.files import write_whole
from zoo.exchange.foreign import About, inside, read_bounded

FILE = "weightlake.json"
TABLES = ("member", "training", "statement", "measurement", "lineage")
MEMBER = "member"
"""The column that has a member's name in place of its model_id."""
KEYS = {"lineage": "child_id"}
LARGEST = 2**26
MOST_ROWS = 100_000_000
LEFT_OUT = ("population_id", "group_name")


class Described(BaseModel):
    """The population, as weightlake.json says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str | None
    dataset: str | None
    dataset_sha256: str | None
    classes: int | None
    input_shape: tuple[int, ...] | None
    split_seed: int | None
    recipe: dict[str, Any] | None
    names: dict[str, str]


@dataclass(frozen=True)
class Companion:
    """The rows beside an exported zoo."""

    population: Described
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """By table, with the column `member` in place of the model_id."""

    @property
    def names(self) -> dict[str, str]:
        """weightlake's names of tensors, by those of the format."""
        return self.population.names

    @property
    def about(self) -> About:
        """What holds for all members."""
        known = self.population
        return About(
            known.architecture,
            known.dataset,
            known.dataset_sha256,
            known.classes,
            known.input_shape,
            known.split_seed,
        )


def table_file(table: str) -> str:
    """Name of the file of a table."""
    return f"weightlake-{table}.parquet"


def is_companion(name: str) -> bool:
    """Whether a file of a zoo's folder is one of these."""
    return name == FILE or name in map(table_file, TABLES)


def write_companion(folder: Path, population: Described, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write the rows beside a zoo.

    Raises:
        OutsideError: The disk is full or cannot be written.
    """
    write_whole(folder / FILE, population.model_dump_json(indent=1).encode())
    for table, frame in tables.items():
        try:
            frame.write_parquet(folder / table_file(table), compression="zstd")
        except OSError as error:
            raise OutsideError(f"cannot write {folder / table_file(table)}: {error}") from error


def read_companion(lake: Lake, root: Path) -> Companion | None:
    """Read the rows beside a zoo; None if there are none. Columns get the types that the lake has for them.

    Raises:
        DataError: One of the files is damaged, or has a column of another kind.
    """
    if not (root / FILE).exists():
        return None
    try:
        population = Described.model_validate_json(read_bounded(root, root / FILE, LARGEST))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{root / FILE} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return Companion(population, {table: _table(lake, root, table) for table in TABLES})


def _table(lake: Lake, root: Path, table: str) -> pl.DataFrame:
    wanted = companion_schema(lake, table)
    path = root / table_file(table)
    if not path.exists():
        return pl.DataFrame(schema=wanted)
    try:
        scan = pl.scan_parquet(inside(root, path), glob=False)
        if (count := scan.select(pl.len()).collect().item()) > MOST_ROWS:
            raise DataError(f"{path} has {count:,} rows, which is more than such a file may have")
        found = scan.collect()
        missing = [name for name in wanted if name not in found.columns]
        return found.with_columns(pl.lit(None).alias(name) for name in missing).select(
            pl.col(name).cast(kind) for name, kind in wanted.items()
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"{path} is damaged: {first}") from error


def companion_schema(lake: Lake, table: str) -> dict[str, pl.DataType]:
    """Columns of a table as they stand beside a zoo, and their types."""
    schema = lake.sql(f"FROM {table} LIMIT 0").schema
    key = KEYS.get(table, "model_id")
    kept = {name: kind for name, kind in schema.items() if name != key and name not in LEFT_OUT}
    return {MEMBER: pl.String(), **kept}


def beside(frame: pl.DataFrame, table: str, name_of: Mapping[str, str]) -> pl.DataFrame:
    """Rows of a table of the lake as they stand beside a zoo; `name_of` gives a member's name for its model_id."""
    key = KEYS.get(table, "model_id")
    names = frame.get_column(key).replace_strict(name_of, return_dtype=pl.String)
    return frame.drop(key, *LEFT_OUT, strict=False).insert_column(0, names.alias(MEMBER))


def as_json(recipe: str | None) -> dict[str, Any] | None:
    """A recipe that stands in the lake as text."""
    found = json.loads(recipe) if recipe else None
    return found if isinstance(found, dict) else None
