"""Asking a lake one query after the other, with what was asked before and with completion."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from commands.formats import Format, chosen_format, deliver
from commands.statements import statements
from commands.terminal import say
from schemas import Lake, UsageError, WeightlakeError

PROMPT, MORE = "weightlake> ", "       ...> "
KEPT_LINES = 2_000
DELIMITERS = " \t\n(),;=<>+-*/'\"."
WORDS = """
SELECT DISTINCT word FROM (
    SELECT table_name AS word FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal
    UNION ALL SELECT column_name FROM duckdb_columns() WHERE NOT internal
    UNION ALL SELECT function_name FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal
    UNION ALL SELECT upper(keyword_name) FROM duckdb_keywords()
) ORDER BY ALL
"""
TABLES = """
SELECT table_name AS name, comment FROM duckdb_tables() WHERE schema_name = 'main'
UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal AND schema_name = 'main' ORDER BY name
"""
COLUMNS = """
SELECT column_name AS "column", data_type AS type, comment FROM duckdb_columns()
WHERE table_name = $name AND schema_name = 'main' ORDER BY column_index
"""
HELP = """\
A query ends with a semicolon and may have several lines. Besides SQL:
  .tables          tables and views, and what they hold
  .schema NAME     columns of one of them, and what they mean
  .format FORM     table, csv or json: how answers are shown from now on
  .to FILE         write the next answer into a .csv, .json or .parquet file
  .help            this text
  .quit            leave, as the end of the input does (Ctrl-D)
Tab completes names; the arrow keys bring back what was asked before."""


class Shell:
    """Reads queries from stdin until its end and answers each; a mistake ends the query, not the shell.

    Args:
        lake: The lake that is asked; it is open for the moment of each query only.
        form: How answers are shown.
        rows: Rows of a table at most, 0 for all.
    """

    def __init__(self, lake: Lake, form: Format, rows: int) -> None:
        self._lake, self._form, self._rows = lake, form, rows
        self._to: Path | None = None
        self._words = lake.sql(WORDS)["word"].to_list()

    def run(self) -> None:
        """Ask and answer until the input ends or `.quit` comes."""
        models = self._lake.sql("SELECT count(*) AS n FROM model").item()
        say(f"{self._lake.path}: {models:,} models; .help tells what there is besides SQL, .quit leaves")
        with suppress(EOFError), _line_editing(self._complete):
            while True:
                try:
                    self._answer(self._typed())
                except KeyboardInterrupt:
                    say("")
                except WeightlakeError as error:
                    say(str(error))

    def _typed(self) -> str:
        """Read lines until a query is whole; a line that begins with a dot stands for itself."""
        lines = [input(PROMPT)]
        while not _whole(lines):
            lines.append(input(MORE))
        return "\n".join(lines)

    def _answer(self, text: str) -> None:
        if text.lstrip().startswith("."):
            name, _, argument = text.strip().partition(" ")
            self._command(name, argument.strip())
            return
        for statement in statements(text):
            answer = self._lake.sql(statement)
            if self._to is None:
                deliver(answer, self._form, None, self._rows)
                continue
            deliver(answer, chosen_format(None, False, self._to), self._to)
            say(f"{answer.height:,} rows written to {self._to}")
            self._to = None

    def _command(self, name: str, argument: str) -> None:
        match name:
            case ".quit" | ".exit":
                raise EOFError
            case ".tables":
                deliver(self._lake.sql(TABLES), self._form, None)
            case ".schema":
                self._describe(argument)
            case ".format":
                self._change_form(argument)
            case ".to":
                chosen_format(None, False, Path(argument))
                self._to = Path(argument)
            case ".help":
                say(HELP)
            case _:
                raise UsageError(f"{name} is no command; .help lists them")

    def _describe(self, name: str) -> None:
        columns = self._lake.sql(COLUMNS, name=name)
        if columns.is_empty():
            raise UsageError(f"there is no table or view {name!r}; .tables lists them")
        deliver(columns, self._form, None)

    def _change_form(self, name: str) -> None:
        if name not in (Format.TABLE, Format.CSV, Format.JSON):
            raise UsageError(f"{name!r} is no form to show answers in: table, csv or json")
        self._form = Format(name)

    def _complete(self, text: str, state: int) -> str | None:
        """What readline asks for: the word number `state` that `text` can become."""
        found = [word for word in self._words if word.lower().startswith(text.lower())]
        return found[state] if state < len(found) else None


def _whole(lines: list[str]) -> bool:
    first = lines[0].strip()
    return not first or first.startswith(".") or lines[-1].rstrip().endswith(";")


@contextmanager
def _line_editing(complete: Callable[[str, int], str | None]) -> Iterator[None]:
    """Give `input` a history that is kept and completion, where Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    kept = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "weightlake" / "history"
    readline.set_completer(complete)
    readline.set_completer_delims(DELIMITERS)
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(KEPT_LINES)
    with suppress(OSError):
        readline.read_history_file(kept)
    try:
        yield
    finally:
        with suppress(OSError):  # a home that cannot be written has no history
            kept.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(kept)
            kept.chmod(0o600)
