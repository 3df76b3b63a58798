"""What never leaves a lake: e-mail addresses, folders of this machine, and cards' texts unless they are meant."""

import re
from functools import reduce

from schemas import Reading
from zoo.publishing.emails import REMOVED, scrub, without_emails

CUT = r"\S*@\S*$"
"""What an address may be of which a quotation has only the beginning."""
PATH = r"""(^|[\s'"(])/[\w.@-]+(?:/[^\s'"):,;]*)+"""
CARDS = {
    "card": {"text": "NULL::VARCHAR", "metadata": "NULL::JSON"},
    "card_section": {"heading": "NULL::VARCHAR", "evidence": "NULL::VARCHAR"},
    "statement": {"evidence": "NULL::VARCHAR"},
    "evaluation": {"evidence": "NULL::VARCHAR"},
}
"""Columns that quote model cards and pages of hubs."""
FILED = "folder|npz|parquet|text"
"""Kinds of datasets whose names say where they lie."""
_WITHIN = r'(?:[^"\\]|\\.)*/'
PLACED = (rf'("dataset":\s*"(?:{FILED}):){_WITHIN}', rf"(@dataset=(?:{FILED}):){_WITHIN}", r'("parent":\s*")[^"@]*/')
"""What of a recipe names folders, behind what stays of it."""
DATASET = rf"regexp_replace(dataset, '^({FILED}):.*/', '\1:')"
"""SQL of the column `dataset` without the folder in which it lies."""
RECIPE = reduce(lambda text, placed: rf"regexp_replace({text}, '{placed}', '\1', 'g')", PLACED, "recipe::VARCHAR")
"""SQL of the column `recipe` without the folders that it names."""
_PATHLESS = rf"""regexp_replace(reason, '{PATH.replace("'", "''")}', '\1[folder removed]', 'g')"""
PLACES = {
    "model": {"location": "NULL::VARCHAR"},
    "crawl": {
        "source": "CASE WHEN source LIKE 'http%' THEN source END",
        "query": "CASE WHEN source LIKE 'http%' THEN query END",
    },
    "failure": {
        "subject": "CASE WHEN NOT starts_with(subject, '/') THEN subject END",
        "reason": f"CASE WHEN hub NOT IN ('local', 'snapshot') OR NOT contains(reason, '/') THEN {_PATHLESS} END",
    },
    "member": {"reason": _PATHLESS},
    "population": {"recipe": f"({RECIPE})::JSON", "dataset": DATASET},
    "example_measurement": {"dataset": DATASET},
}
"""Columns that name folders of this machine."""
QUOTED = {
    table: {"evidence": f"regexp_replace(evidence, '{CUT}', '{REMOVED}')"}
    for table, columns in CARDS.items()
    if "evidence" in columns
}
"""Columns whose texts may end within an address."""


def hide(reading: Reading, with_cards: bool) -> None:
    """Let all queries of a reading, and the views that they use, see a lake without these."""
    for table, columns in (PLACES | (QUOTED if with_cards else CARDS)).items():
        reading.hide(table, columns)


def quoting(reading: Reading) -> set[str]:
    """Names of the tables that quote cards, and of the views that show such a column of one of them."""
    shown = ", ".join(f"'{column}'" for columns in CARDS.values() for column in columns)
    views = reading.sql(f"""
        SELECT view_name, sql FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal AND NOT temporary
            AND view_name IN (SELECT table_name FROM duckdb_columns() WHERE column_name IN ({shown}))
    """)  # noqa: S608 - our own names
    found = set(CARDS)
    while new := {name for name, sql in views.rows() if found & set(re.findall(r"\w+", sql))} - found:
        found |= new
    return found


def scrubbed(reading: Reading, query: str, **parameters: object) -> str:
    """The same query without e-mail addresses in any text, list, structure or column's name of its result."""
    described = reading.sql(f"SELECT column_name, column_type FROM (DESCRIBE {query})", **parameters)  # noqa: S608 - it only reads
    columns = [f"{_without_emails(_named(name), kind)} AS {_named(scrub(name))}" for name, kind in described.rows()]
    return f"SELECT {', '.join(columns)} FROM ({query})"  # noqa: S608 - as above


def without_folders(text: str) -> str:
    """A text without paths of this machine."""
    return re.sub(PATH, r"\1[folder removed]", text)


def placeless_dataset(name: str) -> str:
    """A dataset's name without the folder in which it lies, as `DATASET` gives it.

    >>> placeless_dataset("npz:/home/ada/images.npz"), placeless_dataset("digits")
    ('npz:images.npz', 'digits')
    """
    return re.sub(rf"^({FILED}):.*/", r"\1:", name)


def placeless_recipe(recipe: str) -> str:
    """A recipe, as JSON, without the folders that it names, as `RECIPE` gives it.

    >>> placeless_recipe('{"original": {"dataset": "npz:/home/ada/images.npz"}}')
    '{"original": {"dataset": "npz:images.npz"}}'
    """
    for placed in PLACED:
        recipe = re.sub(placed, r"\1", recipe)
    return recipe


def _named(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _without_emails(column: str, kind: str) -> str:
    if kind in ("VARCHAR", "JSON") or kind.startswith("ENUM"):
        return without_emails(f"{column}::VARCHAR")
    if kind == "VARCHAR[]":
        return f"list_transform({column}, lambda each: {without_emails('each')})"
    if any(part in kind for part in ("VARCHAR", "JSON", "ENUM", "@")):
        return without_emails(f"to_json({column})::VARCHAR")
    return column
