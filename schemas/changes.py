"""Notes as events what a hub's new answers change about models that the lake knows, inside the caller's transaction.

The caller's temporary table `known_model` holds the rows of `model` that are about to change, `staged_model` the new
ones.
"""

from schemas.transaction import Transaction

WATCHED = ("license", "gated", "private", "disabled", "task")  # changes of these columns are events
ALWAYS_SO = "('gated', 'private', 'disabled')"  # of these a hub always says something: NULL is "not known yet"
PARENTS = """
    SELECT child_id AS model_id, string_agg(DISTINCT parent_id, ', ' ORDER BY parent_id) AS parents
    FROM lineage WHERE source IN ('tags', 'card') AND child_id IN (SELECT model_id FROM known_model) GROUP BY child_id
"""


def note_changes(transaction: Transaction) -> None:
    """Note columns with another value, and models that were marked as deleted and are listed again."""
    kinds, before, after = (
        ", ".join(pattern.format(column) for column in WATCHED)
        for pattern in ("'{0}'", "known.{0}::VARCHAR", "staged.{0}::VARCHAR")
    )
    transaction.sql(f"""
        INSERT INTO event BY NAME
        SELECT * EXCLUDE withdraws FROM (
            SELECT model_id, withdraws, staged.last_seen AS observed_at, staged.crawl_id,
                unnest([{kinds}]) AS kind, unnest([{before}]) AS before, unnest([{after}]) AS after
            FROM known_model AS known JOIN staged_model AS staged USING (model_id)
        ) WHERE before IS DISTINCT FROM after AND (after IS NOT NULL OR (withdraws AND kind IN ('license', 'task')))
            AND (before IS NOT NULL OR kind NOT IN {ALWAYS_SO})
    """)  # noqa: S608 - our own columns
    transaction.sql("""
        INSERT INTO event BY NAME
        SELECT model_id, 'restored' AS kind, staged.last_seen AS observed_at, staged.crawl_id
        FROM known_model AS known JOIN staged_model AS staged USING (model_id) WHERE known.deleted_at IS NOT NULL
    """)


def remember_parents(transaction: Transaction) -> None:
    """Keep the parents that the known models have by now, for `note_new_parents`."""
    transaction.sql(f"CREATE OR REPLACE TEMP TABLE known_parents AS {PARENTS}")


def note_new_parents(transaction: Transaction) -> None:
    """Note the known models whose parents have become others since `remember_parents`."""
    transaction.sql(f"""
        INSERT INTO event BY NAME
        SELECT model_id, 'base_model' AS kind, staged.last_seen AS observed_at, staged.crawl_id,
            old.parents AS before, new.parents AS after
        FROM known_model JOIN staged_model AS staged USING (model_id)
        LEFT JOIN known_parents AS old USING (model_id) LEFT JOIN ({PARENTS}) AS new USING (model_id)
        WHERE old.parents IS DISTINCT FROM new.parents
    """)  # noqa: S608 - our own text
