"""Nothing that a zoo from elsewhere says is trusted: sizes, names, paths, links, tables, and files that are pickles."""

import gzip
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from schemas import DataError, Lake, UsageError
from schemas.doctor import examine
from schemas.weights import write_safetensors
from tests.foreign_zoos import write_matrix, write_trial
from tests.tiny_population import rows
from zoo import export_population, import_population, load_weights
from zoo.exchange.table import read_table
from zoo.exchange.torch_files import TorchFiles
from zoo.load import load_module

Spoil = Callable[[Path], object]


def empty(lake: Lake) -> bool:
    """Whether nothing of an import that was refused is left."""
    left = [path for path in lake.weights.folder.rglob("*") if path.is_file()] if lake.weights.folder.exists() else []
    return not left and not any(rows(lake).values())


class Malicious:
    """What a pickle can do when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    for seed in (1, 2):
        write_trial(tmp_path / "trials", f"seed_{seed}", seed, checkpoints=(3,))
    return tmp_path / "trials"


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    write_matrix(tmp_path / "matrix", runs=2, zipped=False)
    return tmp_path / "matrix"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    for name in ("a", "b"):
        write_safetensors(folder / f"{name}.safetensors", {"w": torch.full((2, 3), float(ord(name)))})
    table(folder, ["a.safetensors,0.1,1", "b.safetensors,0.2,1"])
    return folder


def table(folder: Path, lines: list[str], head: str = "file,lr,epoch") -> None:
    (folder / "metadata.csv").write_text("\n".join([head, *lines]))


def test_without_a_word_no_pickle_is_read(lake: Lake, trials: Path, files: Path) -> None:
    with pytest.raises(UsageError, match=r"can run code .* --i-trust-these-files"):
        import_population(lake, trials, "zoo")
    torch.save({"w": torch.ones(2, 3)}, files / "c.pt")
    table(files, ["a.safetensors,0.1,1", "b.safetensors,0.2,1", "c.pt,0.3,1"])
    with pytest.raises(UsageError, match="--i-trust-these-files"):
        import_population(lake, files, "zoo")
    assert empty(lake)


def test_what_trusted_files_hold_beside_weights_is_not_run(lake: Lake, files: Path, tmp_path: Path) -> None:
    """One that would run code, one that is a whole module, one damaged, one not there: each is a member that failed."""
    torch.save({"w": Malicious(tmp_path / "done")}, files / "code.pt")
    torch.save(torch.nn.Linear(2, 2), files / "module.pt")
    (files / "damaged.pt").write_bytes(b"PK\x03\x04 and nothing")
    torch.save({"epoch": 3, "state_dict": {"w": torch.ones(2, 3)}, "optimizer": {"lr": 0.1}}, files / "nested.pt")
    names = ("code.pt", "module.pt", "damaged.pt", "nested.pt", "absent.pt")
    table(files, ["a.safetensors,0.1,1", "b.safetensors,0.2,1", *(f"{name},0.3,1" for name in names)])
    found = import_population(lake, files, "zoo", trust_torch_files=True)
    assert not (tmp_path / "done").exists()
    states = dict(lake.sql("SELECT split_part(model_id, '/', 2), state FROM member").iter_rows())
    failed = dict.fromkeys(["code", "module", "damaged", "absent"], "failed")
    assert states == {**dict.fromkeys(["a", "b", "nested"], "trained"), **failed}
    reasons = dict(lake.sql("SELECT split_part(subject, '/', 2), reason FROM failure").iter_rows())
    assert "mkdir" in reasons["code"]
    assert "Linear" in reasons["module"]
    assert all("weights_only" not in reason for reason in reasons.values())
    assert torch.equal(load_weights(lake, f"zoo:{found}/nested")["w"], torch.ones(2, 3))
    with pytest.raises(UsageError, match="asks for"):
        load_weights(lake, f"zoo:{found}/code")
    assert examine(lake).is_empty()


def test_a_file_that_wants_too_much_memory_or_time_is_given_up(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(20_000_000)}, tmp_path / "large.pt")
    torch.save({"w": torch.ones(1).expand(10**12)}, tmp_path / "endless.pt")
    torch.save({"w": torch.ones(3)}, tmp_path / "small.pt")
    with TorchFiles(tmp_path, trusted=True, size=2**26) as reader:
        for name in ("large.pt", "endless.pt"):
            with pytest.raises(DataError, match="memory"):
                reader.read(tmp_path / name)
        assert reader.read(tmp_path / "small.pt")["w"].shape == (3,)
        reader.seconds = 0.2
        os.kill(reader._started().pid, signal.SIGSTOP)  # it reads for as long as the test likes
        with pytest.raises(DataError, match="longer than"):
            reader.read(tmp_path / "small.pt")
        reader.seconds = 60.0
        assert reader.read(tmp_path / "small.pt")["w"].shape == (3,)


def edit(name: str, change: Callable[[str], str]) -> Spoil:
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def save(array: Any) -> Spoil:
    return lambda folder: np.save(folder / "weights.npy", array, allow_pickle=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (save(np.array([{"a": 1}], dtype=object)), "Python objects in dtype"),
        (save(np.zeros((6, 4970))), "expected float32 of two axes"),
        (save(np.zeros(6, dtype=np.float32)), "expected float32 of two axes"),
        (save(np.zeros((5, 4970), dtype=np.float32)), "6 rows and weights.npy has 5"),
        (save(np.zeros((6, 4971), dtype=np.float32)), "does not cover the 4,971 columns"),
        (lambda folder: (folder / "weights.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{"), "no file of numpy"),
        (lambda folder: os.truncate(folder / "weights.npy", 4000), "no file of numpy"),
        (edit("layout.csv", lambda text: text.replace('"(16,)"', "__import__('os')")), "a shape such as"),
        (edit("layout.csv", lambda text: text.replace("(3, 3, 1, 16)", "(3, 3, 1, 17)")), "gives sequential/conv2d"),
        (edit("layout.csv", lambda text: text.replace("varname", "name")), "no column varname"),
        (edit("layout.csv", lambda text: text.replace(",16,160,", ",17,161,")), "does not cover"),
        (edit("layout.csv", lambda text: text.replace("conv2d_1", "conv2d_2")), "two tensors of one name"),
        (edit("metrics.csv", lambda text: text.replace("/mnist/1,", "/mnist/0,")), "more than once"),
        (edit("metrics.csv", lambda text: text.replace(",86,", ",86.5,")), "step of row"),
        (edit("metrics.csv", lambda text: text.replace("modeldir", "folder")), "no column modeldir"),
        (lambda folder: (folder / "metrics.csv").unlink(), "is missing or no file"),
    ],
)
def test_a_matrix_that_does_not_fit_its_tables_is_refused(lake: Lake, matrix: Path, spoil: Spoil, message: str) -> None:
    spoil(matrix)
    with pytest.raises(DataError, match=message):
        import_population(lake, matrix, "zoo")
    assert empty(lake)


def test_a_matrix_with_columns_that_nobody_knows_keeps_them(lake: Lake, matrix: Path) -> None:
    """Of a model they are statements, of a checkpoint measurements; values that are not finite are in no mean."""
    known = pl.read_csv(matrix / "metrics.csv")
    loss = pl.when(pl.col("step") == 86).then(float("nan")).otherwise(pl.col("test_loss"))
    odd = known.with_columns(team=pl.lit("blue"), sharpness=pl.col("step") * 2.0, test_loss=loss)
    odd.drop("config.l2reg").write_csv(matrix / "metrics.csv")
    import_population(lake, matrix, "zoo")
    assert lake.sql("SELECT DISTINCT value FROM statement WHERE name = 'team'").item() == "blue"
    assert lake.sql("SELECT max(value) AS most FROM measurement WHERE metric = 'sharpness'").item() == 172.0
    fates = lake.sql("SELECT DISTINCT weight_decay, state, diverged_epoch FROM member").rows()
    assert fates == [(None, "diverged", 86)]
    assert lake.sql("SELECT count(*) AS n FROM training WHERE isnan(value)").item() == 0


def test_lines_that_were_cut_off_and_settings_that_are_none_are_noted(lake: Lake, trials: Path) -> None:
    first, second = trials / "seed_1", trials / "seed_2"
    text = (first / "result.json").read_text()
    (first / "result.json").write_text(text[:-40])
    (second / "params.json").write_text("[" * 100_000)
    twice = (second / "result.json").read_text().splitlines()
    (second / "result.json").write_text("\n".join([*twice, twice[-1], "7", '{"training_iteration": "3"}']))
    import_population(lake, trials, "zoo", trust_torch_files=True)
    reasons = lake.sql("SELECT subject, reason FROM failure ORDER BY ALL").rows()
    assert [(subject[-6:], reason[:25]) for subject, reason in reasons] == [
        ("seed_1", "line 4 of result.json is "),
        ("seed_2", "epoch 3 stands more than "),
        ("seed_2", "line 6 of result.json say"),
        ("seed_2", "line 7 of result.json say"),
        ("seed_2", "params.json is no JSON: m"),
    ]
    counts = lake.sql("SELECT max(epoch) FROM training GROUP BY model_id ORDER BY model_id").rows()
    assert counts == [(2,), (3,)]
    assert lake.sql("SELECT DISTINCT state FROM member").item() == "trained"


def test_halves_of_surrogate_pairs_are_written_out(lake: Lake, trials: Path) -> None:
    """JSON can say them, and no table can hold them."""
    half = {"seed": 1, "odd \ud800": "\ud800", "model::nlin": "\udfff", "model::type": "net \ud800"}
    for name in ("seed_1", "seed_2"):
        (trials / name / "params.json").write_text(json.dumps(half))
        (trials / name / "result.json").write_text(json.dumps({"training_iteration": 1, "trace \ud800": 2.0}))
    import_population(lake, trials, "zoo", trust_torch_files=True)
    said = dict(lake.sql("SELECT name, value FROM statement").iter_rows())
    assert said["odd \\ud800"] == '"\\ud800"'
    assert lake.sql("SELECT architecture FROM population").item() == "ray-tune:net \\ud800"
    assert lake.sql("SELECT metric FROM measurement").row(0) == ("trace \\ud800",)


def test_weights_of_another_network_than_said_are_no_members_weights(lake: Lake, trials: Path) -> None:
    state = torch.load(trials / "seed_1" / "checkpoint_000003" / "checkpoints", weights_only=True)
    state["module_list.0.weight"] = torch.zeros(8, 1, 4, 4)
    torch.save(state, trials / "seed_1" / "checkpoint_000003" / "checkpoints")
    found = import_population(lake, trials, "zoo", trust_torch_files=True)
    states = lake.sql("SELECT state, reason FROM member ORDER BY model_id").rows()
    assert states[0][0] == "failed"
    assert "conv1.weight is [8, 1, 4, 4], and [8, 1, 5, 5] in a cnn of width 8" in states[0][1]
    assert states[1] == ("trained", None)
    export_population(lake, found, trials.parent / "again", format="ray-tune")
    assert [path.name for path in (trials.parent / "again").iterdir() if path.is_dir()] == ["seed_2"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["../a.safetensors,0.1,1", "/b.safetensors,0.1,1"], "; of .*: row 1 of .* expected a file below"),
        (["../a.safetensors,0.1,1"], r"a\.safetensors \(of 2\) is in no row"),
        (["a.safetensors,0.1,1", "a.safetensors,0.2,2"], "a file twice"),
        (["a.safetensors,0.1,1"], r"b\.safetensors \(of 1\) is in no row"),
        (["a.safetensors,0.1,one", "b.safetensors,0.2,1"], "no epoch that is a whole number"),
        (["a.safetensors,0.1,-1", "b.safetensors,0.2,1"], "no epoch that is a whole number"),
        (["a.safetensors,0.1,1,9,9", "b.safetensors,0.2,1"], "no table that can be read"),
        ([], "or no rows"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(lake: Lake, files: Path, lines: list[str], message: str) -> None:
    table(files, lines)
    with pytest.raises(DataError, match=message):
        import_population(lake, files, "zoo")
    assert empty(lake)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("../a.safetensors", "expected a file below the folder"),
        ("/etc/a.safetensors", "expected a file below the folder"),
        ("a.txt", "ends in .safetensors"),
        ("aa.safetensors", "missing or no file"),
        ("..", "expected a file below the folder"),
        ("", "names no file"),
    ],
)
def test_a_row_that_names_no_file_of_the_folder_costs_its_own_model(
    lake: Lake, files: Path, file: str, reason: str
) -> None:
    table(files, [f"{file},0.1,1", "b.safetensors,0.2,1"])
    found = import_population(lake, files, "zoo")
    assert load_weights(lake, f"zoo:{found}/b")["w"].shape == (2, 3)
    states = lake.sql("SELECT state, reason FROM member ORDER BY state").rows()
    assert [state for state, _ in states] == ["failed", "trained"]
    assert reason in states[0][1]
    assert reason in lake.sql("SELECT reason FROM failure WHERE stage = 'import'").item()
    assert examine(lake).is_empty()


def test_links_that_lead_out_are_not_followed(lake: Lake, files: Path, matrix: Path, tmp_path: Path) -> None:
    (files / "b.safetensors").rename(tmp_path / "secret.safetensors")
    (files / "b.safetensors").symlink_to(tmp_path / "secret.safetensors")
    found = import_population(lake, files, "zoo")
    [(state, reason)] = lake.sql("SELECT state, reason FROM member WHERE model_id LIKE '%/b'").rows()
    assert state == "failed"
    assert "leads out of" in reason
    assert load_weights(lake, f"zoo:{found}/a")["w"].shape == (2, 3)
    for name in ("weights.npy", "layout.csv", "metrics.csv"):
        (matrix / name).rename(tmp_path / name)
        (matrix / name).symlink_to(tmp_path / name)
        with pytest.raises(DataError, match="leads out of"):
            import_population(lake, matrix, "zoo")
        (matrix / name).unlink()
        (tmp_path / name).rename(matrix / name)


def test_names_that_could_be_paths_become_plain_and_stay_apart(lake: Lake, files: Path) -> None:
    lines = ["a.safetensors,../../x/../../y\x1b[31m,1", 'b.safetensors,"../../x/.. /../y\x1b[31m",1']
    table(files, lines, "file,name,epoch")
    found = import_population(lake, files, "zoo")
    names = lake.sql("SELECT name FROM model ORDER BY name")["name"].to_list()
    assert len(set(names)) == 2
    assert all("/" not in name and name.isprintable() and not name.startswith(".") for name in names)
    assert not any(path.is_dir() for path in (lake.weights.folder / found).iterdir())
    export_population(lake, found, files.parent / "again", format="ray-tune")


def test_damaged_safetensors_and_empty_ones_fail_alone(lake: Lake, files: Path) -> None:
    os.truncate(files / "a.safetensors", 70)
    import_population(lake, files, "zoo")
    assert lake.sql("SELECT state FROM member ORDER BY model_id")["state"].to_list() == ["failed", "trained"]
    os.truncate(files / "b.safetensors", 3)
    with pytest.raises(DataError, match="no weights that can be read"):
        import_population(lake, files, "other")


def test_a_table_that_unpacks_into_too_much_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv.gz").write_bytes(gzip.compress(b"a\n" + b"1\n" * 1_000_000))
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        read_table(tmp_path, tmp_path / "metrics.csv.gz", most=1000)
    (tmp_path / "metrics.csv.gz").write_bytes(gzip.compress(b"a\n1\n" * 100)[:-12])
    with pytest.raises(DataError, match="no table that can be read"):
        read_table(tmp_path, tmp_path / "metrics.csv.gz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weightlake.json", b"{", "is damaged"),
        ("weightlake.json", json.dumps({"architecture": 7}).encode(), "is damaged"),
        ("weightlake-member.parquet", b"PAR1", "is damaged"),
    ],
)
def test_rows_beside_a_zoo_are_not_trusted_either(
    lake: Lake, undisturbed: Lake, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    export_population(undisturbed, "SELECT model_id FROM member", tmp_path / "zoo", format="state-dicts")
    (tmp_path / "zoo" / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        import_population(lake, tmp_path / "zoo", "zoo")
    assert empty(lake)


def test_rows_beside_a_zoo_have_the_lakes_types_and_its_members(lake: Lake, undisturbed: Lake, tmp_path: Path) -> None:
    export_population(undisturbed, "SELECT model_id FROM member", tmp_path / "zoo", format="state-dicts")
    path = tmp_path / "zoo" / "weightlake-training.parquet"
    known = pl.read_parquet(path)
    known.with_columns(value=pl.lit("much")).write_parquet(path)
    with pytest.raises(DataError, match="is damaged"):
        import_population(lake, tmp_path / "zoo", "zoo")
    pl.concat([known, known.with_columns(member=pl.lit("stranger"))]).write_parquet(path)
    import_population(lake, tmp_path / "zoo", "zoo")
    assert lake.sql("SELECT count(*) AS n FROM training").item() == known.height
    assert examine(lake).is_empty()


def test_what_cannot_be_a_zoo_is_refused_in_a_sentence(lake: Lake, tmp_path: Path, files: Path) -> None:
    (tmp_path / "card" / "models").mkdir(parents=True)
    (tmp_path / "card" / "README.md").write_text("---\ntags:\n- weightlake\n---\n")
    with pytest.raises(UsageError, match="is a published dataset, which load_population"):
        import_population(lake, tmp_path / "card", "zoo")
    with pytest.raises(UsageError, match="none of the formats ray-tune, small-cnn-zoo, state-dicts"):
        import_population(lake, tmp_path, "zoo")
    with pytest.raises(UsageError, match="is no folder"):
        import_population(lake, tmp_path / "absent", "zoo")
    with pytest.raises(UsageError, match="did you mean 'ray-tune'"):
        import_population(lake, files, "zoo", format="ray-tun")
    with pytest.raises(UsageError, match="small letters"):
        import_population(lake, files, "../zoo")
    with pytest.raises(UsageError, match="name a dataset too"):
        import_population(lake, files, "zoo", architecture="mlp")
    with pytest.raises(UsageError, match="did you mean 'mlp'"):
        import_population(lake, files, "zoo", architecture="mlpp")
    with pytest.raises(DataError, match="it says no width"):
        import_population(lake, files, "zoo", architecture="mlp", dataset="digits")
    assert empty(lake)


def test_an_architecture_and_a_dataset_that_are_named_let_files_be_run(lake: Lake, tmp_path: Path) -> None:
    """Files from elsewhere with the names and shapes of an mlp on digits are measured as trained ones are."""
    source = torch.Generator().manual_seed(0)
    shapes = {"linear1": (5, 64), "linear2": (5, 5), "linear3": (10, 5)}
    weights = {f"{name}.weight": torch.randn(shape, generator=source) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": torch.randn(shape[0], generator=source) for name, shape in shapes.items()}
    write_safetensors(tmp_path / "zoo" / "a.safetensors", weights)
    table(tmp_path / "zoo", ["a.safetensors,5,4"], "file,width,epoch")
    found = import_population(lake, tmp_path / "zoo", "zoo", architecture="mlp", dataset="digits")
    x = torch.randn(3, 1, 8, 8, generator=source)
    hidden = x.flatten(1)
    for name in ("linear1", "linear2"):
        hidden = torch.relu(hidden @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
    expected = hidden @ weights["linear3.weight"].T + weights["linear3.bias"]
    assert torch.allclose(load_module(lake, f"zoo:{found}/a")(x), expected, atol=1e-5)
