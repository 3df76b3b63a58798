"""Merges what a hub was asked about single models into the lake, inside one transaction of the caller's."""

from collections.abc import Mapping, Sequence

import polars as pl

from schemas.transaction import Transaction


def note_fetched(transaction: Transaction, fetched: pl.DataFrame) -> None:
    """Remember what was asked: one row for each model and kind of thing, the newest."""
    transaction.register("staged_fetched", fetched)
    transaction.sql("""
        DELETE FROM fetched USING staged_fetched AS staged
        WHERE fetched.model_id = staged.model_id AND fetched.what = staged.what
    """)
    transaction.append("fetched", fetched)


def merge_configs(transaction: Transaction, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace the configurations of the models `asked` for; one without loses its old one.

    A model is of the class and family that its configuration names, whether the hub's listing repeats them or not.
    """
    _replace(transaction, "config", asked, tables)
    transaction.sql(f"""
        UPDATE model SET architecture = coalesce(said.architecture, model.architecture),
            model_type = coalesce(said.model_type, model.model_type)
        FROM (
            SELECT model_id, {_named("$.architectures[0]")} AS architecture, {_named("$.model_type")} AS model_type
            FROM config JOIN asked USING (model_id)
        ) AS said
        WHERE said.model_id = model.model_id AND coalesce(said.architecture, said.model_type) IS NOT NULL
    """)  # noqa: S608 - our names


def _named(path: str) -> str:
    """The text at a place of a configuration; NULL for what is no text, or an empty one."""
    return f"if(json_type(config, '{path}') = 'VARCHAR', nullif(trim(config ->> '{path}'), ''), NULL)"


def merge_discussions(transaction: Transaction, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace the discussions of the models `asked` for."""
    _replace(transaction, "discussion", asked, tables)


def merge_files(transaction: Transaction, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace the files of the models `asked` for by those with sizes and hashes."""
    _replace(transaction, "file", asked, tables)


def merge_commits(transaction: Transaction, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Add the commits of the models `asked` for; those that were known already are told in more detail now.

    Commits that the hub does not name any more, because a branch was rewritten, stay.
    """
    if "revision" in tables:
        transaction.register("staged_revision", tables["revision"])
        transaction.sql("""
            DELETE FROM revision USING staged_revision AS staged
            WHERE revision.model_id = staged.model_id AND revision.sha = staged.sha
        """)
        transaction.append("revision", tables["revision"])
    transaction.append("failure", tables.get("failure", pl.DataFrame()))


def _replace(transaction: Transaction, table: str, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    transaction.register("asked", pl.DataFrame({"model_id": asked}, schema={"model_id": pl.String()}))
    transaction.sql(f"DELETE FROM {table} WHERE model_id IN (SELECT model_id FROM asked)")  # noqa: S608 - our names
    for each in (table, "failure"):
        transaction.append(each, tables.get(each, pl.DataFrame()))
