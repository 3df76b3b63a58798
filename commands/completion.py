"""What a name that is being typed in the shell can become: commands, tables, columns of a table, words of SQL."""

import re
from collections.abc import Callable

from schemas import Lake

WORDS = """
SELECT 'table' AS kind, table_name AS word, '' AS owner FROM duckdb_tables()
UNION ALL SELECT 'table', view_name, '' FROM duckdb_views() WHERE NOT internal
UNION ALL SELECT 'table', function_name, '' FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal
UNION ALL SELECT 'column', column_name, table_name FROM duckdb_columns() WHERE NOT internal
UNION ALL SELECT 'keyword', upper(keyword_name), '' FROM duckdb_keywords()
"""
A_TABLE = ("the name of a table",)
OF_A_TABLE = re.compile(r"(\w+)\.$")
AFTER_FROM = re.compile(r"\b(from|join|describe)\s+$", re.IGNORECASE)


class Completion:
    """Finds words of a lake, and of the shell.

    Args:
        lake: Whose names are read, once.
        commands: The shell's commands, each with the words that may stand behind it, or `A_TABLE`.
    """

    def __init__(self, lake: Lake, commands: dict[str, tuple[str, ...]]) -> None:
        self._rows = lake.sql(WORDS).rows()
        self._commands = commands
        self._found: list[str] = []

    def of(self, before: str, text: str) -> list[str]:
        """Every word that `text` can become, behind what stands `before` it in the line, sorted.

        Only tables come behind FROM, only its columns behind the name of a table and a dot, if there are any.
        """
        begun = text.lower()
        return sorted({word for word in self._fitting(before) if word.lower().startswith(begun)})

    def _fitting(self, before: str) -> list[str]:
        command, _, rest = before.lstrip().partition(" ")
        if command == ".":
            return [name.removeprefix(".") for name in self._commands]
        if command in self._commands and not rest.strip():
            allowed = self._commands[command]
            return self._of_kind("table") if allowed == A_TABLE else list(allowed)
        if owner := OF_A_TABLE.search(before):
            columns = [word for kind, word, table in self._rows if kind == "column" and table == owner[1].lower()]
            if columns:
                return columns
        return self._of_kind("table") if AFTER_FROM.search(before) else self._of_kind("table", "column", "keyword")

    def _of_kind(self, *kinds: str) -> list[str]:
        return [word for kind, word, _ in self._rows if kind in kinds]

    def asked_by(self, before: Callable[[], str]) -> Callable[[str, int], str | None]:
        """What readline asks for: the word number `state` that a text can become, behind what `before` gives."""

        def word(text: str, state: int) -> str | None:
            if state == 0:
                self._found = self.of(before(), text)
            return self._found[state] if state < len(self._found) else None

        return word
