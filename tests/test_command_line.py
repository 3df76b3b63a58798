"""The command line by hand: what it prints, where, and how it ends, mistakes above all."""

import inspect
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl
import pytest
import typer

import weightlake
from commands import terminal
from miners import civitai, kaggle, modelscope
from miners.mining import HANDED_IN, MINERS, PLANS
from schemas import Lake, open_lake
from tests.conftest import ROOT
from tests.hub import Quota, TestHub


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def command(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["weightlake", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            weightlake.main()
        captured = capsys.readouterr()
        return Answer(int(str(ended.value.code or 0)), captured.out, captured.err)

    return command


@pytest.fixture
def filled(lake: Lake) -> Lake:
    models = {"model_id": [f"local:a/{number:03d}" for number in range(120)], "hub": "local", "task": "translation"}
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame(models))
    return lake


def one_line(text: str) -> str:
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def test_help_and_version(run: Run) -> None:
    assert "Mine model hubs" in run("--help").out
    assert run("--version").out.startswith("weightlake 0.")
    assert run().code == 2


def test_sql_prints_a_table_or_json(run: Run, filled: Lake) -> None:
    table = run("sql", "SELECT model_id, task FROM models ORDER BY ALL", "--lake", filled.path)
    assert "local:a/049" in table.out
    assert "local:a/050" not in table.out
    assert "50 of 120 rows" in table.err
    everything = run("sql", "SELECT model_id FROM models", "--lake", filled.path, "--json")
    assert len(json.loads(everything.out)) == 120
    assert everything.err == ""


def test_mined_text_cannot_steer_the_terminal(run: Run, lake: Lake) -> None:
    with lake.write() as transaction:
        transaction.append(
            "model", pl.DataFrame({"model_id": ["huggingface:a/b"], "task": ["\x1b[2J\x07[red]x[/red]"]})
        )
    shown = run("sql", "SELECT task FROM model", "--lake", lake.path).out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[red]x[/red]" in shown


def test_json_is_json_whatever_the_values(run: Run, filled: Lake) -> None:
    query = "SELECT 'nan'::DOUBLE AS n, 'inf'::DOUBLE AS i, '\\xAA'::BLOB AS b, NULL AS x, sum(2) AS s, ['a'] AS l"
    (row,) = json.loads(run("sql", query, "--json", "--lake", filled.path).out)
    assert row == {"n": None, "i": None, "b": "aa", "x": None, "s": 2, "l": ["a"]}


def test_what_is_too_wide_for_a_file_stands_upright_and_nothing_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    value = "x" * (terminal.WIDEST - len("name") - 5)
    terminal.show(pl.DataFrame({"name": ["a"], "value": [value]}), as_json=False)
    beside = capsys.readouterr().out.splitlines()
    assert f" a      {value} " in beside
    terminal.show(pl.DataFrame({"name": ["a"], "value": [f"{value}xx"]}), as_json=False)
    assert capsys.readouterr().out.split() == ["name", "a", "value", f"{value}xx"]


def test_more_columns_than_the_terminal_holds_stand_upright(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show_upright(pl.DataFrame({"model_id": ["a"], "width": [8]}))
    assert capsys.readouterr().out == "            model_id  a\n               width  8\n\n"


def test_coverage_report_and_doctor(run: Run, filled: Lake, tmp_path: Path) -> None:
    assert "license" in run("coverage", "--lake", filled.path).out
    written = run("report", "--lake", filled.path, "--to", tmp_path / "page.html")
    assert (written.code, Path(written.out.strip()).name) == (0, "page.html")
    assert "is sound" in run("doctor", "--lake", filled.path).out
    with filled.write() as transaction:
        transaction.append("tag", pl.DataFrame({"model_id": ["local:x/y"], "tag": ["t"]}))
    sick = run("doctor", "--lake", filled.path)
    assert (sick.code, "local:x/y" in sick.out) == (1, True)


def test_a_terminated_crawl_keeps_what_it_has_and_is_gone_on_with(lake: Lake) -> None:
    """SIGTERM, as service managers and batch systems send it, ends a run as Ctrl-C does."""
    records = [{"id": f"o/m{number}"} for number in range(40)]
    with TestHub(records, largest_page=10, quotas={"api": Quota(2, seconds=300)}) as hub:
        command = [sys.executable, "-m", "weightlake", "mine", "huggingface", "--lake", str(lake.path)]
        command += ["--endpoint", hub.url]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stderr is not None
            while b"quota of requests (api) is used up; going on in " not in process.stderr.readline():
                assert process.poll() is None
            process.terminate()
            assert process.wait(60) == 130
            assert b"what was done is kept" in process.stderr.read()
    state, seen = lake.sql("SELECT state, rows_seen FROM crawl").row(0)
    assert (state, seen) == ("failed", 20)


def test_zoo_builds_lists_and_publishes(run: Run, tmp_path: Path) -> None:
    assert "digits-tiny" in run("zoo", "recipes").out
    built = run("zoo", "build", "digits-tiny", "--lake", "new", "--json")
    assert json.loads(built.out)[0]["trained"] == 8
    assert "8 members in 4 groups" in one_line(built.err)
    assert run("zoo", "build", "digits-tiny", "--lake", "new", "--json", "--quiet").err == ""
    assert json.loads(run("zoo", "list", "--lake", "new", "--json").out)[0]["state"] == "complete"
    assert re.search(r"\bfree\b.* \d+\.\d [kMG]B\b", run("zoo", "status", "--lake", "new").out, re.DOTALL)
    assert json.loads(run("zoo", "status", "--lake", "new", "--json").out)[0]["bytes_free"] > 1_000_000
    quiet = run("publish", "model", "--to", "mined", "--lake", "new", "--license", "cc0-1.0", "--quiet", "--json")
    assert (quiet.code, quiet.err, json.loads(quiet.out)[0]["rows"]) == (0, "", 8)
    query = "SELECT model_id FROM member LIMIT 3"
    exported = run("zoo", "export", query, "--to", "out", "--lake", "new", "--json")
    assert json.loads(exported.out)[0]["repositories"] == 3
    planned = run("zoo", "publish", "digits-tiny", "--to", "zoo", "--lake", "new", "--dry-run", "--json")
    weights = sum(row["bytes"] or 0 for row in json.loads(planned.out))
    assert f"{len(json.loads(planned.out))} files: {weights / 1000:.1f} kB of weights, and tables" in planned.err
    small = run("zoo", "publish", "digits-tiny", "--to", "zoo", "--lake", "new", "--shard-bytes", "1", "--dry-run")
    assert (small.code, "shard_bytes = 1: expected 1,000,000" in one_line(small.err)) == (2, True)
    published = run("zoo", "publish", "digits-tiny", "--to", "zoo", "--lake", "new", "--json")
    assert {row["file"]: row["rows"] for row in json.loads(published.out)}["models/train-0.parquet"] == 4
    assert (published.code, "no licence is stated" in one_line(published.err)) == (0, True)
    mined = json.loads(run("mine", "local", "out", "--lake", "new", "--json").out)[0]
    assert (mined["rows_seen"], mined["rows_stored"], mined["failures"]) == (3, 3, 0)
    refused = run("soup", "SELECT model_id FROM member WHERE width = 8 AND batch_size = 32", "--lake", "new")
    assert (refused.code, "unwise" in one_line(refused.err)) == (2, True)
    unwise = "SELECT model_id FROM member WHERE width = 8 AND batch_size = 32"
    forced = run("soup", unwise, "--lake", "new", "--force", "--method", "uniform", "--json")
    assert (forced.code, "unwise, but forced" in forced.err) == (0, True)
    assert {row["candidate"] for row in json.loads(forced.out)} >= {"soup", "best single"}
    assert (tmp_path / "out").is_dir()


def test_zoos_of_others_go_out_and_come_in(run: Run, undisturbed: Lake, lake: Lake, tmp_path: Path) -> None:
    source = ("--lake", undisturbed.path, "--json")
    exported = run("zoo", "export", "tiny", "--to", "trials", "--format", "ray-tune", *source)
    assert json.loads(exported.out) == [{"format": "ray-tune", "folder": "trials", "members": 8, "checkpoints": 24}]
    refused = run("zoo", "import", "trials", "--name", "back", "--lake", lake.path)
    assert (refused.code, "--i-trust-these-files" in one_line(refused.err)) == (2, True)
    (tmp_path / "trials" / "w3-b4-s0" / "result.json").write_text('{"training_iteration": 1}\n{"train')
    command = ("zoo", "import", "trials", "--name", "back", "--lake", lake.path, "--i-trust-these-files", "--json")
    imported = run(*command)
    assert [json.loads(imported.out)[0][key] for key in ("name", "state", "trained")] == ["back", "complete", 8]
    assert "one thing could not be read" in one_line(imported.err)
    assert json.loads(run("zoo", "list", "--lake", lake.path, "--json").out)[0]["architecture"] == "mlp"


def test_measuring_and_phases(run: Run, copied: Lake, tmp_path: Path) -> None:
    members = "SELECT model_id FROM member"
    measured = run("measure", members, "--metrics", "loss, hessian_trace", "--set", "samples=30", "--lake", copied.path)
    assert (measured.code, measured.out.split()[:4]) == (0, ["metric", "measured", "known", "without_value"]), measured
    again = run("measure", members, "--metrics", "loss", "--lake", copied.path, "--json", "--quiet")
    assert (json.loads(again.out), again.err) == (
        [{"metric": "loss", "measured": 0, "known": 8, "without_value": 0}],
        "",
    )
    alone = run("measure", f"{members} LIMIT 1", "--metrics", "loss,cka", "--lake", copied.path, "--quiet")
    assert "note: no pair for cka: the query selects no two members" in one_line(alone.err)
    light = ["--set", "epochs=2", "--set", "runs=1", "--lake", copied.path]
    judged = run("phases", "tiny", *light, "--to", "map.svg", "--to", "map.png", "--to", "map.html")
    assert (judged.code, "width / batch_size" in judged.out) == (0, True)
    assert judged.err.count("phase diagram: ") == 3
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert "probability" in (tmp_path / "map.html").read_text(encoding="utf-8")
    cells = json.loads(run("phases", "tiny", *light, "--json", "--quiet").out)
    assert {(cell["width"], cell["batch_size"]) for cell in cells} == {(3, 4), (3, 8), (4, 4), (4, 8)}
    both = json.loads(run("phases", "tiny", *light, "--sensitivity", "--json", "--quiet").out)
    assert both["cells"] == cells
    assert {row["metric"] for row in both["sensitivity"]} >= {"train_loss", "mode_connectivity", "cka"}
    page = run("report", "--lake", copied.path, "--to", "report.html")
    assert page.code == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ">Phases</h3>" in text
    assert "By the rule taxonomy" in text
    assert "Mode connectivity (percentage points)" in text
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "typo.json").write_text('{"architecture": "mlp", "depht": 3}')
    (tmp_path / "model.json").write_text('{"architecture": "mlp", "width": 3}')
    for arguments, says in (
        (["measure", members, "--metrics", "los"], "did you mean 'loss'"),
        (["measure", members, "--metrics", ""], "metric ''"),
        (["measure", members, "--set", "epochs"], "expected NAME=VALUE"),
        (["measure", members, "--set", "epochs=few"], "expected a whole number"),
        (["measure", members, "--description", "absent.json"], "cannot be read"),
        (["measure", members, "--description", "model.json"], "classes"),
        (["measure", members, "--description", "typo.json"], "did you mean 'depth'"),
        (["measure", members, "--description", "list.json"], "expected an object"),
        (["measure", "SELECT model_id FROM member WHERE false"], "selects no model"),
        (["phases", "tinny"], "tinny"),
        (["phases", "tiny", "--rule", "taxonmy"], "taxonmy"),
        (["phases", "tiny", "--to", "map.gif"], ".gif"),
    ):
        answer = run(*arguments, "--lake", copied.path)
        assert (answer.code, says in one_line(answer.err), answer.out) == (2, True, ""), (arguments, answer)


def test_mining_a_hub(run: Run) -> None:
    records = [{"id": f"owner/model-{number}", "tags": ["license:mit"], "downloads": number} for number in range(30)]
    with TestHub(records=records) as hub:
        mined = run("mine", "huggingface", "--endpoint", hub.url, "--limit", 20, "--lake", "new", "--json")
        assert json.loads(mined.out)[0]["rows_stored"] == 20
        planned = run("mine", "huggingface", "--endpoint", hub.url, "--cards", "--lake", "new", "--json", "--dry-run")
        assert [step["what"] for step in json.loads(planned.out)] == ["listing", "cards"]
        shown = run("mine", "huggingface", "--endpoint", hub.url, "--cards", "--lake", "new", "--dry-run").out
        assert "together" in shown
        assert "less than a minute" in shown
        whole = run("mine", "huggingface", "--endpoint", hub.url, "--lake", "new", "--max-requests", 1, "--json")
        assert json.loads(whole.out)[0]["state"] == "finished"
        assert "listing: about 1 requests (api)" in whole.err
        drawn = ("--sample", 5, "--stratify", "task,popularity", "--seed", 3)
        cohort = run("mine", "huggingface", "--endpoint", hub.url, "--lake", "new", *drawn, "--quiet", "--json")
        assert (json.loads(cohort.out)[0]["rows_stored"], cohort.err) == (5, "")


def test_what_could_not_be_stored_is_said(run: Run, tmp_path: Path) -> None:
    records = [{"modelId": name, "tags": ["x"], "likes": 1} for name in ("a/b", "no/good/name")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    mined = run("mine", "snapshot", "rows.jsonl", "--observed-at", "2024-02-29", "--json")
    [crawl] = json.loads(mined.out)
    assert (crawl["rows_seen"], crawl["rows_stored"], crawl["failures"]) == (2, 1, 1)
    assert '1 of 2 could not be stored; weightlake sql "' in mined.err
    assert "no/good/name" in run("sql", mined.err.split('"')[1], "--lake", "lake").out
    down = run("mine", "huggingface", "--endpoint", "http://127.0.0.1:1", "--limit", 20, "--lake", "new")
    assert (down.code, "127.0.0.1:1" in one_line(down.err)) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["sql", "SELECT 1", "--lake", "absent"], 2, "absent is no lake"),
        (["soup", "SELECT 1", "--lake", "absent"], 2, "absent is no lake"),
        (["measure", "SELECT 1", "--lake", "absent"], 2, "absent is no lake"),
        (["phases", "p", "--lake", "absent"], 2, "absent is no lake"),
        (["identify", "--lake", "absent"], 2, "absent is no lake"),
        (["doctor", "--repair", "--lake", "absent"], 2, "absent is no lake"),
        (["sql", "SELECT likess FROM model", "--lake", "LAKE"], 2, '"likess" not found'),
        (["sql", "DROP TABLE model", "--lake", "LAKE"], 2, "only reads"),
        (["sql", "SELECT 1", "--lake", "FILE"], 2, "is a file"),
        (["sql", "SELECT 1", "--lake", "NOISE"], 1, "not a DuckDB database"),
        (["sql", "SELECT 1", "--lake", "OTHER"], 1, "something else"),
        (["mine", "hugingface", "--lake", "LAKE"], 2, "huggingface"),
        (["mine", "local", "--lake", "LAKE"], 2, "weightlake mine local needs a place: a folder of model repositories"),
        (["mine", "snapshot", "--lake", "LAKE"], 2, "e.g. weightlake mine snapshot models.parquet --observed-at"),
        (
            ["mine", "snapshot", "x", "--max-hours", "3", "--lake", "LAKE"],
            2,
            "no option --max-hours; choose from PLACE",
        ),
        (["mine", "timm", "x", "--lake", "LAKE"], 2, "no option PLACE; choose from --source"),
        (["mine", "local", "absent", "--lake", "LAKE"], 2, "absent"),
        (["mine", "huggingface", "--limit", "0"], 2, "limit"),
        (["mine", "huggingface", "--full", "--limit", "3", "--lake", "LAKE"], 2, "exclude each other"),
        (["mine", "huggingface", "--polite", "2", "--lake", "LAKE"], 2, "polite is 2"),
        (["mine", "huggingface", "--ids", "absent.txt", "--lake", "LAKE"], 2, "neither a file nor a query"),
        (["mine", "local", "x", "--full", "--lake", "LAKE"], 2, "no option --full; choose from PLACE"),
        (["mine", "huggingface", "--lake", "FOLDER", "--limit", "3"], 2, "other things"),
        (["sql", "SELECT ['x'::BLOB] AS parts", "--lake", "LAKE", "--json"], 2, "column parts holds bytes"),
        (["zoo", "build", "digits-tinny", "--lake", "LAKE"], 2, "digits-tiny"),
        (["zoo", "build", "digits-tiny", "--lake", "LAKE", "--device", "gpu"], 2, "gpu"),
        (["zoo", "build", "TYPO", "--lake", "LAKE"], 2, "batch_sise"),
        (["soup", "SELECT model_id FROM models", "--lake", "LAKE"], 2, "selects no model"),
        (["soup", "SELECT 1 AS model_id", "--lake", "LAKE", "--method", "stew"], 2, "stew"),
        (["report", "--lake", "LAKE", "--to", "FILE/x.html"], 1, "cannot write"),
        (["nonsense"], 2, "nonsense"),
        (["sql"], 2, "query"),
        (["sql", " ", "--lake", "LAKE"], 2, "empty"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_in_one_line_and_the_right_code(
    run: Run, lake: Lake, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "FILE").write_text("x")
    for name in ("FOLDER", "NOISE", "OTHER"):
        (tmp_path / name).mkdir()
    (tmp_path / "FOLDER" / "thesis.tex").write_text("x")
    (tmp_path / "NOISE" / "lake.duckdb").write_bytes(b"noise" * 1000)
    with duckdb.connect(str(tmp_path / "OTHER" / "lake.duckdb")) as other:
        other.execute("CREATE TABLE invoices (number INTEGER)")
    recipe = 'name = "x"\narchitecture = "mlp"\ndataset = "digits"\nepochs = 1\n[grid]\nwidth = 2\nbatch_sise = 4\n'
    (tmp_path / "typo.toml").write_text(recipe + "seeds = 1\nlearning_rate = 0.1\n")
    places = {"LAKE": str(lake.path), "TYPO": "typo.toml"}
    answer = run(*(places.get(argument, argument) for argument in arguments))
    assert answer.code == code, answer
    assert says in one_line(answer.err)
    assert answer.out == ""
    assert not (tmp_path / "absent").exists()


def test_a_reader_that_stops_reading_is_no_error(filled: Lake) -> None:
    command = (
        f"{sys.executable} -m weightlake sql 'SELECT * FROM range(200000)' --json --lake {filled.path} | head -c 10"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""


def test_the_environment_names_the_lake(run: Run, filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTLAKE_LAKE", str(filled.path))
    assert json.loads(run("sql", "SELECT count(*) AS n FROM model", "--json").out) == [{"n": 120}]
    assert open_lake(filled.path).path == filled.path


def test_the_help_of_mine_says_which_hubs_take_an_option() -> None:
    taken: dict[str, set[str]] = {}
    for hub, miner in MINERS.items():
        asked = {"civitai": civitai.CIVITAI, "kaggle": kaggle.KAGGLE, "modelscope": modelscope.MODELSCOPE}.get(hub)
        for name in list(inspect.signature(miner).parameters)[1:]:
            if name not in HANDED_IN and (asked is None or name not in ("task", "library") or name in asked.asked):
                taken.setdefault(name, set()).add(hub)
    said = {}
    for option in typer.main.get_command(weightlake.app).commands["mine"].params:  # type: ignore[attr-defined]
        if match := re.match(r"For (all but )?([\w, ]+): ", str(option.help)):
            hubs = set(match[2].split(", "))
            said[str(option.name)] = set(MINERS) - hubs if match[1] else hubs
    assert said == {name: hubs for name, hubs in taken.items() if name != "folder"} | {
        "place": {"local"},
        "dry_run": set(PLANS),
    }
