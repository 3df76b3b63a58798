"""Merges a snapshot, what a hub was like at one time, into the lake, whichever snapshots came before.

A snapshot that is newer than what is known of a model is an answer like any other (`merge_models`). An older one adds
what was observed then, and fills what nobody has said since; it never replaces a newer value.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from schemas.mined import NEVER_WITHDRAWN, merge_models
from schemas.transaction import Rows, Transaction

LISTS = {"tag": "model_id", "link": "model_id", "lineage": "child_id", "file": "model_id", "evaluation": "model_id"}


def merge_snapshot(transaction: Transaction, tables: Mapping[str, Rows], observed_at: datetime) -> None:
    """Bring a snapshot of the time `observed_at` into the lake; the same snapshot once more changes nothing.

    `tables` is what `merge_models` takes; `last_seen` of its models is `observed_at`. Whatever the order in which
    snapshots come, a model ends with the same scalars, times and observations; its lists are those of the newest
    snapshot. Events are noted between a snapshot and what was known before it, if that is older.
    """
    for table, rows in tables.items():
        transaction.register(f"snapshot_{table}", rows)
    merged: dict[str, Rows] = {table: f"SELECT * FROM snapshot_{table}" for table in tables}  # noqa: S608 - our names
    merged |= _unseen(transaction, tables, observed_at)
    has_later = "model" in tables and _note_later(transaction, observed_at)
    if has_later:
        merged |= {
            table: _not_later(table, key) for table, key in {"model": "model_id", **LISTS}.items() if table in tables
        }
        _fill_the_past(transaction, tables, observed_at)
    has_gone = "model" in tables and _note_gone(transaction, observed_at)
    merge_models(transaction, merged)
    if has_gone:
        transaction.sql(
            "UPDATE model SET deleted_at = gone.deleted_at FROM gone_model AS gone WHERE model.model_id = gone.model_id"
        )


def _unseen(transaction: Transaction, tables: Mapping[str, Rows], observed_at: datetime) -> dict[str, Rows]:
    """Leave out what an earlier run over the same snapshot has stored."""
    at = observed_at.astimezone(UTC).isoformat()
    found: dict[str, Rows] = {}
    if "observation" in tables and _any(transaction, f"observation WHERE observed_at = TIMESTAMPTZ '{at}'"):
        same = f"old.observed_at = TIMESTAMPTZ '{at}' AND old.model_id = new.model_id"
        found["observation"] = f"SELECT new.* FROM snapshot_observation AS new ANTI JOIN observation AS old ON {same}"  # noqa: S608
    if "failure" in tables:
        same = f"old.happened_at = TIMESTAMPTZ '{at}' AND " + " AND ".join(
            f"old.{name} = new.{name}" for name in ("hub", "subject", "stage", "reason")
        )
        found["failure"] = f"SELECT new.* FROM snapshot_failure AS new ANTI JOIN failure AS old ON {same}"  # noqa: S608
    return found


def _any(transaction: Transaction, rows: str) -> bool:
    return not transaction.sql(f"SELECT 1 FROM {rows} LIMIT 1").is_empty()  # noqa: S608 - our names


def _note_later(transaction: Transaction, observed_at: datetime) -> bool:
    """Note the models of the snapshot that were seen after it, and which of their lists nobody has spoken of."""
    transaction.sql(
        """
        CREATE OR REPLACE TEMP TABLE later_model AS
        SELECT model_id, model.files IS NULL AS lacks_files
        FROM model SEMI JOIN snapshot_model USING (model_id) WHERE model.last_seen > $observed_at
        """,
        observed_at=observed_at,
    )
    return _any(transaction, "later_model")


def _not_later(table: str, key: str) -> str:
    return f"SELECT new.* FROM snapshot_{table} AS new ANTI JOIN later_model ON later_model.model_id = new.{key}"  # noqa: S608


def _fill_the_past(transaction: Transaction, tables: Mapping[str, Rows], observed_at: datetime) -> None:
    if "file" in tables:
        lacking = "(SELECT model_id FROM later_model WHERE lacks_files)"
        transaction.append("file", f"SELECT * FROM snapshot_file WHERE model_id IN {lacking}")  # noqa: S608
    filled = ", ".join(f"{column} = coalesce(model.{column}, past.{column})" for column in NEVER_WITHDRAWN)
    transaction.sql(
        f"""
        UPDATE model SET {filled}, first_seen = least(model.first_seen, $observed_at)
        FROM snapshot_model AS past SEMI JOIN later_model USING (model_id) WHERE model.model_id = past.model_id
        """,  # noqa: S608 - our own columns
        observed_at=observed_at,
    )


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
