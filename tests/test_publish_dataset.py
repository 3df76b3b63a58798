"""A population published as a dataset: what other libraries find in the folder is what is in the lake."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
import torch
from huggingface_hub import DatasetCard
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from schemas import DataError, Lake, OutsideError, UsageError, open_lake
from tests.conftest import ROOT
from tests.published import code_of, everything_in, rows_of
from zoo import import_population, load_population, load_weights, publish_population
from zoo.families import SPLITS
from zoo.publishing.dataset_card import _condition
from zoo.recipe import Recipe

TYPES = {"F32": "<f4", "I64": "<i8", "F64": "<f8", "BOOL": "?"}


@pytest.fixture(scope="module")
def published(undisturbed: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "digits-zoo"  # as the README calls it
    publish_population(undisturbed, "tiny", folder, license_id="cc-by-4.0")
    return folder


@pytest.fixture(scope="module")
def as_datasets(
    published: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, list[dict[str, object]]]]:
    """What `datasets` reads, in a process of its own: by configuration and split, and streamed too."""
    program = (
        "import datasets, json, sys\n"
        "datasets.disable_progress_bars()\n"
        "found = {c: datasets.load_dataset(sys.argv[1], c) for c in datasets.get_dataset_config_names(sys.argv[1])}\n"
        "found['by default'] = datasets.load_dataset(sys.argv[1])\n"
        "found['streamed'] = datasets.load_dataset(sys.argv[1], 'models', streaming=True)\n"
        "print(json.dumps({c: {s: list(rows) for s, rows in d.items()} for c, d in found.items()}, default=str))\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path_factory.mktemp("cache")), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(published)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, list[dict[str, object]]]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_datasets_reads_every_configuration_and_split(
    undisturbed: Lake, as_datasets: dict[str, dict[str, list[dict[str, object]]]]
) -> None:
    assert {"models", "training", "populations", "tensors"} <= as_datasets.keys()
    assert {split: len(rows) for split, rows in as_datasets["models"].items()} == {
        "train": 4,
        "validation": 2,
        "test": 2,
    }
    for split, rows in as_datasets["models"].items():
        assert {row["model_id"] for row in as_datasets["training"][split]} == {row["model_id"] for row in rows}
    curves = [tuple(row.values()) for rows in as_datasets["training"].values() for row in rows]
    assert sorted(curves) == undisturbed.sql("FROM training ORDER BY ALL").rows()
    expected = dict(undisturbed.sql("SELECT model_id, test_accuracy FROM models").rows())
    assert {
        row["model_id"]: row["test_accuracy"] for rows in as_datasets["models"].values() for row in rows
    } == expected


def test_streaming_and_the_default_are_the_models(as_datasets: dict[str, dict[str, list[dict[str, object]]]]) -> None:
    assert as_datasets["streamed"] == as_datasets["by default"] == as_datasets["models"]


def test_duckdb_reads_the_same_files(undisturbed: Lake, published: Path) -> None:
    query = """
    SELECT width, max(test_accuracy), count(DISTINCT model_id) FROM '{0}/models/*.parquet'
    JOIN (SELECT model_id, max(epoch) FROM '{0}/training/*.parquet' GROUP BY ALL) USING (model_id)
    GROUP BY ALL ORDER BY ALL
    """
    expected = "SELECT width, max(test_accuracy), count(*) FROM models GROUP BY ALL ORDER BY ALL"
    assert duckdb.execute(query.format(published)).fetchall() == undisturbed.sql(expected).rows()


def test_every_tensor_is_what_the_index_says(undisturbed: Lake, published: Path) -> None:
    index = rows_of(published, "tensors")
    assert index.select("model_id", "epoch", "final").unique().height == 8 * 3
    files = {path: (published / path).read_bytes() for path in index["shard"].unique()}
    shards = {path: load_file(published / path) for path in files}
    places = index.select("model_id", "epoch").unique().rows()
    weights = {place: load_weights(undisturbed, *place) for place in places}
    for row in index.iter_rows(named=True):
        expected = weights[row["model_id"], row["epoch"]][row["name"]]
        assert torch.equal(shards[row["shard"]][f"{row['model_id']}/{row['epoch']}/{row['name']}"], expected)
        raw = np.frombuffer(files[row["shard"]][row["begin_byte"] : row["end_byte"]], TYPES[row["dtype"]])
        assert np.array_equal(raw.reshape(row["shape"]), expected.numpy())
    assert set(index.filter("final")["epoch"]) == {3}
    assert sum(map(len, shards.values())) == index.height


def test_equal_starts_are_in_one_split(published: Path) -> None:
    splits = pl.concat(
        [
            pl.read_parquet(published / "models" / f"{split}-*.parquet").with_columns(split=pl.lit(split))
            for split in SPLITS
        ]
    )
    assert splits.group_by("initial_state").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 4
    assert splits["family"].n_unique() == 4


def test_phases_of_cells_are_those_of_their_models(copied: Lake, tmp_path: Path) -> None:
    population_id = copied.sql("SELECT population_id FROM population").item()
    cells = pl.DataFrame(
        {
            "population_id": population_id,
            "rule": ["taxonomy"] * 4 + ["model-diagnosis"],
            "load_axis": "width",
            "load": [3.0, 3.0, 4.0, 4.0, 4.0],
            "temperature_axis": "batch_size",
            "temperature": [4.0, 8.0, 4.0, 8.0, 8.0],
            "phase": ["I", "II", "IV-A", "IV-B", "other"],
            "probability": [0.9, 0.8, 0.7, 0.6, 0.5],
        }
    )
    with copied.write() as transaction:
        transaction.append("cell_phase", cells)
    publish_population(copied, "tiny", tmp_path / "zoo")
    phases = rows_of(tmp_path / "zoo", "models").group_by("phase").agg("width", "batch_size").sort("phase")
    assert [row[0] for row in phases.rows()] == ["I", "II", "IV-A", "IV-B"]
    population = load_population(tmp_path / "zoo", "phase = 'IV-B'")
    assert set(population.rows.select("width", "batch_size", "phase_probability").rows()) == {(4, 8, 0.6)}
    judged = rows_of(tmp_path / "zoo", "phases")
    assert [path.name for path in (tmp_path / "zoo" / "phases").iterdir()] == ["train-0.parquet"]
    assert judged["phase"].sort().to_list() == ["I", "II", "IV-A", "IV-B", "other"]
    cell = judged.row(by_predicate=pl.col("phase") == "other", named=True)
    grid = "SELECT model_id FROM member WHERE width = 4 AND batch_size = 8 ORDER BY model_id"
    assert cell["models"] == copied.sql(grid)["model_id"].to_list()
    card = (tmp_path / "zoo" / "README.md").read_text()
    assert "The phase of each cell" in card
    assert "yang2021taxonomizing" in card
    assert 'load_population("zoo", "phase = \'IV-B\'")' in card
    assert "whichever split they are in" in card


def test_the_card_s_example_can_be_stacked(published: Path) -> None:
    """A phase may be of several widths, whose models have other shapes."""
    models = rows_of(published, "models").with_columns(phase=pl.lit("I"))
    assert _condition(models) == "phase = 'I' AND width = 4"
    said = re.findall(r'load_population\("[\w-]+", "(.*)"\)', (published / "README.md").read_text())
    assert said == ["width = 4"]
    assert len(load_population(published, said[0])) == 4
    assert _condition(models.filter(width=3)) == "phase = 'I'"
    assert _condition(models.filter(width=3).with_columns(phase=None)) == "true"


def test_splits_can_leave_cells_whole(copied: Lake, tmp_path: Path) -> None:
    publish_population(copied, "tiny", tmp_path / "zoo", together="cell")
    found = pl.read_parquet(tmp_path / "zoo" / "models" / "*.parquet", include_file_paths="split")
    cells = found.group_by("width", "batch_size").agg(pl.col("split", "family").n_unique())
    assert cells.select("split", "family").rows() == [(1, 1)] * 4
    assert found["split"].n_unique() == 3
    assert "which differ by their seeds alone, are in one split" in (tmp_path / "zoo" / "README.md").read_text()


def test_the_card_counts_what_each_split_has_of_the_grid(published: Path) -> None:
    """Beside the tables themselves: a row a value of what was varied, a column a split."""
    card = (published / "README.md").read_text()
    assert "drawn at random, not balanced over the grid" in card
    models = pl.read_parquet(published / "models" / "*.parquet", include_file_paths="file")
    split = pl.col("file").str.extract(r"(\w+)-0\.parquet$")
    told = re.findall(r"\| `(\w+)` = (\S+) \| (\d+) \| (\d+) \| (\d+) \|", card)
    assert {name for name, *_ in told} == {"width", "batch_size"}
    for name, value, *counts in told:
        of_value = models.filter(pl.col(name).cast(pl.String) == value).select(split)["file"].to_list()
        assert [int(count) for count in counts] == [of_value.count(each) for each in ("train", "validation", "test")]
    assert sum(int(count) for name, _, *counts in told if name == "width" for count in counts) == models.height


def test_nothing_tells_where_the_publisher_s_files_lie(undisturbed: Lake, published: Path, recipe: Recipe) -> None:
    folder = str(Path(recipe.dataset.removeprefix("npz:")).parent).encode()
    for config in ("models", "populations"):
        assert rows_of(published, config)["dataset"].unique().to_list() == ["npz:images.npz"]
        assert folder not in rows_of(published, config).write_json().encode()
    assert json.loads(rows_of(published, "populations")["recipe"][0])["dataset"] == "npz:images.npz"
    assert all(folder not in content for content in everything_in(published).values())


def test_the_card_is_one_that_hubs_read(published: Path) -> None:
    card = DatasetCard.load(published / "README.md")
    assert card.data.license == "cc-by-4.0"
    configs = {config["config_name"]: config for config in card.data.to_dict()["configs"]}
    assert configs["models"]["default"] is True
    for config in configs.values():
        for files in config["data_files"]:
            assert list(published.glob(files["path"])), files
    for column in rows_of(published, "models").columns:
        assert f"| `{column}` | " in card.text
        assert f"| `{column}` |  |" not in card.text
    assert "(phases.png)" in card.text
    assert (published / "phases.png").read_bytes().startswith(b"\x89PNG")
    assert "None" not in card.text


def test_the_card_s_code_runs_without_this_project(undisturbed: Lake, published: Path, tmp_path: Path) -> None:
    *stranger, ours = code_of((published / "README.md").read_text())
    readme = [code for code in code_of((ROOT / "README.md").read_text()) if "digits-zoo" in code]
    assert len(readme) == 1
    forget = "import sys\nfor name in ('zoo', 'schemas', 'miners', 'learners'): sys.modules[name] = None\n"
    show = "\nprint(rows[0][1], {name: tensor.tobytes().hex() for name, tensor in weights.items()})"
    environment = {**os.environ, "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", forget + "\n".join([*readme, *stranger]) + show],
        cwd=published.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    epoch, _, found = done.stdout.splitlines()[-1].partition(" ")
    example = min(undisturbed.sql("SELECT model_id FROM member")["model_id"])
    expected = load_weights(undisturbed, example)
    assert (epoch, eval(found)) == ("3", {name: tensor.numpy().tobytes().hex() for name, tensor in expected.items()})
    compile(ours, "card", "exec")


def test_publishing_again_changes_nothing_and_leaves_shards_alone(undisturbed: Lake, published: Path) -> None:
    before = everything_in(published)
    times = {path: path.stat().st_mtime_ns for path in (published / "weights").iterdir()}
    publish_population(undisturbed, "tiny", published, license_id="cc-by-4.0")
    assert everything_in(published) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_what_is_published_no_more_is_taken_away_and_what_others_put_there_stays(
    undisturbed: Lake, tmp_path: Path
) -> None:
    publish_population(undisturbed, "tiny", tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    query = "SELECT model_id, NULL AS epoch FROM member WHERE width = 3 AND seed = 0"
    files = publish_population(undisturbed, query, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "models",
        "training",
        "populations",
        "tensors",
        "weights",
        "notes.txt",
        "phases.png",
    }
    assert set(files["file"]) == {path for path in everything_in(tmp_path) if path != "notes.txt"}
    index = rows_of(tmp_path, "tensors")
    assert index.select("epoch", "final").unique().rows() == [(3, True)]
    assert index["model_id"].n_unique() == 2
    assert not list((tmp_path / "models").glob("test-*"))


def test_a_dry_run_lists_the_files_and_writes_nothing(undisturbed: Lake, published: Path, tmp_path: Path) -> None:
    plan = publish_population(undisturbed, "tiny", tmp_path / "new", dry_run=True)
    assert not (tmp_path / "new").exists()
    written = everything_in(published)
    assert set(plan["file"]) == set(written)
    known = dict(plan.filter(pl.col("bytes").is_not_null()).select("file", "bytes").rows())
    assert len(known) == 3
    assert all(len(written[path]) == size for path, size in known.items())


def test_small_shards_hold_the_same_tensors(
    undisturbed: Lake, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.publishing.limits.SMALLEST_FILE", 1)
    publish_population(undisturbed, "tiny", tmp_path, shard_bytes=2_000)
    shards = sorted((tmp_path / "weights").iterdir())
    assert len(shards) > 12
    assert all(path.stat().st_size < 4_000 for path in shards)
    places = ("shard", "begin_byte", "end_byte")
    order = ["model_id", "epoch", "name"]
    assert (
        rows_of(tmp_path, "tensors")
        .drop(places)
        .sort(order)
        .equals(rows_of(published, "tensors").drop(places).sort(order))
    )


def test_types_of_every_width_lie_where_they_can_be_read(lake: Lake, tmp_path: Path) -> None:
    """Two layouts in one shard, scalars, empty tensors, and types of eight, four, two and one bytes."""
    first = {
        "b": torch.arange(6),
        "flag": torch.tensor([[True], [False]] * 3),
        "half": torch.arange(18, dtype=torch.bfloat16).reshape(6, 3),
        "w": torch.arange(30, dtype=torch.float32).reshape(6, 5),
        "empty": torch.zeros(6, 0),
    }
    second = {
        "odd": torch.arange(7, dtype=torch.uint8).reshape(7, 1),
        "w": torch.arange(14.0, dtype=torch.float64).reshape(7, 2),
    }
    rows = []
    for name, stack in (("first", first), ("second", second)):
        digest = lake.weights.write(f"{name}.safetensors", stack)
        rows += [
            {
                "model_id": f"made:{name}/{i}",
                "epoch": 0,
                "final": True,
                "shard": f"{name}.safetensors",
                "row": i,
                "shard_sha256": digest,
            }
            for i in range(len(stack["w"]))
        ]
    with lake.write() as transaction:
        transaction.append("checkpoint", pl.DataFrame(rows))
        made = [{"model_id": row["model_id"], "hub": "made", "architecture": "mlp"} for row in rows]
        transaction.append("model", pl.DataFrame(made))
    publish_population(lake, "SELECT model_id FROM checkpoint ORDER BY hash(model_id)", tmp_path / "out")
    seen = 0
    for shard in (tmp_path / "out" / "weights").iterdir():
        with safe_open(shard, "pt") as file:
            for key in list(file.keys()):
                model_id, _, name = key.rsplit("/", 2)
                stack = first if "first" in model_id else second
                assert torch.equal(file.get_tensor(key), stack[name][int(model_id.rsplit("/")[-1])]), key
                seen += 1
    assert seen == 6 * 5 + 7 * 2


def test_damaged_weights_are_found_and_nothing_pretends_to_be_whole(copied: Lake, tmp_path: Path) -> None:
    shard = copied.weights.path(copied.sql("SELECT max(shard) FROM checkpoint").item())
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(DataError, match="damaged"):
        publish_population(copied, "tiny", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("tinny", "'tinny' is no population of this lake: expected one of: tiny; did you mean 'tiny'"),
        ("SELECT 1 AS x", "has to return model_id"),
        ("SELECT 'zoo:nobody' AS model_id", r"zoo:nobody \(1 of 1 models\) has no weights in this lake"),
        ("SELECT model_id, 2 AS epoch FROM member", "has no checkpoint of epoch 2: expected one of 0, 1, 3, or NULL"),
        ("SELECT model_id FROM member WHERE false", "the query selects no model"),
        ("SELECT model_id FROM", "syntax"),
    ],
)
def test_what_cannot_be_published_is_said(undisturbed: Lake, tmp_path: Path, what: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        publish_population(undisturbed, what, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_nobody_knows_of_an_imported_zoo_is_not_said_on_its_card(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for name in ("a", "b"):
        save_file({"w": torch.ones(3)}, tmp_path / "files" / f"{name}.safetensors")
    (tmp_path / "files" / "metadata.csv").write_text("file,lr\na.safetensors,0.1\nb.safetensors,0.2\n")
    import_population(lake, tmp_path / "files", "found")
    publish_population(lake, "found", tmp_path / "zoo", license_id="mit")
    card = (tmp_path / "zoo" / "README.md").read_text()
    assert "\n2 trained networks: weights, training curves" in card
    assert "| not known | not known | 2 | not known |" in card
    assert "one that was imported says from where" in card
    assert "None" not in card


def test_a_place_that_cannot_be_written_is_said(undisturbed: Lake) -> None:
    with pytest.raises(OutsideError, match="cannot write /proc/nowhere"):
        publish_population(undisturbed, "tiny", "/proc/nowhere")


def test_a_folder_with_other_things_is_not_written_to(undisturbed: Lake, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# my own")
    with pytest.raises(UsageError, match="has other things in it"):
        publish_population(undisturbed, "tiny", tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        publish_population(undisturbed, "tiny", tmp_path / "README.md")
    with pytest.raises(UsageError, match="is a lake"):
        publish_population(undisturbed, "tiny", undisturbed.path)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md"}


def test_two_populations_of_one_name_have_to_be_told_apart(copied: Lake, tmp_path: Path) -> None:
    with copied.write() as transaction:
        transaction.sql("INSERT INTO population BY NAME SELECT 'tiny-other' AS population_id, 'tiny' AS name")
    with pytest.raises(UsageError, match="2 populations are called tiny; name one of them: tiny-"):
        publish_population(copied, "tiny", tmp_path / "out")


def test_an_empty_lake_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this lake has none, build one first"):
        publish_population(open_lake(tmp_path / "lake"), "tiny", tmp_path / "out")
