"""Publishes a population as a dataset: Parquet tables, weights in shards with an index, and a card, in a folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from schemas import Lake
from schemas.files import write_whole
from zoo.families import SPLITS, split_table
from zoo.publishing.chosen import choose
from zoo.publishing.citations import citations
from zoo.publishing.dataset_card import Facts, dataset_card
from zoo.publishing.folder import CARD_FILE, check_folder, remove_others
from zoo.publishing.index import CONFIG, write_weights
from zoo.publishing.layout import layout_of
from zoo.publishing.picture import NAME as PICTURE
from zoo.publishing.picture import draw, has_grid
from zoo.publishing.shards import LARGEST, Shard, places, plan_shards
from zoo.publishing.tables import count_rows, meanings, write_tables
from zoo.publishing.written import text_bytes

Progress = Callable[[int, int | None, str], None]
"""Hears of bytes done, bytes in all, and the file that is there now."""


@dataclass(frozen=True)
class Publication:
    """What is published, known before anything is written."""

    lake: Lake
    title: str
    together: str
    license_id: str | None
    splits: pl.DataFrame
    """A row a model: model_id, family, split."""
    shards: Sequence[Shard]
    counts: Mapping[tuple[str, str], int]
    """Rows by configuration and split."""
    repository: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)

    def plan(self) -> pl.DataFrame:
        """A row a file: path, rows (of a table) or models (of a shard) in it, and bytes where they are known before."""
        tables = [(f"{config}/{split}-0.parquet", count, None) for (config, split), count in self.counts.items()]
        weights = [(shard.path, len(shard.rows), places(shard).size) for shard in self.shards]
        rows = [*tables, *weights, *self._others()]
        return pl.DataFrame(rows, schema={"file": pl.String, "rows": pl.Int64, "bytes": pl.Int64}, orient="row")

    def _others(self) -> list[tuple[str, None, None]]:
        grid = has_grid(self.lake.sql(GRID, ids=self.splits["model_id"].to_list()))
        return [(name, None, None) for name in ([PICTURE, CARD_FILE] if grid else [CARD_FILE])]

    def write(self, folder: Path, progress: Progress | None = None) -> list[str]:
        """Write it into a folder and take away what an earlier publication left there; gives the files' paths.

        The card comes last. Shards that are there already are left alone, so a run that was killed goes on.

        Raises:
            UsageError: The folder holds other things.
            DataError: Weights of the lake are missing or damaged.
            OutsideError: The disk is full or cannot be written.
        """
        check_folder(folder)
        tables = write_tables(self.lake, self.splits, folder, self.counts)
        written = [path.relative_to(folder).as_posix() for path in tables]
        total, done = sum(shard.data_bytes for shard in self.shards), 0
        for shard, size in write_weights(self.lake, self.shards, folder):
            done += shard.data_bytes
            self.sizes[shard.path] = size
            if progress:
                progress(done, total, shard.path)
        written += [*self.sizes, *(f"{CONFIG}/{split}-0.parquet" for split in {shard.split for shard in self.shards})]
        written += self._write_card(folder)
        remove_others(folder, written)
        return sorted(written)

    def _write_card(self, folder: Path) -> list[str]:
        models = _read(folder, "models")
        picture = draw(models, folder)
        metrics = {metric for config in ("measurements", "pairs") for metric in _metrics(folder, config)}
        facts = Facts(
            title=self.title,
            place=self.repository or folder.resolve().name,
            on_hub=self.repository is not None,
            license_id=self.license_id,
            together=self.together,
            models=models,
            split_of=self.splits,
            populations=_read(folder, "populations"),
            counts=self.counts,
            shards=len(self.shards),
            bytes=sum(self.sizes.values()),
            picture=picture,
            meanings=meanings(self.lake),
            citation=citations(models, metrics),
        )
        write_whole(folder / CARD_FILE, text_bytes(dataset_card(facts)))
        return [PICTURE, CARD_FILE] if picture else [CARD_FILE]


GRID = """
SELECT population_id, width, batch_size, 0.0 AS test_accuracy FROM member WHERE model_id IN (SELECT unnest($ids))
"""


def plan_publication(
    lake: Lake,
    what: str,
    *,
    license_id: str | None = None,
    together: str = "start",
    seed: int = 0,
    shard_bytes: int = LARGEST,
    repository: str | None = None,
) -> Publication:
    """Find out what publishing a population means; nothing is written.

    Args:
        lake: Where it lies.
        what: Name or population_id of a population, or a query that returns `model_id` (and `epoch`).
        license_id: Licence of tables and weights, as hubs name it, e.g. `cc-by-4.0`.
        together: What no split may part, see `zoo.families.families`.
        seed: Which family is in which split hangs on it.
        shard_bytes: About how large a file of weights may get.
        repository: owner/name on the hub that it goes to.

    Raises:
        UsageError: There is no such population, or the query selects what has no weights in this lake.
        DataError: A shard of the lake is damaged.
    """
    chosen = choose(lake, what)
    splits = split_table(lake, sorted(chosen["model_id"].unique()), together, seed)
    layouts = {shard: layout_of(lake, shard) for shard in chosen["shard"].unique()}
    shards = plan_shards(chosen.join(splits, on="model_id"), layouts, shard_bytes)
    counts = count_rows(lake, splits)
    for split in SPLITS:
        held = sum(len(row.layout.parts) for shard in shards if shard.split == split for row in shard.rows)
        counts |= {(CONFIG, split): held} if held else {}
    title = what if len(what.split()) == 1 else "Selected models"
    return Publication(lake, title, together, license_id, splits, shards, counts, repository)


def _read(folder: Path, config: str) -> pl.DataFrame:
    return pl.read_parquet(folder / config / "*.parquet") if (folder / config).is_dir() else pl.DataFrame()


def _metrics(folder: Path, config: str) -> list[str]:
    """Names of what was measured."""
    if not (folder / config).is_dir():
        return []
    found: pl.DataFrame = pl.scan_parquet(folder / config / "*.parquet").select(pl.col("metric").unique()).collect()
    return found["metric"].to_list()
