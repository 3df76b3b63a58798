"""`weightlake sql`: its forms of output, several statements, a pipe, and the shell in a real pseudo-terminal."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from commands.completion import Completion
from commands.shell import COMMANDS
from schemas import Lake
from tests.conftest import ROOT

pty = pytest.importorskip("pty")
NESTED = "SELECT 1 AS a, [1, 2] AS l, {'b': 'x\ny'} AS s, '\\xAA'::BLOB AS raw, NULL AS nothing"


def sql(lake: Lake, *arguments: object, typed: str = "", code: int = 0) -> tuple[bytes, str]:
    command = [sys.executable, "-m", "weightlake", "sql", "--lake", str(lake.path), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, env=environment, input=typed.encode(), capture_output=True, check=False, cwd=lake.path.parent
    )
    said = ended.stderr.decode()
    assert ended.returncode == code, said
    assert "Traceback" not in said
    return ended.stdout, said


def test_answers_come_as_csv_json_and_parquet(lake: Lake, tmp_path: Path) -> None:
    table, _ = sql(lake, NESTED, "--format", "csv")
    row = pl.read_csv(BytesIO(table)).row(0, named=True)
    assert row == {"a": 1, "l": "[1, 2]", "s": '{"b": "x\\ny"}', "raw": "aa", "nothing": None}
    (row,) = json.loads(sql(lake, NESTED, "--format", "json")[0])
    assert row == {"a": 1, "l": [1, 2], "s": {"b": "x\ny"}, "raw": "aa", "nothing": None}
    piped = pl.read_parquet(BytesIO(sql(lake, NESTED, "--format", "parquet")[0]))
    assert piped.drop("nothing").rows() == [(1, [1, 2], {"b": "x\ny"}, b"\xaa")]
    for name in ("rows.csv", "rows.json", "rows.PARQUET"):
        out, said = sql(lake, "SELECT 7 AS a, 'é' AS b", "--to", tmp_path / "new" / name)
        assert (out, f"1 row written to {tmp_path / 'new' / name}" in said) == (b"", True)
    written = tmp_path / "new"
    assert pl.read_csv(written / "rows.csv").rows() == [(7, "é")]
    assert json.loads((written / "rows.json").read_bytes()) == [{"a": 7, "b": "é"}]
    assert pl.read_parquet(written / "rows.PARQUET").rows() == [(7, "é")]


def test_every_statement_is_answered_and_a_pipe_may_bring_them(lake: Lake) -> None:
    out, _ = sql(lake, typed="SELECT 'one;' AS x; -- a remark; with a semicolon\nSELECT 'two' AS y;\n")
    assert out.index(b"one;") < out.index(b"two")
    assert b"three" in sql(lake, "SELECT 'three' AS z;")[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["SELECT 1; SELECT 2", "--json"], "json holds one answer, and these are 2 statements"),
        (["SELECT 1", "--to", "rows.txt"], "rows.txt is written as csv, json or parquet"),
        (["SELECT 1", "--to", "rows"], "rows is written as csv, json or parquet"),
        (["SELECT 1", "--format", "csv", "--json"], "--json and --format csv exclude each other"),
        (["SELEC 1; SELECT 2"], 'syntax error at or near "SELEC"'),
        ([], "the query is empty"),
        (["SELECT 1; DROP TABLE model"], "a query only reads"),
    ],
)
def test_mistakes_end_in_one_line(lake: Lake, arguments: list[str], said: str) -> None:
    message = sql(lake, *arguments, code=2)[1]
    assert said in message
    assert message.count("\n") == 1


def test_a_file_that_cannot_be_written_is_said_before_the_query(lake: Lake, tmp_path: Path) -> None:
    """The query is one that would fail, had it been asked."""
    (tmp_path / "file").touch()
    (tmp_path / "rows.csv").mkdir()
    for place, says, code in (
        (tmp_path / "file" / "x.csv", "cannot write to", 1),
        (tmp_path / "rows.csv", "is a folder", 2),
    ):
        message = sql(lake, "FROM nowhere", "--to", place, code=code)[1]
        assert (says in message, message.count("\n")) == (True, 1)


class Terminal:
    """A pseudo-terminal in which the shell runs."""

    def __init__(self, lake: Lake, home: Path) -> None:
        self.process, self._file = pty.fork()
        if not self.process:
            environment = {**os.environ, "XDG_STATE_HOME": str(home), "PYTHONPATH": str(ROOT), "TERM": "dumb"}
            arguments = [sys.executable, "-m", "weightlake", "sql", "--lake", str(lake.path)]
            os.execve(sys.executable, arguments, environment)
        self._read = ""

    def until(self, text: str, seconds: float = 60.0) -> str:
        """Read until a text comes, and give what came before it."""
        deadline = time.monotonic() + seconds
        while text not in self._read:
            assert time.monotonic() < deadline, f"{text!r} did not come after {self._read!r}"
            if select.select([self._file], [], [], 0.1)[0]:
                self._read += os.read(self._file, 2**16).decode(errors="replace")
        before, _, self._read = self._read.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def ask(self, text: str) -> str:
        """Type a line and give what is said until the next prompt."""
        self.type(f"{text}\n")
        return self.until("weightlake> ")

    def end(self) -> int:
        """Wait for the shell's end and give its exit code."""
        with suppress(OSError):  # its end closes the terminal
            while os.read(self._file, 2**16):
                pass
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


@pytest.fixture
def terminal(lake: Lake, tmp_path: Path) -> Iterator[Terminal]:
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["a:b"], "task": ["\x1b[2Jtranslation"]}))
    opened = Terminal(lake, tmp_path / "home")
    opened.until("weightlake> ")
    yield opened
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(opened.process, 9)
        os.waitpid(opened.process, 0)


def test_the_shell_answers_and_outlives_mistakes(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("SELECT model_id,\n")
    terminal.until("...> ")
    assert "a:b" in terminal.ask("task FROM model;")
    assert "nowhere" in terminal.ask("SELECT nowhere;")
    assert "is no command" in terminal.ask(".nowhere")
    assert "A model card" in terminal.ask(".tables")
    assert "The recipe's name" in terminal.ask(".schema population")
    assert "no table or view 'nowhere'" in terminal.ask(".schema nowhere")
    terminal.ask(".format csv")
    shown = terminal.ask("SELECT task, 1 AS n FROM model;")
    assert "translation,1" in shown
    assert "\x1b[2J" not in shown
    file = tmp_path / "rows.parquet"
    assert "no name" not in terminal.ask(f".to {file}")
    assert "1 row written" in terminal.ask("SELECT 3 AS z;")
    assert pl.read_parquet(file).rows() == [(3,)]
    terminal.type("SELECT 'half\x03")
    terminal.until("weightlake> ")
    terminal.type(".quit\n")
    assert terminal.end() == 0


def test_commands_in_the_middle_of_a_query_are_done_and_the_query_goes_on(terminal: Terminal) -> None:
    def more(line: str) -> str:
        terminal.type(f"{line}\n")
        return terminal.until("...> ")

    more("SELECT 'kept;")
    assert "A model card" in more(".tables")
    assert "ends with a semicolon and may have several lines" in more("help")
    assert "is no form" in more(".format xml")
    assert "Ctrl-C drops it" in more("")
    more(".5 is no command here")
    more("-- a remark;")
    assert "kept;" in terminal.ask("' AS text; -- the end")
    for asked, said in (
        ("help", "besides SQL"),
        (".format parquet", "Parquet is for files: .to FILE.parquet"),
        (".to", ".to needs the name of a file"),
        (".to x.txt", "csv, json or parquet"),
        (".schema", ".schema needs the name"),
        ("", ""),
    ):
        assert said in terminal.ask(asked).replace("Besides", "besides")
    more("SELECT 1")
    terminal.type("quit\n")
    assert terminal.end() == 0


def test_names_are_completed_by_what_stands_before_them(lake: Lake) -> None:
    completion = Completion(lake, COMMANDS)
    assert completion.of(".", "t") == ["tables", "to"]
    assert completion.of(".format ", "") == ["csv", "json", "table"]
    assert completion.of(".schema ", "populat") == ["population"]
    assert completion.of("SELECT * FROM ", "mem") == ["member"]
    assert "MERGE" in completion.of("", "me")
    tag = lake.sql("SELECT column_name FROM duckdb_columns() WHERE table_name = 'tag'")["column_name"].to_list()
    assert completion.of("SELECT tag.", "") == sorted(tag)
    assert completion.of("SELECT t.", "model_i") == ["model_id"]  # an alias


def test_the_shell_completes_names_and_remembers(terminal: Terminal, lake: Lake, tmp_path: Path) -> None:
    pytest.importorskip("readline")
    assert "recipe_sha256" in terminal.ask("SELECT recipe_sha\t FROM populatio\t;")
    terminal.type("\x04")
    assert terminal.end() == 0
    history = tmp_path / "home" / "weightlake" / "history"
    assert "SELECT recipe_sha256 FROM population" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
    again = Terminal(lake, tmp_path / "home")
    again.until("weightlake> ")
    again.type("\x1b[A")
    again.until("SELECT recipe_sha256")
    again.type("\n\x04")
    assert again.end() == 0


def test_open_says_what_is_missing(lake: Lake) -> None:
    command = [sys.executable, "-m", "weightlake", "open", "--lake", str(lake.path)]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(lake.path.parent),
    }  # DuckDB's extensions lie there
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "INSTALL ui" in ended.stderr
    assert ended.stderr.count("\n") == 1
