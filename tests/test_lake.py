"""Opening, creating, upgrading and refusing lakes; reading and writing tables."""

import subprocess
import sys
from pathlib import Path
from random import Random

import duckdb
import polars as pl
import pytest

from schemas import DataError, Lake, OutsideError, UsageError, migrate, open_lake
from tests.conftest import ROOT


def write(lake: Lake, *frames: pl.DataFrame) -> None:
    with lake.write() as transaction:
        for frame in frames:
            transaction.append("tag", frame)


def tag(*names: str) -> pl.DataFrame:
    return pl.DataFrame({"model_id": list(names), "tag": "x", "kind": "plain"})


def test_a_new_folder_becomes_a_lake_and_opens_again(tmp_path: Path) -> None:
    with open_lake(tmp_path / "deep" / "lake") as lake, lake.write() as transaction:
        transaction.append("tag", tag("a", "b"))
    with open_lake(tmp_path / "deep" / "lake", read_only=True) as lake:
        assert lake.sql("SELECT model_id FROM tag ORDER BY ALL").to_series().to_list() == ["a", "b"]


def test_migrations_have_numbers_of_their_own() -> None:
    files = [place.name for place in (ROOT / "schemas" / "migrations").glob("*.sql")]
    assert sorted(migrate.migrations()) == sorted(int(name[:4]) for name in files) == list(range(1, len(files) + 1))


def test_migrations_are_recorded_in_order(lake: Lake) -> None:
    recorded = lake.sql("SELECT number, name FROM migration ORDER BY number").rows()
    assert recorded == [(number, name) for number, (name, _) in migrate.migrations().items()]


def test_an_older_lake_is_upgraded_and_keeps_its_rows(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    with duckdb.connect(str(tmp_path / "lake" / "lake.duckdb")) as old:
        name, sql = migrate.migrations()[1]
        old.execute(migrate.RECORD)
        old.execute(sql)
        old.execute("INSERT INTO migration VALUES (1, ?, now())", [name])
        old.execute("INSERT INTO model (model_id, hub) VALUES ('huggingface:a/b', 'huggingface')")
        old.execute("INSERT INTO event (model_id, kind, before, after) VALUES ('h:a/b', 'renamed', 'a/b', 'c/d')")
    with pytest.raises(UsageError, match="schema 1 of"):
        open_lake(tmp_path / "lake", read_only=True)
    with open_lake(tmp_path / "lake") as lake:
        assert lake.sql("SELECT model_id, origin FROM models").rows() == [("huggingface:a/b", "mined")]
        assert lake.sql("SELECT before, after FROM event").rows() == [("h:a/b", "h:c/d")]


def test_a_lake_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with open_lake(tmp_path / "lake") as lake, lake.write() as transaction:
        transaction.sql("INSERT INTO migration VALUES (9999, 'future', now())")
    for read_only in (False, True):
        with pytest.raises(UsageError, match=r"schema 9999.*upgrade weightlake"):
            open_lake(tmp_path / "lake", read_only=read_only)


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as connection:
        name, sql = migrate.migrations()[1]
        connection.execute(migrate.RECORD)
        connection.execute(sql)
        connection.execute("INSERT INTO migration VALUES (1, ?, now())", [name])
        connection.execute("CREATE VIEW coverage AS SELECT 1")
    with pytest.raises(UsageError, match="coverage"):
        open_lake(tmp_path)
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as connection:
        assert migrate.version(connection) == 1
        views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    assert views == [("coverage",)], "the view models of the same file must not stay"


def test_several_processes_may_create_one_lake(tmp_path: Path) -> None:
    program = "import sys; from schemas import open_lake; open_lake(sys.argv[1]).sql('FROM models')"
    for number in range(4):
        command = [sys.executable, "-c", program, str(tmp_path / str(number))]
        started = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        assert [process.communicate()[1] for process in started] == [""] * 3


def test_a_lake_whose_maker_was_killed_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "lake.turn").touch()
    assert open_lake(tmp_path).sql("SELECT count(*) AS n FROM models")["n"].to_list() == [0]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW invoices AS SELECT 1 AS x",
        "CREATE TABLE migration (x INTEGER)",
        "CREATE TABLE migration (name TEXT)",
    ],
)
def test_a_foreign_database_is_never_taken_over(tmp_path: Path, statement: str) -> None:
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as other:
        other.execute(statement)
    with pytest.raises(DataError, match="something else"):
        open_lake(tmp_path)


@pytest.mark.parametrize("folder", ["a\0b", "x" * 300])
def test_an_impossible_folder_is_said(tmp_path: Path, folder: str) -> None:
    with pytest.raises((UsageError, OutsideError)) as raised:
        open_lake(tmp_path / folder)
    assert "\n" not in str(raised.value)


def test_a_damaged_database_is_one_of_our_errors(tmp_path: Path) -> None:
    with open_lake(tmp_path) as lake, lake.write() as transaction:
        transaction.append("tag", tag(*(f"m{number}" for number in range(5000))))
    sound = lake.database.read_bytes()
    random = Random(0)
    program = (
        "import sys; from schemas import open_lake, WeightlakeError\n"
        "try: open_lake(sys.argv[1], wait=1).sql('SELECT max(model_id) FROM tag')\n"
        "except WeightlakeError: pass\n"
    )
    for number in range(8):
        damaged = bytearray(sound[: random.randrange(len(sound))] if number % 2 else sound)
        for _ in range(40):
            damaged[random.randrange(min(12288, len(damaged)))] ^= 1 << random.randrange(8)
        lake.database.write_bytes(damaged)
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_query_inside_a_write_is_refused_at_once(lake: Lake) -> None:
    with pytest.raises(UsageError, match=r"transaction\.sql"), lake.write():
        lake.sql("SELECT 1")


def test_a_type_without_a_place_in_a_frame_is_said(lake: Lake) -> None:
    with pytest.raises(UsageError, match="cast it"):
        lake.sql("SELECT INTERVAL 1 DAY AS step")


def test_what_is_no_lake_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        open_lake(tmp_path / "file")
    with pytest.raises(UsageError, match="has other things in it"):
        open_lake(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        open_lake(tmp_path / "absent", read_only=True)
    assert not (tmp_path / "absent").exists()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lake.duckdb").write_bytes(b"hello" * 1000)
    with pytest.raises(DataError, match="not a DuckDB database"):
        open_lake(tmp_path)


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as other:
        other.execute("CREATE TABLE invoices (number INTEGER)")
    with pytest.raises(DataError, match="invoices"):
        open_lake(tmp_path)
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as other:
        assert other.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("invoices",)]


def test_a_read_only_file_system_can_be_read_and_says_why_it_cannot_be_written(small_disk: Path) -> None:
    with open_lake(small_disk / "lake") as lake, lake.write() as transaction:
        transaction.append("tag", tag("a"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert open_lake(small_disk / "lake", read_only=True).sql("SELECT count(*) AS n FROM tag")["n"].to_list() == [1]
    with pytest.raises(OutsideError, match="Read-only file system"), open_lake(small_disk / "lake").write():
        pass
    with pytest.raises(OutsideError, match="cannot make the folder"):
        open_lake(small_disk / "new")


def test_a_full_disk_is_said_and_loses_nothing_that_was_there(small_disk: Path) -> None:
    with open_lake(small_disk / "lake") as lake, lake.write() as transaction:
        transaction.append("tag", tag("a"))
    (small_disk / "filler").write_bytes(bytes(8 * 2**20))
    noise = pl.DataFrame({"model_id": [f"{i * 2654435761 % 2**32:08x}" * 4 for i in range(2_000_000)]})
    with pytest.raises(OutsideError, match="full"), lake.write() as transaction:
        transaction.append("tag", noise)
    assert lake.sql("SELECT count(*) AS n FROM tag")["n"].to_list() == [1]
    (small_disk / "filler").unlink()
    with lake.write() as transaction:
        transaction.append("tag", tag("b"))
    assert lake.sql("SELECT count(*) AS n FROM tag")["n"].to_list() == [2]


def test_sql_takes_named_parameters_and_returns_polars(lake: Lake) -> None:
    frame = lake.sql("SELECT $width AS width, $name AS name", width=8, name="cnn")
    assert frame.rows() == [(8, "cnn")]


def test_sums_are_whole_numbers(lake: Lake) -> None:
    frame = lake.sql("SELECT sum(x) AS small, sum(x::HUGEINT * 2::HUGEINT ** 80) AS large FROM range(4) AS t(x)")
    assert frame.schema["small"] == pl.Int64
    assert frame.rows() == [(6, 6 * 2**80)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT likess FROM model", r'"likess" not found.*likes'),
        ("SELECT * FROM modls", "modls does not exist"),
        ("SELEC 1", "syntax error"),
        ("SELECT $x", r"the query has \$x in it, and no value is given for it"),
        ("DELETE FROM model", "only reads"),
        ("CREATE TABLE mine (x INTEGER)", "only reads"),
    ],
)
def test_a_wrong_query_is_the_callers_error_in_one_line(lake: Lake, query: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as raised:
        lake.sql(query)
    assert "\n" not in str(raised.value)


def test_a_query_does_not_see_the_callers_variables(lake: Lake) -> None:
    secret = pl.DataFrame({"x": [1]})
    with pytest.raises(UsageError, match="secret does not exist"):
        lake.sql("SELECT * FROM secret")
    assert secret.height == 1


def test_a_transaction_is_kept_whole_or_not_at_all(lake: Lake) -> None:
    with pytest.raises(UsageError, match="no_such_column"):
        write(lake, tag("a"), tag("b").with_columns(no_such_column=1))
    with pytest.raises(AttributeError):
        write(lake, tag("c"), None)  # type: ignore[arg-type] # the caller's own code breaks half-way
    assert lake.sql("SELECT count(*) AS n FROM tag")["n"].to_list() == [0]


def test_replace_swaps_the_rows_of_the_keys_it_brings(lake: Lake) -> None:
    with lake.write() as transaction:
        transaction.append("tag", tag("a", "a", "b"))
        transaction.replace("tag", pl.DataFrame({"model_id": ["a"], "tag": ["new"]}), key="model_id")
    assert lake.sql("SELECT model_id, tag, kind FROM tag ORDER BY ALL").rows() == [
        ("a", "new", None),
        ("b", "x", "plain"),
    ]


def test_a_read_only_lake_refuses_to_write(lake: Lake) -> None:
    with pytest.raises(UsageError, match="read_only"), open_lake(lake.path, read_only=True).write():
        pass


def test_models_joins_what_was_trained_and_measured(lake: Lake) -> None:
    model = pl.DataFrame({"model_id": ["zoo:p/w8", "made:soup/x", "local:a/b"], "hub": ["zoo", "made", "local"]})
    curve = {"model_id": "zoo:p/w8", "metric": "accuracy"}
    with lake.write() as transaction:
        transaction.append("model", model)
        transaction.append("member", pl.DataFrame({"model_id": ["zoo:p/w8"], "population_id": ["p"], "width": [8]}))
        transaction.append(
            "training",
            pl.DataFrame(
                [
                    curve | {"epoch": 1, "split": "validation", "value": 0.9},
                    curve | {"epoch": 2, "split": "validation", "value": 0.8},
                    curve | {"epoch": 2, "split": "test", "value": 0.7},
                ]
            ),
        )
        transaction.sql(
            "INSERT INTO measurement (model_id, metric, split, value, measured_at)"
            " VALUES ('made:soup/x', 'accuracy', 'test', 0.5, '2026-01-01'),"
            " ('made:soup/x', 'accuracy', 'test', 0.6, '2026-01-02')"
        )
    rows = lake.sql(
        "SELECT model_id, origin, width, validation_accuracy, test_accuracy FROM models ORDER BY ALL"
    ).rows()
    assert rows == [
        ("local:a/b", "mined", None, None, None),
        ("made:soup/x", "made", None, None, 0.6),
        ("zoo:p/w8", "trained", 8, 0.8, 0.7),
    ]


def test_coverage_is_the_share_of_missing_values(lake: Lake) -> None:
    with lake.write() as transaction:
        transaction.append(
            "model",
            pl.DataFrame(
                {
                    "model_id": ["huggingface:a/b", "huggingface:a/c", "huggingface:a/gone", "zoo:p/m"],
                    "hub": ["huggingface", "huggingface", "huggingface", "zoo"],
                    "task": ["translation", None, None, None],
                    "license": ["mit", "mit", "mit", None],
                }
            ),
        )
        transaction.sql("UPDATE model SET deleted_at = now() WHERE name IS NULL AND model_id LIKE '%gone'")
        transaction.sql("INSERT INTO card (model_id, text) VALUES ('huggingface:a/b', 'hello')")
    found = {row["field"]: row for row in lake.sql("SELECT * FROM coverage").rows(named=True)}
    assert {row["hub"] for row in found.values()} == {"huggingface"}
    assert {row["models"] for row in found.values()} == {2}
    shares = {field: found[field]["missing_share"] for field in ("task", "license", "card", "tensors")}
    assert shares == {"task": 0.5, "license": 0.0, "card": 0.5, "tensors": 1.0}


def test_every_table_and_column_carries_a_comment(lake: Lake) -> None:
    silent = lake.sql("SELECT table_name FROM duckdb_tables() WHERE comment IS NULL AND NOT internal")
    silent_views = lake.sql("SELECT view_name FROM duckdb_views() WHERE comment IS NULL AND NOT internal")
    silent_macros = lake.sql(
        "SELECT function_name FROM duckdb_functions()"
        " WHERE comment IS NULL AND NOT internal AND function_type = 'table_macro'"
    )
    columns = lake.sql("""
        WITH spoken AS (
            FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (schema_name, table_name) WHERE comment IS NOT NULL
        ), silent AS (
            SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE comment IS NULL AND NOT internal
        )
        FROM silent SEMI JOIN duckdb_tables() USING (schema_name, table_name)
        UNION ALL
        FROM silent SEMI JOIN duckdb_views() ON silent.schema_name = duckdb_views.schema_name AND table_name = view_name
        WHERE column_name NOT IN (SELECT column_name FROM spoken)
    """)
    assert [silent.rows(), silent_views.rows(), silent_macros.rows(), columns.rows()] == [[], [], [], []]
