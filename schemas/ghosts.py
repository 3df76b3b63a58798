"""Rows that speak of a model or population which the lake does not have, and what could bring it back."""

from collections.abc import Iterator
from pathlib import Path

from schemas.reading import Reading
from schemas.transaction import Transaction

OF_A_MODEL = {
    **dict.fromkeys(("observation", "tag", "link", "revision", "file", "tensor", "card", "card_section"), "model_id"),
    **dict.fromkeys(("evaluation", "event", "fetched", "config", "discussion", "card_topic"), "model_id"),
    **dict.fromkeys(("documentation", "footprint", "weights", "weights_dtype", "weights_metadata"), "model_id"),
    **dict.fromkeys(("statement", "identity", "same_model"), "model_id"),
    **dict.fromkeys(("member", "training", "checkpoint", "measurement", "product", "stitch"), "model_id"),
    "lineage": "child_id",
    "pair_measurement": "first_id, second_id",
}
"""The columns of each table that name models of the lake; parents of a lineage need not be in it."""
OF_A_POPULATION = ("member", "sitting", "cell_phase")
BEGUN = "population.json"
"""What a build leaves in the folder of its population; the same build registers anew all that lies there."""


def ghosts(tables: Reading | Transaction, table: str) -> list[str | None]:
    """Names of the models that a table speaks of and that are not in `model`, sorted."""
    columns = OF_A_MODEL[table].split(", ")
    named = " UNION ".join(f"SELECT {column} AS model_id FROM {table}" for column in columns)  # noqa: S608 - our names
    query = f"SELECT DISTINCT model_id FROM ({named}) ANTI JOIN model USING (model_id) ORDER BY ALL"  # noqa: S608 - our names
    return tables.sql(query)["model_id"].to_list()


def lost_populations(tables: Reading | Transaction, table: str) -> list[str | None]:
    """Names of the populations that a table speaks of and that are not in `population`, sorted."""
    query = f"SELECT DISTINCT population_id FROM {table} ANTI JOIN population USING (population_id) ORDER BY ALL"  # noqa: S608
    return tables.sql(query)["population_id"].to_list()


class Remains:
    """What lies on disk of models and populations that have no row: with it the same build or merge brings them back.

    Args:
        weights: Folder of the lake's weights.
        tables: What is asked where weights lie.
    """

    def __init__(self, weights: Path, tables: Reading | Transaction) -> None:
        self._weights = weights
        shards = tables.sql("SELECT DISTINCT model_id, shard FROM checkpoint ANTI JOIN model USING (model_id)")
        self._shards: dict[str, list[str]] = {}
        for model_id, shard in shards.drop_nulls().iter_rows():
            self._shards.setdefault(model_id, []).append(shard)

    def of_model(self, model_id: str | None) -> bool:
        """Whether its weights, or what its population was begun with, lie there."""
        if model_id is None:
            return False
        hub, _, name = model_id.partition(":")
        if hub == "zoo" and self.of_population(name.partition("/")[0]):
            return True
        return any((self._weights / shard).is_file() for shard in self._shards.get(model_id, ()))

    def of_population(self, population_id: str | None) -> bool:
        """Whether what it was begun with lies there."""
        return bool(population_id) and (self._weights / str(population_id) / BEGUN).is_file()


def found(tables: Reading, table: str, remains: Remains) -> Iterator[tuple[str, str, str]]:
    """Give the problems of one table's rows of that kind: the check, what is wrong, and an example."""
    if table in OF_A_MODEL:
        names = ghosts(tables, table)
        yield from _told(table, "model", names, [remains.of_model(name) for name in names])
    if table in OF_A_POPULATION:
        names = lost_populations(tables, table)
        yield from _told(table, "population", names, [remains.of_population(name) for name in names])


def _told(table: str, kind: str, names: list[str | None], returns: list[bool]) -> Iterator[tuple[str, str, str]]:
    ways = {
        True: "the same build or merge again brings back what is missing",
        False: "--repair deletes these rows",
    }
    for comes_back, way in ways.items():
        those = [str(name) for name, back in zip(names, returns, strict=True) if back is comes_back]
        if those:
            counted = f"1 {kind} of {table} has" if len(those) == 1 else f"{len(those):,} {kind}s of {table} have"
            yield "orphans", f"{counted} no row in {kind}; {way}", those[0]
