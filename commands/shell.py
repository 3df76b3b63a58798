"""Asking a lake one query after the other, with what was asked before and with completion."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from commands.completion import A_TABLE, Completion
from commands.formats import Format, chosen_format, deliver, say_written
from commands.statements import statements
from commands.terminal import say
from schemas import Lake, UsageError, WeightlakeError

PROMPT, MORE = "weightlake> ", "       ...> "
KEPT_LINES = 2_000
DELIMITERS = " \t\n(),;=<>+-*/'\"."
TABLES = """
SELECT table_name AS name, comment FROM duckdb_tables() WHERE schema_name = 'main'
UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE NOT internal AND schema_name = 'main' ORDER BY name
"""
COLUMNS = """
SELECT column_name AS "column", data_type AS type, comment FROM duckdb_columns()
WHERE table_name = $name AND schema_name = 'main' ORDER BY column_index
"""
SHOWN = (Format.TABLE, Format.CSV, Format.JSON)
COMMANDS = {".tables": (), ".schema": A_TABLE, ".format": SHOWN, ".to": (), ".help": (), ".quit": (), ".exit": ()}
"""Each with what completes what stands behind it."""
BARE = {"help": ".help", "quit": ".quit", "exit": ".quit"}
"""What people type who do not know of the dot."""
HELP = """\
A query ends with a semicolon and may have several lines. Besides SQL:
  .tables          tables and views, and what they hold
  .schema NAME     columns of one of them, and what they mean
  .format FORM     table, csv or json: how answers are shown from now on
  .to FILE         write the next answer into a .csv, .json or .parquet file
  .help            this text
  .quit            leave, as the end of the input does (Ctrl-D)
A command may stand in the middle of a query, too. Tab completes names; the arrow keys bring back what was asked before,
and Ctrl-C drops what was typed."""


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
        self._completion = Completion(lake, COMMANDS)

    def run(self) -> None:
        """Ask and answer until the input ends or `.quit` comes."""
        models = self._lake.sql("SELECT count(*) AS n FROM model").item()
        say(f"{self._lake.path}: {models:,} models; .help tells what there is besides SQL, .quit leaves")
        with suppress(EOFError), _line_editing(self._completion):
            while True:
                try:
                    self._answer(self._typed())
                except KeyboardInterrupt:
                    say("")
                except WeightlakeError as error:
                    say(str(error))

    def _typed(self) -> str:
        """Read lines until a query is whole; a command stands for itself, and in a query for the moment."""
        lines: list[str] = []
        while not is_whole("\n".join(lines)):
            line = input(MORE if lines else PROMPT)
            command = _command_in(line, begins=not lines)
            if command and not lines:
                return command
            if command:
                self._obey_within(command)
            elif line.strip():
                lines.append(line)
            elif lines:
                say("the query goes on: it ends with a semicolon; Ctrl-C drops it")
            else:
                return ""
        return "\n".join(lines)

    def _obey_within(self, command: str) -> None:
        """Do what a command asks for without losing the query that it stands in."""
        try:
            self._answer(command)
        except WeightlakeError as error:
            say(str(error))

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
            say_written(answer, self._to)
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
                self._write_next(argument)
            case ".help":
                say(HELP)
            case _:
                raise UsageError(f"{name} is no command; .help lists them")

    def _write_next(self, name: str) -> None:
        if not name:
            raise UsageError(".to needs the name of a file: .to answer.csv, .json or .parquet")
        chosen_format(None, False, Path(name))
        self._to = Path(name)
        say(f"the next answer goes to {name}")

    def _describe(self, name: str) -> None:
        if not name:
            raise UsageError(".schema needs the name of a table or view; .tables lists them")
        columns = self._lake.sql(COLUMNS, name=name)
        if columns.is_empty():
            raise UsageError(f"there is no table or view {name!r}; .tables lists them")
        deliver(columns, self._form, None)

    def _change_form(self, name: str) -> None:
        if name == Format.PARQUET:
            raise UsageError("Parquet is for files: .to FILE.parquet writes the next answer into one")
        if name not in SHOWN:
            raise UsageError(f"{name!r} is no form to show answers in: table, csv or json")
        self._form = Format(name)


def _command_in(line: str, begins: bool) -> str | None:
    """The command that a line is, if it is one; in the middle of a query only one that there is."""
    text = line.strip()
    bare = text.rstrip(";").lower()
    if bare in BARE:
        return BARE[bare]
    if text.startswith(".") and (begins or text.split()[0] in COMMANDS):
        return text
    return None


def is_whole(text: str) -> bool:
    """Whether a text ends with a semicolon that is no part of a text, name or remark.

    >>> is_whole("SELECT 1; -- a remark"), is_whole("SELECT 'a;"), is_whole("SELECT 1 -- a remark;")
    (True, False, False)
    """
    tokens = [begin for begin, kind in duckdb.tokenize(text) if kind != duckdb.token_type.comment]
    return bool(tokens) and text[tokens[-1] : tokens[-1] + 1] == ";"


@contextmanager
def _line_editing(completion: Completion) -> Iterator[None]:
    """Give `input` a history that is kept and completion, where Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    kept = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "weightlake" / "history"
    readline.set_completer(completion.asked_by(lambda: readline.get_line_buffer()[: readline.get_begidx()]))
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
