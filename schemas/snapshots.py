"""Merges a snapshot, what a hub was like at one time, into the lake, whichever snapshots came before.

A snapshot that is newer than what is known of a model is an answer like any other (`merge_models`). An older one adds
what was observed then, and fills what nobody has said since; it never replaces a newer value.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from schemas.mined import NEVER_WITHDRAWN, merge_models
from schemas.transaction import Rows, Transaction

KEYS = {"model": "model_id", "tag": "model_id", "link": "model_id", "lineage": "child_id", "file": "model_id"} | {
    "evaluation": "model_id"
}
OBSERVED = (
    *("sha", "downloads", "downloads_all_time", "likes", "trending_score", "gated", "private", "disabled"),
    *("stored_bytes", "modified_at"),
)
UNOBSERVED = tuple(column for column in NEVER_WITHDRAWN if column not in OBSERVED)
OF_A_FAILURE = ("hub", "subject", "stage", "reason")


def merge_snapshot(transaction: Transaction, tables: Mapping[str, Rows], observed_at: datetime) -> None:
    """Bring a snapshot of the time `observed_at` into the lake; the same snapshot once more changes nothing.

    `tables` is what `merge_models` takes; `last_seen` of its models is `observed_at`. Whatever the order in which
    snapshots come, a model ends with the newest known value of what `observation` holds, and with all observations;
    its lists, task, library and licence are those of the newest snapshot. What is in `model` alone (architecture,
    parameters, ...) is filled by the first snapshot that knows it. Events are noted between a snapshot and what is
    known from before it.
    """
    for table, rows in tables.items():
        transaction.register(f"snapshot_{table}", rows)
    new: dict[str, Rows] = {table: f"SELECT * FROM snapshot_{table}" for table in tables}  # noqa: S608 - our names
    new |= _unseen(transaction, tables, observed_at)
    if "model" not in tables:
        merge_models(transaction, new)
        return
    has_later = _note_later(transaction, observed_at)
    has_gone = _note_gone(transaction, observed_at)
    if has_later:
        new |= {table: _without_later(table, key) for table, key in KEYS.items() if table in tables}
    merge_models(transaction, new)
    if has_later:
        _fill_the_past(transaction, "file" in tables, observed_at)
    if has_gone:
        transaction.sql("""
            UPDATE model SET deleted_at = gone.deleted_at FROM gone_model AS gone WHERE model.model_id = gone.model_id
        """)


def _unseen(transaction: Transaction, tables: Mapping[str, Rows], observed_at: datetime) -> dict[str, Rows]:
    """Leave out what an earlier run over the same snapshot has stored."""
    at = f"TIMESTAMPTZ '{observed_at.astimezone(UTC).isoformat()}'"
    found: dict[str, Rows] = {}
    if "observation" in tables and _any(transaction, f"observation WHERE observed_at = {at}"):
        same = f"old.observed_at = {at} AND old.model_id = new.model_id"
        found["observation"] = f"SELECT new.* FROM snapshot_observation AS new ANTI JOIN observation AS old ON {same}"  # noqa: S608
    if "failure" in tables:
        same = " AND ".join(f"old.{name} = new.{name}" for name in OF_A_FAILURE)
        found["failure"] = f"""
            SELECT new.* FROM snapshot_failure AS new ANTI JOIN failure AS old ON old.happened_at = {at} AND {same}
        """  # noqa: S608 - our own names
    return found


def _any(transaction: Transaction, rows: str) -> bool:
    return not transaction.sql(f"SELECT 1 FROM {rows} LIMIT 1").is_empty()  # noqa: S608 - our names


def _note_later(transaction: Transaction, observed_at: datetime) -> bool:
    """Note the models of the snapshot that were seen after it, and whether anybody has spoken of their files."""
    transaction.sql(
        """
        CREATE OR REPLACE TEMP TABLE later_model AS
        SELECT model_id, model.files IS NULL AS lacks_files
        FROM model SEMI JOIN snapshot_model USING (model_id) WHERE model.last_seen > $observed_at
        """,
        observed_at=observed_at,
    )
    return _any(transaction, "later_model")


def _note_gone(transaction: Transaction, observed_at: datetime) -> bool:
    """Note the models that were found to be gone after the snapshot, which cannot bring them back."""
    transaction.sql(
        """
        CREATE OR REPLACE TEMP TABLE gone_model AS
        SELECT model_id, deleted_at FROM model SEMI JOIN snapshot_model USING (model_id)
        WHERE deleted_at > $observed_at
        """,
        observed_at=observed_at,
    )
    return _any(transaction, "gone_model")


def _without_later(table: str, key: str) -> str:
    return f"SELECT new.* FROM snapshot_{table} AS new ANTI JOIN later_model ON later_model.model_id = new.{key}"  # noqa: S608


def _fill_the_past(transaction: Transaction, has_files: bool, observed_at: datetime) -> None:
    if has_files:
        lacking = "(SELECT model_id FROM later_model WHERE lacks_files)"
        transaction.append("file", f"SELECT * FROM snapshot_file WHERE model_id IN {lacking}")  # noqa: S608 - our names
    filled = ", ".join(f"{column} = coalesce(model.{column}, past.{column})" for column in UNOBSERVED)
    transaction.sql(
        f"""
        UPDATE model SET {filled}, first_seen = least(model.first_seen, $observed_at)
        FROM (FROM snapshot_model SEMI JOIN later_model USING (model_id)) AS past
        WHERE model.model_id = past.model_id
        """,  # noqa: S608 - our own columns
        observed_at=observed_at,
    )
    _take_newest_observed(transaction)


def _take_newest_observed(transaction: Transaction) -> None:
    """Bring columns up to date about which the newest observation says nothing, and the snapshot does."""
    says = " OR ".join(f"(newest.{column} IS NULL AND past.{column} IS NOT NULL)" for column in OBSERVED)
    transaction.sql(f"""
        CREATE OR REPLACE TEMP TABLE lacking_model AS
        SELECT model_id FROM snapshot_model AS past SEMI JOIN later_model USING (model_id)
        JOIN model USING (model_id)
        LEFT JOIN observation AS newest
            ON newest.model_id = model.model_id AND newest.observed_at = model.last_seen
        WHERE {says}
    """)  # noqa: S608 - our own columns
    if _any(transaction, "lacking_model"):
        latest = ", ".join(f"arg_max({column}, observed_at) AS {column}" for column in OBSERVED)
        taken = ", ".join(f"{column} = coalesce(latest.{column}, model.{column})" for column in OBSERVED)
        transaction.sql(f"""
            UPDATE model SET {taken} FROM (
                SELECT model_id, {latest} FROM observation SEMI JOIN lacking_model USING (model_id) GROUP BY model_id
            ) AS latest WHERE model.model_id = latest.model_id
        """)  # noqa: S608 - our own columns
