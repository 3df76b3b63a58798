"""Which checkpoints of which models are published."""

import polars as pl

from schemas import Lake, UsageError
from zoo.locate import selection
from zoo.mistakes import expected_one_of

POPULATION = "SELECT model_id FROM member WHERE population_id = $population_id AND state IS DISTINCT FROM 'failed'"
NAMED = "SELECT population_id, name FROM population WHERE $name IN (population_id, name) ORDER BY population_id"
CHECKPOINTS = """
SELECT model_id, epoch, final, shard, row, shard_sha256 FROM checkpoint WHERE model_id IN (SELECT unnest($ids))
"""


def choose(lake: Lake, what: str) -> pl.DataFrame:
    """Find what a population's name or a query means: a row a checkpoint, with the place of its weights in the lake.

    Args:
        lake: Where it lies.
        what: Name or population_id of a population; or a query that returns `model_id`, with `epoch` where not all
            checkpoints of a model are meant (NULL: the final one).

    Returns:
        Columns model_id, epoch, final, shard, row, shard_sha256.

    Raises:
        UsageError: There is no such population, the query selects nothing, or a model without weights in this lake.
    """
    selected = selection(lake, _query(lake, what), {})
    ids = selected["model_id"].unique(maintain_order=True).to_list()
    known = lake.sql(CHECKPOINTS, ids=ids)
    _check_known(ids, known)
    if "epoch" not in selected.columns:
        return known
    wanted = selected.select("model_id", pl.col("epoch").cast(pl.Int32)).unique()
    at_epoch = known.join(wanted.drop_nulls("epoch"), on=["model_id", "epoch"], how="semi")
    final = known.filter("final").join(wanted.filter(pl.col("epoch").is_null()), on="model_id", how="semi")
    _check_epochs(wanted.drop_nulls("epoch"), known)
    return pl.concat([at_epoch, final]).unique(["model_id", "epoch"], maintain_order=True)


def _query(lake: Lake, what: str) -> str:
    named = lake.sql(NAMED, name=what).rows()
    if len(named) == 1:
        return POPULATION.replace("$population_id", f"'{named[0][0].replace(chr(39), chr(39) * 2)}'")
    if named:
        ids = ", ".join(population_id for population_id, _ in named)
        raise UsageError(f"{len(named)} populations are called {what}; name one of them: {ids}")
    if len(what.split()) > 1:
        return what
    names = lake.sql("SELECT name FROM population")["name"].to_list()
    choices = expected_one_of(what, names) if names else "this lake has none, build one first"
    raise UsageError(f"{what!r} is no population of this lake: {choices}; or give a query that returns model_id")


def _check_known(ids: list[str], known: pl.DataFrame) -> None:
    without = set(ids) - set(known["model_id"])
    if without:
        raise UsageError(
            f"{min(without)} ({len(without)} of {len(ids)} models) has no weights in this lake; expected models that "
            "were trained or made here, e.g. with WHERE origin IN ('trained', 'made')"
        )


def _check_epochs(wanted: pl.DataFrame, known: pl.DataFrame) -> None:
    absent = wanted.join(known, on=["model_id", "epoch"], how="anti")
    if absent.height:
        model_id, epoch = absent.row(0)
        have = ", ".join(map(str, sorted(known.filter(model_id=model_id)["epoch"])))
        raise UsageError(
            f"{model_id} has no checkpoint of epoch {epoch}: expected one of {have}, or NULL for the final"
        )
