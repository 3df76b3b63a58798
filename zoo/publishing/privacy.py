"""What never leaves a lake: e-mail addresses, folders of this machine, and cards' texts unless they are meant."""

from schemas import Reading

REMOVED = "[e-mail removed]"
EMAIL = (
    r"[A-Za-z0-9._%+-]+(?:@|\s*[\[({<]\s*(?:at|AT)\s*[\])}>]\s*)"
    r"[A-Za-z0-9-]+(?:(?:\.|\s*[\[({<]\s*(?:dot|DOT)\s*[\])}>]\s*)[A-Za-z0-9-]+)*"
    r"(?:\.|\s*[\[({<]\s*(?:dot|DOT)\s*[\])}>]\s*)[A-Za-z]{2,}"
)
"""An address, also one that is written ada (at) example (dot) org."""
CARDS = {
    "card": {"text": "NULL::VARCHAR", "metadata": "NULL::JSON"},
    "card_section": {"heading": "NULL::VARCHAR", "evidence": "NULL::VARCHAR"},
    "statement": {"evidence": "NULL::VARCHAR"},
    "evaluation": {"evidence": "NULL::VARCHAR"},
}
"""Columns that quote model cards and pages of hubs."""
PLACES = {
    "model": {"location": "NULL::VARCHAR"},
    "crawl": {
        "source": "CASE WHEN source LIKE 'http%' THEN source END",
        "query": "CASE WHEN source LIKE 'http%' THEN query END",
    },
    "failure": {
        "subject": "CASE WHEN NOT starts_with(subject, '/') THEN subject END",
        "reason": "CASE WHEN hub NOT IN ('local', 'snapshot') OR NOT contains(reason, '/') THEN reason END",
    },
}
"""Columns that name folders of this machine."""


def hide(reading: Reading, with_cards: bool) -> None:
    """Let all queries of a reading, and the views that they use, see a lake without these."""
    for table, columns in (PLACES if with_cards else PLACES | CARDS).items():
        reading.hide(table, columns)


def scrubbed(reading: Reading, query: str, **parameters: object) -> str:
    """The same query without e-mail addresses in any text, list or structure of its result."""
    described = reading.sql(f"SELECT column_name, column_type FROM (DESCRIBE {query})", **parameters)  # noqa: S608 - it only reads
    replaced = [
        f'{expression} AS "{name}"'
        for name, kind in described.rows()
        if (expression := _without_emails('"' + name.replace('"', '""') + '"', kind)) is not None
    ]
    return f"SELECT * REPLACE ({', '.join(replaced)}) FROM ({query})" if replaced else query  # noqa: S608 - as above


def _without_emails(column: str, kind: str) -> str | None:
    pattern = EMAIL.replace("'", "''")
    if kind in ("VARCHAR", "JSON"):
        return f"regexp_replace({column}::VARCHAR, '{pattern}', '{REMOVED}', 'g')"
    if kind == "VARCHAR[]":
        return f"list_transform({column}, lambda each: regexp_replace(each, '{pattern}', '{REMOVED}', 'g'))"
    if "VARCHAR" in kind or "JSON" in kind:
        return f"regexp_replace(to_json({column})::VARCHAR, '{pattern}', '{REMOVED}', 'g')"
    return None
