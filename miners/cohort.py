"""Which models exactly: those of a file or a query, or a sample of the lake drawn in proportion to its strata."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from miners.metadata import is_repository
from miners.targets import OF_THIS_HUB
from schemas.errors import OutsideError, UsageError
from schemas.files import write_whole
from schemas.lake import Lake

STRATUM = {
    "task": "coalesce(task, '')",
    "library": "coalesce(library, '')",
    "popularity": "coalesce(length(downloads::VARCHAR), 0)",  # the decade of the downloads
}


def named(lake: Lake, ids: str, hub: str) -> list[str]:
    """Give the repositories (owner/name) of a file with one id a line, or of a query that returns model_id.

    Raises UsageError if there are none, or one of them is no repository's name.
    """
    place = Path(ids)
    try:
        lines = place.read_text(encoding="utf-8").splitlines() if _is_file(place) else _selected(lake, ids)
    except UnicodeDecodeError as error:
        raise UsageError(f"{ids} is not a text file in UTF-8; expected one id a line") from error
    except OSError as error:
        raise OutsideError(f"cannot read {ids}: {error.strerror}") from error
    names = [line.strip().removeprefix(f"{hub}:") for line in lines if line.strip()]
    for name in names:
        if not is_repository(name):
            raise UsageError(f"{name[:100]!r} is no model of {hub}; expected owner/name")
    if not names:
        raise UsageError(f"{ids!r} names no model; expected a file with one id a line, or a query that returns some")
    return list(dict.fromkeys(names))


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except (OSError, ValueError):  # a query may be longer than a name can be
        return False


def _selected(lake: Lake, query: str) -> list[str]:
    if not query.strip().lower().startswith(("select", "from", "with", "values", "(")):
        raise UsageError(f"{query!r} is neither a file nor a query; expected one id a line, or SELECT model_id ...")
    rows = lake.sql(query)
    if "model_id" not in rows.columns:
        raise UsageError(f"the query returns {', '.join(rows.columns)}; expected a column model_id")
    return [str(name) for name in rows["model_id"].drop_nulls()]


def sample(lake: Lake, count: int, stratify: Sequence[str], seed: int, hub: str, source: str) -> list[str]:
    """Draw `count` of the hub's models but for those seen at another endpoint, each stratum by its share.

    The shares are rounded by largest remainders (Hamilton). Who is drawn depends on the seed and on who is there, not
    on the order of rows: within a stratum those with the smallest MD5 of seed and name.

    Raises UsageError if there are fewer models than that.
    """
    stratum = " || '\x1f' || ".join(f"{STRATUM[name]}::VARCHAR" for name in stratify) or "''"
    models = lake.sql(
        f"""
        SELECT model_id, {stratum} AS stratum,
            row_number() OVER (PARTITION BY stratum ORDER BY md5($seed || ':' || model_id), model_id) AS place
        FROM model WHERE hub = $hub AND deleted_at IS NULL AND {OF_THIS_HUB}
        """,  # noqa: S608 - our own columns
        seed=str(seed),
        hub=hub,
        source=source,
    )
    if models.height < count:
        raise UsageError(f"the lake has {models.height} models of {source}, fewer than the sample of {count}")
    sizes = models.group_by("stratum").len("models")
    drawn = models.join(_shares(sizes, count), on="stratum").filter(pl.col("place") <= pl.col("share"))
    return [name.partition(":")[2] for name in drawn.sort("model_id")["model_id"]]


def _shares(sizes: pl.DataFrame, count: int) -> pl.DataFrame:
    """Give each stratum its part of `count`: whole parts first, then one more by the largest remainders."""
    total = int(sizes["models"].sum())
    exact = pl.col("models").cast(pl.Int64) * count
    parts = sizes.with_columns(share=exact // total, rest=exact % total).sort(
        ["rest", "stratum"], descending=[True, False]
    )
    missing = count - int(parts["share"].sum())
    more = (pl.int_range(pl.len()) < missing).cast(pl.Int64)
    return parts.select("stratum", share=pl.col("share") + more)


def remember(place: Path, names: Sequence[str]) -> None:
    """Write the models of a run to a file, whole or not at all, so that it can go on with the same ones."""
    write_whole(place, "".join(f"{name}\n" for name in names).encode())


def remembered(place: Path) -> list[str] | None:
    """Read what `remember` wrote; None where it never came to that."""
    return place.read_text(encoding="utf-8").splitlines() if place.exists() else None
