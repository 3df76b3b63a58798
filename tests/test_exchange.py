"""Populations go out in other tools' formats and come back as they were, and without what stands beside them too."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from learners import phases_of_population, report, uniform_soup
from schemas import Lake, UsageError, open_lake
from schemas.doctor import examine
from schemas.lake import lake_to_be
from schemas.weights import write_safetensors
from zoo import (
    export_population,
    import_population,
    load_population,
    load_populations,
    load_weights,
    publish_population,
    publish_tables,
)
from zoo.exchange.companion import FILE, TABLES, table_file
from zoo.recipe import Recipe

FORMATS = ("ray-tune", "small-cnn-zoo", "state-dicts")
WIDTH_3 = "SELECT model_id FROM member WHERE width = 3 AND population_id LIKE 'tiny-%'"
QUERIES = {
    "member": "SELECT * EXCLUDE (model_id, population_id, group_name)",
    "training": "SELECT * EXCLUDE (model_id)",
    "lineage": "SELECT * EXCLUDE (child_id)",
    "measurement": "SELECT * EXCLUDE (model_id)",
    "statement": "SELECT * EXCLUDE (model_id)",
    "checkpoint": "SELECT epoch, final",
    "model": "SELECT architecture, parameters, task, library",
}
ABOUT = "SELECT architecture, dataset, dataset_sha256, classes, input_shape, split_seed FROM population"


def contents(lake: Lake, population_id: str, width: int | None = None) -> dict[str, Any]:
    """Everything that a lake has of a population's members, under their names, weights as bytes."""
    found: dict[str, Any] = {"about": lake.sql(f"{ABOUT} WHERE population_id = $id", id=population_id).rows()}
    chosen = f"SELECT model_id FROM member WHERE population_id = '{population_id}'" + (
        f" AND width = {width}" if width else ""
    )
    for table, query in QUERIES.items():
        key = "child_id" if table == "lineage" else "model_id"
        name = f"split_part({key}, '/', 2) AS of"
        found[table] = lake.sql(f"{query}, {name} FROM {table} WHERE {key} IN ({chosen}) ORDER BY ALL").rows()
    for model_id, epoch in lake.sql(f"SELECT model_id, epoch FROM checkpoint WHERE model_id IN ({chosen})").rows():
        weights = load_weights(lake, model_id, epoch)
        name = model_id.partition("/")[2]
        found[f"{name} {epoch}"] = {tensor: value.numpy().tobytes() for tensor, value in weights.items()}
    return found


@pytest.mark.parametrize("form", FORMATS)
def test_what_goes_out_comes_back_bit_for_bit(
    undisturbed: Lake, lake: Lake, recipe: Recipe, tmp_path: Path, form: str
) -> None:
    [original] = undisturbed.sql("SELECT population_id FROM population")["population_id"]
    written = export_population(undisturbed, WIDTH_3, tmp_path / "zoo", format=form)
    assert written.select("members", "checkpoints").row(0) == (4, 12)

    found = import_population(lake, tmp_path / "zoo", "back", trust_torch_files=True, dataset=recipe.dataset)

    assert contents(lake, found) == contents(undisturbed, original, width=3)
    assert lake.sql("FROM failure").is_empty()
    assert examine(lake).is_empty()


@pytest.mark.parametrize("form", FORMATS)
def test_what_another_tool_wrote_goes_out_and_comes_back(
    undisturbed: Lake, lake: Lake, tmp_path: Path, form: str
) -> None:
    """Rows beside the zoo are taken away, so that the first import knows what the format says and nothing else."""
    export_population(undisturbed, WIDTH_3, tmp_path / "zoo", format=form)
    alone(tmp_path / "zoo")
    first = import_population(lake, tmp_path / "zoo", "first", trust_torch_files=True)
    export_population(lake, "first", tmp_path / "again", format=form)
    if form == "small-cnn-zoo":
        alone(tmp_path / "again")
    second = import_population(lake, tmp_path / "again", "second", trust_torch_files=True)
    assert contents(lake, first) == contents(lake, second)


def alone(folder: Path) -> None:
    """Take away what weightlake has put beside a zoo."""
    for name in (FILE, *map(table_file, TABLES)):
        (folder / name).unlink()


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_alone_holds_weights_settings_and_what_it_has_of_the_curves(
    undisturbed: Lake, lake: Lake, tmp_path: Path, form: str
) -> None:
    export_population(undisturbed, WIDTH_3, tmp_path / "zoo", format=form)
    alone(tmp_path / "zoo")
    found = import_population(lake, tmp_path / "zoo", "alone", trust_torch_files=True)

    settings = "SELECT split_part(model_id, '/', 2) AS of, width, batch_size, seed, learning_rate, weight_decay, epochs"
    query = f"{settings}, state FROM member WHERE width = 3 ORDER BY ALL"
    assert lake.sql(query).rows() == undisturbed.sql(query).rows()
    for model_id, epoch in undisturbed.sql(
        f"SELECT model_id, epoch FROM checkpoint WHERE model_id IN ({WIDTH_3})"
    ).rows():
        before = load_weights(undisturbed, model_id, epoch)
        after = load_weights(lake, f"zoo:{found}/{model_id.partition('/')[2]}", epoch)
        if form == "small-cnn-zoo":  # in Keras' names and order of axes
            after = {
                f"{n.partition('/')[0]}.{'weight' if 'kernel' in n else 'bias'}": t.mT if t.ndim == 2 else t
                for n, t in after.items()
            }
        assert {n: t.contiguous().numpy().tobytes() for n, t in after.items()} == {
            n: t.numpy().tobytes() for n, t in before.items()
        }
    curve = "SELECT split_part(model_id, '/', 2) AS of, epoch, split, metric, value FROM training ORDER BY ALL"
    kept = {row[:4]: row[4] for row in undisturbed.sql(curve).rows()}
    assert lake.sql(curve).height > 0
    assert all(kept[row[:4]] == row[4] for row in lake.sql(curve).rows())
    if form == "ray-tune":
        assert lake.sql(curve).rows() == [(*key, value) for key, value in kept.items() if key[0].startswith("w3")]


def test_the_same_zoo_is_imported_once(undisturbed: Lake, lake: Lake, tmp_path: Path) -> None:
    export_population(undisturbed, WIDTH_3, tmp_path / "zoo", format="state-dicts")
    first = import_population(lake, tmp_path / "zoo", "twice")
    before = contents(lake, first)
    assert import_population(lake, tmp_path / "zoo", "twice") == first
    assert contents(lake, first) == before
    assert lake.sql("SELECT count(*) AS n FROM population").item() == 1
    assert examine(lake).is_empty()


def test_an_imported_population_is_one_like_any_other(
    undisturbed: Lake, lake: Lake, recipe: Recipe, tmp_path: Path
) -> None:
    export_population(undisturbed, "SELECT model_id FROM member", tmp_path / "zoo", format="state-dicts")
    found = import_population(lake, tmp_path / "zoo", "like-any", dataset=recipe.dataset)
    query = f"SELECT model_id FROM models WHERE population_id = '{found}'"

    assert [len(each.rows) for each in load_populations(lake, query)] == [4, 4]
    assert load_population(lake, f"{query} AND width = 4").tensors["linear1.weight"].shape == (4, 4, 64)
    soup = uniform_soup(lake, f"{query} AND width = 4", force=True)
    original = uniform_soup_of(undisturbed, tmp_path)
    assert {n: t.numpy().tobytes() for n, t in load_weights(lake, soup.model_id).items()} == original
    publish_population(lake, "like-any", tmp_path / "published")
    published = load_population(tmp_path / "published", "width = 3")
    assert published.tensors["linear1.weight"].shape == (4, 3, 64)
    assert report(lake, tmp_path / "report.html").exists()


def test_an_imported_population_has_the_phases_of_the_one_it_was(
    undisturbed: Lake, copied: Lake, lake: Lake, recipe: Recipe, tmp_path: Path
) -> None:
    export_population(undisturbed, "tiny", tmp_path / "zoo", format="state-dicts")
    found = import_population(lake, tmp_path / "zoo", "again", dataset=recipe.dataset)
    phases = (phases_of_population(copied, "tiny"), phases_of_population(lake, found))
    here, there = (judged.table.sort("width", "batch_size") for judged in phases)
    assert here.height == 4
    assert there.equals(here)


def uniform_soup_of(undisturbed: Lake, tmp_path: Path) -> dict[str, bytes]:
    """The soup of the same members in the lake where they were trained."""
    shutil.copytree(undisturbed.path, tmp_path / "trained")
    with open_lake(tmp_path / "trained") as trained:
        soup = uniform_soup(trained, "SELECT model_id FROM models WHERE width = 4", force=True)
        return {name: tensor.numpy().tobytes() for name, tensor in load_weights(trained, soup.model_id).items()}


def test_a_matrix_holds_one_shape_and_a_folder_nothing_else(undisturbed: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="WHERE width"):
        export_population(undisturbed, "SELECT model_id FROM member", tmp_path / "zoo", format="small-cnn-zoo")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        export_population(undisturbed, WIDTH_3, tmp_path / "full", format="ray-tune")
    with pytest.raises(UsageError, match="did you mean 'ray-tune'"):
        export_population(undisturbed, WIDTH_3, tmp_path / "new", format="ray-tunes")


@pytest.mark.parametrize("there", [False, True])
def test_a_refused_export_leaves_nothing_behind(undisturbed: Lake, tmp_path: Path, there: bool) -> None:
    place = tmp_path / "new" / "zoo"
    if there:
        place.mkdir(parents=True)
    with pytest.raises(UsageError, match="different shapes"):
        export_population(undisturbed, "SELECT model_id FROM member", place, format="small-cnn-zoo")
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    assert sorted(left) == (["new", "new/zoo"] if there else [])
    export_population(undisturbed, "SELECT model_id FROM member", place, format="state-dicts")
    assert [path.name for path in place.parent.iterdir()] == ["zoo"]


def test_a_refused_import_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    for path in ("nowhere", "odd"):
        with pytest.raises(UsageError):
            import_population(lake_to_be(tmp_path / "lake"), tmp_path / path, "zoo")
    assert [path.name for path in tmp_path.iterdir()] == ["odd"]


def test_models_of_two_populations_do_not_go_out_together(copied: Lake, tmp_path: Path) -> None:
    export_population(copied, WIDTH_3, tmp_path / "zoo", format="state-dicts")
    import_population(copied, tmp_path / "zoo", "other")
    with pytest.raises(UsageError, match="of 2 populations"):
        export_population(copied, "SELECT model_id FROM member", tmp_path / "both", format="state-dicts")


def test_counts_of_normalising_layers_go_out_and_come_back(lake: Lake, tmp_path: Path) -> None:
    """A matrix of float32 has no place for whole numbers, and is refused."""
    (tmp_path / "zoo").mkdir()
    tensors = {"bn.weight": torch.ones(2), "bn.running_mean": torch.rand(2), "bn.num_batches_tracked": torch.tensor(7)}
    write_safetensors(tmp_path / "zoo" / "a.safetensors", tensors)
    (tmp_path / "zoo" / "metadata.csv").write_text("file,epoch\na.safetensors,2\n")
    first = import_population(lake, tmp_path / "zoo", "first")
    assert lake.sql("SELECT parameters FROM model").item() == 2
    export_population(lake, first, tmp_path / "again", format="state-dicts")
    found = import_population(lake, tmp_path / "again", "second")
    assert contents(lake, found) == contents(lake, first)
    with pytest.raises(UsageError, match=r"num_batches_tracked is torch\.int64"):
        export_population(lake, first, tmp_path / "matrix", format="small-cnn-zoo")


def test_a_member_that_diverged_or_failed_stays_one(copied: Lake, lake: Lake, tmp_path: Path) -> None:
    with copied.write() as transaction:
        transaction.sql(
            "UPDATE member SET state = 'diverged', diverged_epoch = 2, reason = 'loss' WHERE model_id LIKE '%w3-b4-s0'"
        )
    export_population(copied, WIDTH_3, tmp_path / "zoo", format="state-dicts")
    import_population(lake, tmp_path / "zoo", "back")
    fate = "SELECT state, diverged_epoch, reason FROM member WHERE model_id LIKE '%w3-b4-s0'"
    assert lake.sql(fate).rows() == [("diverged", 2, "loss")]


def test_values_survive_that_a_table_might_round(lake: Lake, tmp_path: Path) -> None:
    """Every bit pattern of float32 that is finite or not, odd learning rates, and names that need care."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    values = torch.tensor([0.0, -0.0, 1e-45, 3.4e38, float("inf"), float("nan"), 1 / 3], dtype=torch.float32)
    write_safetensors(folder / "a.safetensors", {"w": values, "half": torch.ones(2, dtype=torch.bfloat16)})
    pl.DataFrame({"file": ["a.safetensors"], "lr": [0.1 + 0.2], "note": ['"quoted, [x'], "epoch": [3]}).write_csv(
        folder / "metadata.csv"
    )
    first = import_population(lake, folder, "odd")
    export_population(lake, first, tmp_path / "again", format="ray-tune")
    second = import_population(lake, tmp_path / "again", "odd-again", trust_torch_files=True)
    [one, two] = [load_weights(lake, f"zoo:{found}/a") for found in (first, second)]
    assert one["w"].numpy().tobytes() == values.numpy().tobytes() == two["w"].numpy().tobytes()
    assert two["half"].dtype == torch.bfloat16
    members = lake.sql("SELECT learning_rate, state, diverged_epoch FROM member").rows()
    assert members == [(0.1 + 0.2, "diverged", 3)] * 2
    assert lake.sql("SELECT value FROM statement WHERE name = 'note'")["value"].to_list() == ['"\\"quoted, [x"'] * 2


def told_by(folder: Path) -> bytes:
    """All that the files of a folder say, compressed tables and all, and what they are called."""
    said = []
    for path in sorted(folder.rglob("*")):
        said.append(str(path.relative_to(folder)).encode())
        if path.suffix == ".parquet":
            said.append(str(pl.read_parquet(path).to_dicts()).encode())
        elif path.is_file():
            said.append(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    return b"\n".join(said)


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_that_goes_out_tells_folders_or_addresses(
    copied: Lake, lake: Lake, recipe: Recipe, tmp_path: Path, form: str
) -> None:
    images = str(Path(recipe.dataset.removeprefix("npz:")).parent).encode()
    id_of = f"({WIDTH_3} ORDER BY ALL LIMIT 1)"
    with copied.write() as transaction:
        note = "'by ada@example.org, ben at example dot org'"
        transaction.sql(
            f"INSERT INTO statement (model_id, name, value, source) SELECT {id_of}, 'note', {note}, 'a.csv'"
        )
        transaction.sql(f"UPDATE member SET reason = '{images.decode()}/w is torn' WHERE model_id = {id_of}")
    export_population(copied, WIDTH_3, tmp_path / "zoo", format=form)
    found = told_by(tmp_path / "zoo")
    assert b"npz:images.npz" in found
    assert b"[e-mail removed], [e-mail removed]" in found
    assert b"[folder removed] is torn" in found
    for secret in (images, b"ada@", b"ben at", b"@example"):
        assert secret not in found


def test_a_table_that_names_addresses_goes_out_without(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "zoo"
    folder.mkdir()
    write_safetensors(folder / "a.safetensors", {"w": torch.ones(2)})
    (folder / "metadata.csv").write_text("file,author\na.safetensors,ada@example.org\n")
    first = import_population(lake, folder, "found")
    for form in FORMATS:
        export_population(lake, first, tmp_path / form, format=form)
        assert b"ada@example.org" not in told_by(tmp_path / form)
    assert pl.read_csv(tmp_path / "state-dicts" / "metadata.csv")["author"].to_list() == ["[e-mail removed]"]


def test_a_zoo_that_came_from_another_lake_is_published_without_folders(
    undisturbed: Lake, lake: Lake, recipe: Recipe, tmp_path: Path
) -> None:
    """Its recipe holds that of the population that it was, as JSON with blanks."""
    images = str(Path(recipe.dataset.removeprefix("npz:")).parent)
    export_population(undisturbed, WIDTH_3, tmp_path / "zoo", format="state-dicts")
    said = json.loads((tmp_path / "zoo" / FILE).read_text())
    said["recipe"]["dataset"] = recipe.dataset
    said["recipe"]["parent"] = f"{images}/parent.toml@dataset={recipe.dataset}"
    (tmp_path / "zoo" / FILE).write_text(json.dumps(said))
    import_population(lake, tmp_path / "zoo", "found", dataset=recipe.dataset)
    publish_population(lake, "found", tmp_path / "published")
    publish_tables(lake, "population,models", tmp_path / "tables")
    for place in ("published", "tables"):
        assert b"npz:images.npz" in told_by(tmp_path / place)
        assert str(tmp_path).encode() not in told_by(tmp_path / place)
        assert images.encode() not in told_by(tmp_path / place)
    (text,) = pl.read_parquet(tmp_path / "published" / "populations" / "*.parquet")["recipe"]
    original = json.loads(text)["original"]
    assert original["dataset"] == "npz:images.npz"
    assert original["parent"] == "parent.toml@dataset=npz:images.npz"
