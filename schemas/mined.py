"""Merges what a miner found into the lake, inside one transaction of the caller's.

The tables have no keys, so a row is brought up to date by deleting and inserting it. Nothing is searched for the
sake of models that the lake does not know yet.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from schemas.changes import note_changes, note_new_parents, remember_parents
from schemas.transaction import Rows, Transaction

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
MAY_BE_WITHDRAWN = {  # column, and the one that tells whether an answer speaks of it
    "task": "task",
    "library": "library",
    "license": "license",
    "license_spdx": "license",
}
NEVER_WITHDRAWN = (
    *("hub_id", "sha", "location", "architecture", "model_type", "parameters", "stored_bytes", "files"),
    *("downloads", "downloads_all_time", "likes", "trending_score", "gated", "private", "disabled"),
    *("created_at", "modified_at"),
)
ROUNDED = "parameters_rounded_to"  # which only some hubs say
OF_HEADERS = ("tensor", "weights", "weights_dtype", "weights_metadata")
SAID_ALREADY = {  # when a row needs no place because of one that is there
    "tag": "new.model_id = old.model_id AND new.tag = old.tag"
    " AND (new.kind = old.kind OR (new.kind = 'plain' AND old.kind = 'language'))",
    "link": "new.model_id = old.model_id AND new.kind = old.kind AND new.target = old.target",
    "lineage": "new.child_id = old.child_id AND new.parent_id = old.parent_id"
    " AND (new.relation = old.relation OR new.relation = 'base')",
    "evaluation": "new.model_id = old.model_id AND new.source = old.source",
}
SAID_BETTER = {  # when a row loses its place to a new one
    "tag": "new.model_id = old.model_id AND new.tag = old.tag AND new.kind = 'language' AND old.kind = 'plain'",
    "link": "new.model_id = old.model_id AND new.kind = old.kind AND new.target = old.target"
    " AND new.source = 'tags' AND old.source IN ('card', 'text')",
    "lineage": "new.child_id = old.child_id AND new.parent_id = old.parent_id"
    " AND ((new.relation <> 'base' AND old.relation = 'base')"
    " OR (new.relation = old.relation AND new.source = 'tags' AND old.source = 'card'))",
}


def merge_models(transaction: Transaction, tables: Mapping[str, Rows]) -> None:
    """Bring models and their lists up to date.

    `tables` holds frames, or queries, by table: `model` (one row a model; its columns of `SAYS` tell which lists the
    answer speaks of, and only those replace what was known), `tag`, `link`, `lineage`, `file`, `evaluation`,
    `observation`, `revision` and `failure`. A model's first_seen is kept, and so is what the new answer does not
    mention; a model that was marked as deleted is alive again. Changed licences, tasks and rights leave rows in
    `event`. Cards and tensors are not touched; what a stored card says holds until an answer speaks of the card at
    another commit.

    There is one row for each (model_id, tag, kind), (model_id, kind, target) of a link, and (child_id, parent_id,
    relation). Tags outrank a card; a stated relation outranks `base`, and kind language outranks plain.
    """
    some_known = False
    if "model" in tables:
        transaction.register("staged_model", tables["model"])
        transaction.sql("""
            CREATE OR REPLACE TEMP TABLE known_model AS
            SELECT model.*, says_tags, says_card, says_spaces, says_files, staged.says_tags AND NOT EXISTS (
                FROM card WHERE card.model_id = model.model_id AND (card.sha = staged.sha OR NOT staged.says_card)
            ) AS withdraws
            FROM model JOIN staged_model AS staged USING (model_id)
        """)
        some_known = bool(transaction.sql("SELECT count(*) AS models FROM known_model")["models"][0])
        if some_known:
            note_changes(transaction)
            remember_parents(transaction)
            tables = _without_known_files(transaction, tables)
            _forget_lists(transaction)
            transaction.sql("DELETE FROM model WHERE model_id IN (SELECT model_id FROM known_model)")
        _insert_models(transaction)
    if "revision" in tables:
        _insert_new(transaction, "revision", tables["revision"], "new.model_id = old.model_id AND new.sha = old.sha")
    for table in ("tag", "link", "lineage"):
        if table in tables and some_known:
            insert_said(transaction, table, tables[table])
        elif table in tables:
            transaction.append(table, tables[table])
    if some_known:
        note_new_parents(transaction)
    for table in ("file", "evaluation", "observation", "failure"):
        if table in tables:
            transaction.append(table, tables[table])


def _without_known_files(transaction: Transaction, tables: Mapping[str, Rows]) -> Mapping[str, Rows]:
    """Leave out the files of models that are still at the commit whose files are known, with sizes perhaps.

    An answer that gives sizes itself is not left out: it may see more of them than the one before.
    """
    none = pl.DataFrame(schema={"model_id": pl.String(), "bytes": pl.Int64()})
    transaction.register("staged_file", tables.get("file", none))
    transaction.sql("""
        CREATE OR REPLACE TEMP TABLE settled AS
        SELECT model_id FROM known_model AS known JOIN staged_model AS staged USING (model_id)
        WHERE known.sha = staged.sha AND known.says_files
            AND model_id IN (SELECT model_id FROM file)
            AND model_id NOT IN (SELECT model_id FROM staged_file WHERE bytes IS NOT NULL)
    """)
    return {**tables, "file": "SELECT staged_file.* FROM staged_file ANTI JOIN settled USING (model_id)"}


def _forget_lists(transaction: Transaction) -> None:
    for table, key, says, source in LISTS:
        spoken = f"SELECT model_id FROM known_model WHERE {says}"  # noqa: S608 - our names
        if table == "file":
            chosen = "model_id NOT IN (SELECT model_id FROM settled)"
        elif table == "tag":
            chosen = "kind <> 'language' OR model_id IN (SELECT model_id FROM known_model WHERE withdraws)"
        else:
            chosen = f"source = '{source}'" if source else "true"
        transaction.sql(f"DELETE FROM {table} WHERE {key} IN ({spoken}) AND ({chosen})")  # noqa: S608 - our names


def _insert_models(transaction: Transaction) -> None:
    kept = [f"coalesce(staged.{column}, known.{column}) AS {column}" for column in NEVER_WITHDRAWN]
    kept += [
        f"if(known.withdraws OR staged.{telling} IS NOT NULL, staged.{column}, known.{column}) AS {column}"
        for column, telling in MAY_BE_WITHDRAWN.items()
    ]
    if ROUNDED in transaction.sql("SELECT * FROM staged_model LIMIT 0").columns:
        kept.append(f"if(staged.parameters IS NULL, known.{ROUNDED}, staged.{ROUNDED}) AS {ROUNDED}")
    transaction.sql(f"""
        INSERT INTO model BY NAME
        SELECT staged.* EXCLUDE ({", ".join(SAYS)}) REPLACE ({", ".join(kept)}),
            coalesce(known.first_seen, staged.last_seen) AS first_seen
        FROM staged_model AS staged LEFT JOIN known_model AS known USING (model_id)
    """)  # noqa: S608 - our own columns


def insert_said(transaction: Transaction, table: str, rows: Rows) -> None:
    """Insert what is not said already, in the place of rows that say it worse."""
    transaction.register("staged_rows", rows)
    if table in SAID_BETTER:
        worse = f"USING staged_rows AS new WHERE {SAID_BETTER[table]}"
        transaction.sql(f"DELETE FROM {table} AS old {worse}")  # noqa: S608 - our names
    _insert_new(transaction, table, rows, SAID_ALREADY[table])


def _insert_new(transaction: Transaction, table: str, rows: Rows, same: str) -> None:
    transaction.register("staged_rows", rows)
    inserted = f"SELECT new.* FROM staged_rows AS new ANTI JOIN {table} AS old ON {same}"  # noqa: S608 - our names
    transaction.sql(f"INSERT INTO {table} BY NAME {inserted}")


def merge_tensors(transaction: Transaction, asked: Sequence[str], tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace what headers say of the models `asked` for: `tensor`, `weights`, `weights_dtype`, `weights_metadata`.

    `parameters` fills the models' number where there is none, or one that is rounded.
    """
    transaction.register("asked", pl.DataFrame({"model_id": asked}, schema={"model_id": pl.String()}))
    known = transaction.sql("SELECT DISTINCT model_id FROM weights SEMI JOIN asked USING (model_id)")
    if not known.is_empty():
        forget(transaction, OF_HEADERS, known["model_id"].to_list())
    for table in (*OF_HEADERS, "failure"):
        if table in tables:
            transaction.append(table, tables[table])
    if "parameters" in tables:
        transaction.register("counted", tables["parameters"])
        transaction.sql("""
            UPDATE model SET parameters = counted.parameters, parameters_rounded_to = NULL FROM counted
            WHERE model.model_id = counted.model_id
                AND (model.parameters IS NULL OR model.parameters_rounded_to IS NOT NULL)
        """)


def link_neighbours(transaction: Transaction, hub: str, named: str) -> None:
    """Let the models of `hub` have parents of their own hub, where cards, which name no hub, were read as `named`'s."""
    transaction.sql(
        """
        UPDATE lineage SET parent_id = model.model_id FROM model
        WHERE starts_with(child_id, $hub || ':') AND starts_with(parent_id, $named || ':')
            AND model.hub = $hub AND model.deleted_at IS NULL
            AND model.model_id = $hub || ':' || substr(parent_id, length($named) + 2) AND model.model_id <> child_id
        """,
        hub=hub,
        named=named,
    )


def mark_deleted(transaction: Transaction, hub: str, source: str, crawl_id: str, unseen: Sequence[str] = ()) -> None:
    """Mark the models of a hub that runs over the same source have seen, and the run `crawl_id` has not, as deleted.

    Models whose location is one of the folders `unseen`, or inside of one, are left as they are.
    """
    transaction.register("unseen", pl.DataFrame({"place": list(unseen)}, schema={"place": pl.String()}))
    transaction.sql(
        """
        UPDATE model SET deleted_at = (SELECT started_at FROM crawl WHERE crawl.crawl_id = $crawl_id)
        WHERE hub = $hub AND deleted_at IS NULL AND crawl_id <> $crawl_id
            AND crawl_id IN (SELECT crawl.crawl_id FROM crawl WHERE hub = $hub AND source = $source)
            AND NOT EXISTS (FROM unseen WHERE location = place OR starts_with(location, place || '/'))
        """,
        hub=hub,
        source=source,
        crawl_id=crawl_id,
    )


def forget(transaction: Transaction, tables: Sequence[str], model_ids: Sequence[str]) -> None:
    """Delete the rows of models from tables that name them by model_id."""
    transaction.register("asked", pl.DataFrame({"model_id": model_ids}, schema={"model_id": pl.String()}))
    for table in tables:
        transaction.sql(f"DELETE FROM {table} WHERE model_id IN (SELECT model_id FROM asked)")  # noqa: S608 - our names
