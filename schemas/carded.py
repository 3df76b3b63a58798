"""Merges what model cards say into the lake, inside one transaction of the caller's."""

from collections.abc import Mapping, Sequence

import polars as pl

from schemas.mined import forget, insert_said
from schemas.transaction import Transaction

CARD_TABLES = ("card", "card_section", "card_topic", "documentation", "footprint")
OF_FILES = "eval_results"  # the source of results that stand in files of their own
CARD_LISTS = {  # the column that names the model, and the source of the rows that a card's are
    "link": ("model_id", "card"),
    "lineage": ("child_id", "card"),
    "evaluation": ("model_id", "model-index"),
}


def merge_cards(transaction: Transaction, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace the cards of the models `asked` for, and all that is known from their text; one without loses its own.

    `tables` holds the frames of `CARD_TABLES`, of `link`, whose rows of source `text` are the cards', and `failure`.
    """
    forget(transaction, CARD_TABLES, asked)
    transaction.sql("DELETE FROM link WHERE source = 'text' AND model_id IN (SELECT model_id FROM asked)")
    for table in (*CARD_TABLES, "failure"):
        if table in tables:
            transaction.append(table, tables[table])
    if "link" in tables:
        insert_said(transaction, "link", tables["link"].filter(source="text"))


def merge_card_statements(transaction: Transaction, tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace what the cards of the models of the frame `card` were known to say by what they say now.

    The frames are `tag` (languages, which are only added), `link`, `lineage`, `evaluation` and `stated` (model_id,
    license, license_spdx, task, library), which fills what the listing has left open. What the hub's tags name
    already stays as they name it.
    """
    if "card" not in tables:
        return
    transaction.register("staged_card", tables["card"].select("model_id"))
    for table, (key, source) in CARD_LISTS.items():
        carded = f"{key} IN (SELECT model_id FROM staged_card)"  # noqa: S608 - our names
        transaction.sql(f"DELETE FROM {table} WHERE source = '{source}' AND {carded}")  # noqa: S608 - our names
    for table in ("tag", "link", "lineage"):
        if table in tables:
            insert_said(transaction, table, tables[table])
    if "evaluation" in tables:
        insert_said(transaction, "evaluation", tables["evaluation"].filter(source="model-index"))
    if "stated" in tables:
        _fill_models(transaction, tables["stated"])


def merge_results(transaction: Transaction, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace the results that files of the models `asked` for publish; `evaluation` has those among its rows."""
    transaction.register("asked", pl.DataFrame({"model_id": asked}, schema={"model_id": pl.String()}))
    transaction.sql(
        "DELETE FROM evaluation WHERE source = $source AND model_id IN (SELECT model_id FROM asked)", source=OF_FILES
    )
    if "evaluation" in tables:
        transaction.append("evaluation", tables["evaluation"].filter(source=OF_FILES))


def _fill_models(transaction: Transaction, stated: pl.DataFrame) -> None:
    transaction.register("stated", stated)
    transaction.sql("""
        UPDATE model SET task = coalesce(model.task, stated.task), library = coalesce(model.library, stated.library)
        FROM stated WHERE model.model_id = stated.model_id
            AND ((model.task IS NULL AND stated.task IS NOT NULL)
                OR (model.library IS NULL AND stated.library IS NOT NULL))
    """)
    transaction.sql("""
        UPDATE model SET license = stated.license, license_spdx = stated.license_spdx
        FROM stated WHERE model.model_id = stated.model_id AND model.license IS NULL AND stated.license IS NOT NULL
    """)
