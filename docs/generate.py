"""Writes the generated pages: schema.md from the lake's comments, cli.md from the help, api.md from docstrings.

python docs/generate.py            write them
python docs/generate.py --check    fail if they are not what would be written
"""

import sys
import tempfile
from pathlib import Path

import typer
from typer.main import get_command

from docs.api import python_reference
from schemas import Lake, open_lake
from weightlake import app

DOCS = Path(__file__).parent
TABLES = """
SELECT schema_name AS space, table_name AS name, comment, 'table' AS kind, table_oid AS position
FROM duckdb_tables() WHERE NOT internal
UNION ALL
SELECT schema_name, view_name, comment, 'view', view_oid FROM duckdb_views() WHERE NOT internal
ORDER BY space, kind DESC, position
"""
COLUMNS = """
SELECT column_name AS name, data_type AS type, comment FROM duckdb_columns()
WHERE schema_name = $space AND table_name = $table AND NOT internal ORDER BY column_index
"""
MACROS = """
SELECT function_name AS name, parameters, comment FROM duckdb_functions()
WHERE function_type = 'table_macro' AND NOT internal ORDER BY name
"""
INHERITED = """
SELECT duckdb_columns.comment FROM duckdb_columns() JOIN duckdb_tables() USING (schema_name, table_name)
WHERE column_name = $column AND duckdb_columns.comment IS NOT NULL
ORDER BY table_name NOT IN ('model', 'member', 'card', 'population'), table_name NOT IN ('model'), table_name LIMIT 1
"""


def schema() -> str:
    """The lake's tables, views and macros as Markdown."""
    with tempfile.TemporaryDirectory() as folder, open_lake(Path(folder) / "lake") as lake:
        parts = [_relation(lake, **each) for each in lake.sql(TABLES).drop("position").rows(named=True)]
        parts += [_macro(**each) for each in lake.sql(MACROS).rows(named=True)]
    head = "# The lake's tables and views\n\nGenerated from the comments in the database; do not edit.\n\n"
    return head + "\n".join(parts)


def _macro(name: str, parameters: list[str], comment: str) -> str:
    return f"## table macro `{name}({', '.join(parameters)})`\n\n{comment}\n"


def _relation(lake: Lake, space: str, name: str, kind: str, comment: str) -> str:
    rows = lake.sql(COLUMNS, space=space, table=name).rows(named=True)
    name = name if space == "main" else f"{space}.{name}"
    lines = [f"| `{row['name']}` | {row['type']} | {row['comment'] or _inherited(lake, row['name'])} |" for row in rows]
    return f"## {kind} `{name}`\n\n{comment}\n\n| column | type | meaning |\n|---|---|---|\n" + "\n".join(lines) + "\n"


def _inherited(lake: Lake, column: str) -> str:
    """A view's column without a comment of its own means what it means in the table that it comes from."""
    comment: str = lake.sql(INHERITED, column=column)["comment"][0]
    return comment


def command_line() -> str:
    """Every command's help as Markdown."""
    parts = ["# The command line\n\nGenerated from `weightlake --help`; do not edit.\n"]
    _commands(get_command(app), typer.Context(get_command(app), info_name="weightlake", terminal_width=100), parts)
    return "\n".join(parts)


def _commands(command: object, context: typer.Context, parts: list[str]) -> None:
    parts.append(f"## {context.command_path}\n\n```text\n{context.command.get_help(context).strip()}\n```\n")
    for name, inner in getattr(command, "commands", {}).items():
        _commands(inner, typer.Context(inner, info_name=name, parent=context, terminal_width=100), parts)


def main() -> int:
    """Write or check the generated pages; 1 if one is out of date."""
    stale = []
    pages = {"schema.md": schema(), "cli.md": command_line(), "api.md": python_reference()}
    for path, text in ((DOCS / name, text) for name, text in pages.items()):
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if stale:
        print(f"out of date: {', '.join(stale)}; run: python docs/generate.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
