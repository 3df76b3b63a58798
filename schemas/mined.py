"""Merges what a miner found into the lake, inside one transaction of the caller's.

The tables have no keys, so a row is brought up to date by deleting and inserting it. Nothing is searched for the
sake of models that the lake does not know yet.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from schemas.transaction import Transaction

SAYS = ("says_tags", "says_card", "says_spaces", "says_files")
LISTS = (  # table, its column that names the model, which answers replace its rows, and the source of those rows
    ("tag", "model_id", "says_tags", None),
    ("link", "model_id", "says_tags", "tags"),
    ("link", "model_id", "says_card", "card"),
    ("link", "model_id", "says_spaces", "listing"),
    ("lineage", "child_id", "says_tags", "tags"),
    ("lineage", "child_id", "says_card", "card"),
    ("file", "model_id", "says_files", None),
    ("evaluation", "model_id", "says_card", "model-index"),
)
MAY_BE_WITHDRAWN = ("task", "library", "license", "license_spdx")
NEVER_WITHDRAWN = (
    *("sha", "location", "architecture", "model_type", "parameters", "stored_bytes", "files"),
    *("downloads", "downloads_all_time", "likes", "trending_score", "gated", "private", "disabled"),
    *("created_at", "modified_at"),
)
WATCHED = ("license", "gated", "private", "disabled", "task")  # changes of these are events
CARD_LISTS = {  # the column that names the model, the source of the rows, and what makes two of them say the same
    "link": ("model_id", "card", "model_id, kind, target"),
    "lineage": ("child_id", "card", "child_id, parent_id"),
    "evaluation": ("model_id", "model-index", "model_id"),
}


def merge_models(transaction: Transaction, tables: Mapping[str, pl.DataFrame]) -> None:
    """Bring models and their lists up to date.

    `tables` holds frames by table: `model` (one row a model; its columns of `SAYS` tell which lists the answer speaks
    of, and only those replace what was known), `tag`, `link`, `lineage`, `file`, `evaluation`, `observation`,
    `revision` and `failure`. A model's first_seen is kept, and so is what the new answer does not mention; a model
    that was marked as deleted is alive again. Changed licences, tasks and rights leave rows in `event`. Cards and
    tensors are not touched.
    """
    transaction.sql(
        "SET disabled_compression_methods = 'fsst'"
    )  # trying it costs a fifth of a commit and gains nothing
    if "model" in tables:
        transaction.register("staged_model", tables["model"])
        transaction.sql(
            "CREATE OR REPLACE TEMP TABLE known_model AS FROM model SEMI JOIN staged_model USING (model_id)"
        )
        if transaction.sql("SELECT count(*) AS models FROM known_model")["models"][0]:
            _note_events(transaction)
            _forget_lists(transaction)
            transaction.sql("DELETE FROM model WHERE model_id IN (SELECT model_id FROM known_model)")
        _insert_models(transaction)
    if "revision" in tables:
        _insert_new(transaction, "revision", tables["revision"], "model_id, sha")
    for table in ("tag", "link", "lineage", "file", "evaluation", "observation", "failure"):
        if table in tables:
            transaction.append(table, tables[table])


def _note_events(transaction: Transaction) -> None:
    kinds, before, after = (
        ", ".join(pattern.format(column) for column in WATCHED)
        for pattern in ("'{0}'", "known.{0}::VARCHAR", "staged.{0}::VARCHAR")
    )
    transaction.sql(f"""
        INSERT INTO event BY NAME
        SELECT * EXCLUDE says_tags FROM (
            SELECT model_id, says_tags, staged.last_seen AS observed_at, staged.crawl_id,
                unnest([{kinds}]) AS kind, unnest([{before}]) AS before, unnest([{after}]) AS after
            FROM known_model AS known JOIN staged_model AS staged USING (model_id)
        ) WHERE before IS DISTINCT FROM after AND (after IS NOT NULL OR (says_tags AND kind IN ('license', 'task')))
    """)  # noqa: S608 - our own columns


def _forget_lists(transaction: Transaction) -> None:
    for table, key, says, source in LISTS:
        spoken = f"SELECT model_id FROM known_model JOIN staged_model AS staged USING (model_id) WHERE staged.{says}"  # noqa: S608 - our names
        of_source = f"AND source = '{source}'" if source else ""
        transaction.sql(f"DELETE FROM {table} WHERE {key} IN ({spoken}) {of_source}")  # noqa: S608 - our names


def _insert_models(transaction: Transaction) -> None:
    kept = [f"coalesce(staged.{column}, known.{column}) AS {column}" for column in NEVER_WITHDRAWN]
    kept += [f"if(staged.says_tags, staged.{column}, known.{column}) AS {column}" for column in MAY_BE_WITHDRAWN]
    transaction.sql(f"""
        INSERT INTO model BY NAME
        SELECT staged.* EXCLUDE ({", ".join(SAYS)}) REPLACE ({", ".join(kept)}),
            coalesce(known.first_seen, staged.last_seen) AS first_seen
        FROM staged_model AS staged LEFT JOIN known_model AS known USING (model_id)
    """)  # noqa: S608 - our own columns


def _insert_new(transaction: Transaction, table: str, frame: pl.DataFrame, key: str) -> None:
    transaction.register("staged_rows", frame)
    transaction.sql(f"INSERT INTO {table} BY NAME SELECT * FROM staged_rows ANTI JOIN {table} USING ({key})")  # noqa: S608 - our names


def merge_cards(transaction: Transaction, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace the cards of the models `asked` for by `card` and `card_section`; one without loses its old one."""
    _forget(transaction, ("card", "card_section"), asked)
    for table in ("card", "card_section", "failure"):
        if table in tables:
            transaction.append(table, tables[table])


def merge_card_lists(transaction: Transaction, tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace what the models of the frame `card` were known to say by the frames `link`, `lineage` and `evaluation`.

    A link or a parent that the hub's tags name already stays as they name it.
    """
    if "card" not in tables:
        return
    transaction.register("staged_card", tables["card"].select("model_id"))
    for table, (key, source, same) in CARD_LISTS.items():
        carded = f"{key} IN (SELECT model_id FROM staged_card)"  # noqa: S608 - our names
        transaction.sql(f"DELETE FROM {table} WHERE source = '{source}' AND {carded}")  # noqa: S608 - our names
        if table in tables:
            _insert_new(transaction, table, tables[table], same)


def merge_tensors(transaction: Transaction, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace the tensors of the models `asked` for; `parameters` fills the models' number where there is none."""
    _forget(transaction, ("tensor",), asked)
    for table in ("tensor", "failure"):
        if table in tables:
            transaction.append(table, tables[table])
    if "parameters" in tables:
        transaction.register("counted", tables["parameters"])
        transaction.sql("""
            UPDATE model SET parameters = counted.parameters FROM counted
            WHERE model.model_id = counted.model_id AND model.parameters IS NULL
        """)


def mark_deleted(transaction: Transaction, hub: str, source: str, crawl_id: str) -> None:
    """Mark the models of a hub that runs over the same source have seen, and the run `crawl_id` has not, as deleted."""
    transaction.sql(
        """
        UPDATE model SET deleted_at = (SELECT started_at FROM crawl WHERE crawl.crawl_id = $crawl_id)
        WHERE hub = $hub AND deleted_at IS NULL AND crawl_id <> $crawl_id
            AND crawl_id IN (SELECT crawl.crawl_id FROM crawl WHERE hub = $hub AND source = $source)
        """,
        hub=hub,
        source=source,
        crawl_id=crawl_id,
    )


def _forget(transaction: Transaction, tables: Sequence[str], model_ids: Sequence[str]) -> None:
    transaction.register("asked", pl.DataFrame({"model_id": model_ids}, schema={"model_id": pl.String()}))
    for table in tables:
        transaction.sql(f"DELETE FROM {table} WHERE model_id IN (SELECT model_id FROM asked)")  # noqa: S608 - our names
