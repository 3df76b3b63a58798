"""The tables of a published population: one query a configuration, each row in the split of its model.

Datasets are published without the folder in which they lie on the publisher's machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import polars as pl

from schemas import Lake, Reading
from zoo.families import SPLITS
from zoo.publishing.privacy import DATASET, RECIPE, scrubbed

SPLIT_OF = "split_of"
"""Under this name the queries see the published models: model_id, family, split."""
CELLS = """
FROM split_of JOIN member USING (model_id) JOIN phases ON phases.population_id = member.population_id
    AND load = CASE load_axis WHEN 'width' THEN member.width WHEN 'depth' THEN member.depth
        WHEN 'label_noise' THEN member.label_noise WHEN 'data_fraction' THEN member.data_fraction END
    AND temperature = CASE temperature_axis WHEN 'batch_size' THEN member.batch_size
        WHEN 'learning_rate' THEN member.learning_rate WHEN 'weight_decay' THEN member.weight_decay
        WHEN 'epochs' THEN member.epochs END
    AND (held IS NULL OR len(list_filter(json_keys(held),
        lambda name: (to_json(member)->>('$.' || name)) IS DISTINCT FROM (held->>('$.' || name)))) = 0)
"""
"""Each model with its cells, one for each rule."""
DEFAULT_RULE = "taxonomy"
PHASES = f"""
SELECT phases.*, list(model_id ORDER BY model_id) AS models {CELLS}
WHERE $split = 'train' GROUP BY ALL ORDER BY population_id, rule, held, load, temperature
"""
"""A cell is judged by all of its models, whichever split they are in, so that it can be in none."""
MODELS = f"""
SELECT model_id, split_of.family, models.origin, models.population, models.architecture, models.task,
    {DATASET.replace("dataset,", "models.dataset,")} AS dataset, models.parameters,
    member.* EXCLUDE (model_id), models.method,
    start.parent_id AS initial_state, parents.parents,
    population.classes, population.input_shape, population.split_seed,
    models.train_loss, models.train_accuracy, models.validation_accuracy, models.test_accuracy,
    cell.phase, cell.phase_probability, models.created_at
FROM split_of JOIN models USING (model_id)
LEFT JOIN member USING (model_id) LEFT JOIN population ON population.population_id = models.population_id
LEFT JOIN (
    SELECT child_id, min(parent_id) AS parent_id FROM lineage WHERE relation = 'initialised-from' GROUP BY ALL
) AS start ON start.child_id = model_id
LEFT JOIN (
    SELECT child_id, list(parent_id ORDER BY parent_id) AS parents
    FROM lineage WHERE relation <> 'initialised-from' GROUP BY ALL
) AS parents ON parents.child_id = model_id
LEFT JOIN (SELECT model_id, any_value(phases.phase) AS phase, any_value(phases.probability) AS phase_probability
    {CELLS} WHERE rule = '{DEFAULT_RULE}' GROUP BY model_id) AS cell USING (model_id)
WHERE split = $split ORDER BY population_id, width, batch_size, model_id
"""  # noqa: S608 - our queries
POPULATIONS = f"""
SELECT population_id, name, {RECIPE} AS recipe, recipe_sha256, architecture, {DATASET} AS dataset,
    dataset_sha256, classes, input_shape, split_seed, members, state, device, software, created_at
FROM population SEMI JOIN (FROM member SEMI JOIN split_of USING (model_id)) USING (population_id)
WHERE $split = 'train' ORDER BY population_id
"""  # noqa: S608 - our queries
TRAINING = """
SELECT training.* FROM training JOIN split_of USING (model_id) WHERE split_of.split = $split
ORDER BY model_id, training.split, metric, epoch
"""
MEASUREMENTS = """
SELECT measurement.* REPLACE (settings::VARCHAR AS settings) FROM measurement JOIN split_of USING (model_id)
WHERE split_of.split = $split ORDER BY model_id, metric, measurement.split, epoch, measured_at
"""
PAIRS = """
SELECT pair.* REPLACE (pair.settings::VARCHAR AS settings)
FROM pair_measurement AS pair
JOIN split_of AS first ON first.model_id = first_id JOIN split_of AS second ON second.model_id = second_id
WHERE CASE WHEN 'test' IN (first.split, second.split) THEN 'test'
    WHEN 'validation' IN (first.split, second.split) THEN 'validation' ELSE 'train' END = $split
ORDER BY first_id, second_id, metric, pair.split, measured_at
"""
QUERIES = {
    "models": MODELS,
    "training": TRAINING,
    "measurements": MEASUREMENTS,
    "pairs": PAIRS,
    "phases": PHASES,
    "populations": POPULATIONS,
}


@dataclass(frozen=True)
class Table:
    """A configuration of a published dataset and how its rows are found."""

    config: str
    query: str


def tables(reading: Reading) -> list[Table]:
    """The configurations that this lake can fill, as queries with the parameter `split`."""
    return [Table(config, query) for config, query in QUERIES.items()]


def count_rows(lake: Lake, splits: pl.DataFrame) -> dict[tuple[str, str], int]:
    """How many rows each configuration has in each split, where it has any; nothing is written."""
    with lake.read() as reading:
        reading.register(SPLIT_OF, splits)
        counts = {
            (table.config, split): reading.sql(f"SELECT count(*) AS n FROM ({table.query})", split=split)["n"].item()  # noqa: S608 - our queries
            for table in tables(reading)
            for split in SPLITS
        }
    return {key: count for key, count in counts.items() if count}


def write_tables(lake: Lake, splits: pl.DataFrame, folder: Path, counts: Mapping[tuple[str, str], int]) -> list[Path]:
    """Write every configuration as `folder/config/split-0.parquet`; all of them see the lake at the same moment."""
    with lake.read() as reading:
        reading.register(SPLIT_OF, splits)
        return [
            path
            for table in tables(reading)
            for split in SPLITS
            for path in _write(reading, table, split, folder, rows_together(counts.get((table.config, split), 0)))
        ]


def _write(reading: Reading, table: Table, split: str, folder: Path, group: int) -> list[Path]:
    query = scrubbed(reading, table.query, split=split)
    return reading.write_parquet(query, folder / table.config, split, "1GB", group, split=split)


def rows_together(rows: int, share: int = 10) -> int:
    """How many rows of a table lie together, so that one of them can be had for few bytes.

    Who takes one row reads the footer, which has an entry a group, and one group: the sum is least where a group has a
    multiple of the square root of all rows. `share` is that multiple: the larger, the more the columns are compressed.
    """
    return max(2048, share * isqrt(rows))


MEANINGS = """
SELECT column_name, comment FROM duckdb_columns()
WHERE comment IS NOT NULL AND NOT internal AND table_name IN ('models', 'model', 'member', 'population')
ORDER BY list_position(['population', 'model', 'member', 'models'], table_name)
"""
OWN = {
    "family": "Models of one family are in one split; its name is that of its first model.",
    "initial_state": "Fingerprint of its initial weights; equal for models that started alike.",
    "parents": "Models that it was fine-tuned from or made of.",
    "phase": "Phase of its cell in the grid of load and temperature, by the rule `taxonomy`.",
    "phase_probability": "Share of the bootstrap's draws over seeds and pairs that have this phase.",
}


def meanings(lake: Lake) -> dict[str, str]:
    """What the columns of the configuration `models` mean."""
    return {**dict(lake.sql(MEANINGS).iter_rows()), **OWN}
