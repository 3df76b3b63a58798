"""Tables of zoos say that they have no number, or one that is not finite, in many words; each concerns its own row."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch

from schemas import Lake
from schemas.weights import write_safetensors
from tests.foreign_zoos import write_matrix
from zoo import import_population

FATES = "SELECT split_part(model_id, '/', 2) AS name, state, reason FROM member ORDER BY name"
CURVE = "SELECT split_part(model_id, '/', 2) AS name, value FROM training ORDER BY name"
WORDS = [
    *(("nan", "diverged"), ("NaN", "diverged"), ("NAN", "diverged"), ("inf", "diverged"), ("-inf", "diverged")),
    *(("", "trained"), ("NA", "trained"), ("N/A", "trained"), ("n/a", "trained"), ("null", "trained")),
    *(("unknown", "trained"), (" 0.6", "trained")),
]


def folder_of(path: Path, values: list[str]) -> Path:
    """State dicts a, b, c, ... of which a table says one accuracy each."""
    names = [chr(ord("a") + number) for number in range(len(values))]
    path.mkdir()
    for number, name in enumerate(names):
        write_safetensors(path / f"{name}.safetensors", {"w": torch.full((2,), float(number))})
    rows = [
        f"{name}.safetensors,{value},0.{number + 1}"
        for number, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    (path / "metadata.csv").write_text("\n".join(["file,test_accuracy,lr", *rows, ""]))
    return path


@pytest.mark.parametrize(("word", "state"), WORDS)
def test_what_is_no_number_concerns_its_own_row(lake: Lake, tmp_path: Path, word: str, state: str) -> None:
    import_population(lake, folder_of(tmp_path / "zoo", ["0.5", word, "0.7"]), "zoo")
    reason = f"test_accuracy is {float(word)}" if state == "diverged" else None
    assert lake.sql(FATES).rows() == [("a", "trained", None), ("b", state, reason), ("c", "trained", None)]
    own = [("b", 0.6)] if word == " 0.6" else []
    assert lake.sql(CURVE).rows() == [("a", 0.5), *own, ("c", 0.7)]
    failures = lake.sql("SELECT reason FROM failure")["reason"].to_list()
    assert failures == (
        ["test_accuracy of row 2 of metadata.csv is 'unknown'; expected a number"] * (word == "unknown")
    )


def test_words_of_many_kinds_stand_in_one_column(lake: Lake, tmp_path: Path) -> None:
    values = [word for word, _ in WORDS]
    import_population(lake, folder_of(tmp_path / "zoo", ["0.5", *values]), "zoo")
    assert lake.sql(FATES)["state"].to_list() == ["trained", *(state for _, state in WORDS)]
    assert lake.sql(CURVE)["value"].to_list() == [0.5, 0.6]


def test_settings_beside_one_that_cannot_be_read_are_kept(lake: Lake, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "zoo", ["0.5", "0.6", "0.7"])
    table = folder / "metadata.csv"
    table.write_text(table.read_text().replace(",0.2\n", ",default\n").replace("lr\n", "lr,sharpness\n"))
    text = table.read_text().splitlines()
    table.write_text(
        "\n".join([text[0], *(f"{line},{said}" for line, said in zip(text[1:], ("1.5", "?", "2"), strict=True))])
    )
    import_population(lake, folder, "zoo")
    assert lake.sql("SELECT learning_rate FROM member ORDER BY model_id")["learning_rate"].to_list() == [0.1, None, 0.3]
    assert lake.sql("SELECT value FROM statement WHERE name = 'lr' ORDER BY ALL")["value"].to_list() == [
        *("0.1", "0.3", "default"),
    ]
    assert lake.sql("SELECT value FROM measurement ORDER BY ALL")["value"].to_list() == [1.5, 2.0]


def test_lines_of_json_may_have_what_python_writes(lake: Lake, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "zoo", ["0.5", "0.6", "0.7"])
    (folder / "metadata.csv").unlink()
    rows = [("a", 0.5), ("b", float("nan")), ("c", float("-inf"))]
    lines = [json.dumps({"file": f"{name}.safetensors", "test_accuracy": value}) for name, value in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    import_population(lake, folder, "zoo")
    assert lake.sql(FATES)["state"].to_list() == ["trained", "diverged", "diverged"]


def test_one_odd_value_of_a_matrix_s_table_concerns_its_own_row(lake: Lake, tmp_path: Path) -> None:
    write_matrix(tmp_path / "zoo", runs=3, zipped=False)
    path = tmp_path / "zoo" / "metrics.csv"
    table = pl.read_csv(path).with_columns(pl.col("test_accuracy", "config.l2reg").cast(pl.String))
    said, decay = table["test_accuracy"].to_list(), table["config.l2reg"].to_list()
    runs = table["modeldir"].to_list()
    spoilt = {2: "nan", runs.index(runs[-1]): "NA", runs.index(runs[-1]) + 1: "unknown"}
    accuracies = [spoilt.get(row, value) for row, value in enumerate(said)]
    decays = ["none given" if run == runs[-1] else value for run, value in zip(runs, decay, strict=True)]
    odd = {"test_accuracy": accuracies, "config.l2reg": decays}
    table.with_columns(**{name: pl.Series(values) for name, values in odd.items()}).write_csv(path)
    import_population(lake, tmp_path / "zoo", "zoo")
    assert lake.sql(FATES)["state"].to_list() == ["diverged", "trained", "trained"]
    found = lake.sql("SELECT value FROM training WHERE split = 'test' AND metric = 'accuracy' ORDER BY ALL")
    left = [float(value) for row, value in enumerate(said) if row not in spoilt]
    assert found["value"].to_list() == sorted(left)
    known = lake.sql("SELECT weight_decay FROM member ORDER BY model_id")["weight_decay"].to_list()
    assert known == [float(decay[0]), float(decay[runs.index(runs[len(runs) // 2])]), None]
    [reason] = lake.sql("SELECT reason FROM failure")["reason"].to_list()
    assert "'unknown'; expected a number" in reason
