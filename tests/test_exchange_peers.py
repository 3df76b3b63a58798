"""Zoos as others have published them are read, and what goes out is read back as their code reads it."""

import ast
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from schemas import Lake, UsageError
from schemas.doctor import examine
from tests.foreign_zoos import STEPS, compute, write_matrix, write_trial, zoo_network
from tests.tiny_population import built, tiny_recipe
from zoo import export_population, import_population, load_population, load_weights
from zoo.load import load_module
from zoo.recipe import Recipe

ACCURACY = "SELECT train_accuracy - test_accuracy AS gap FROM models WHERE name = $name"
LISTED = [
    "config.activation",
    "config.b_init",
    "config.dataset",
    "config.dnn_architecture",
    "config.dropout",
    "config.epochs",
    "config.epochs_between_checkpoints",
    "config.init_std",
    "config.l2reg",
    "config.learning_rate",
    "config.num_layers",
    "config.num_units",
    "config.optimizer",
    "config.random_seed",
    "config.train_fraction",
    "config.w_init",
    "modeldir",
    "step",
    "test_accuracy",
    "test_loss",
    "train_accuracy",
    "train_loss",
]
"""The columns of metrics.csv.gz, from google-research/google-research, dnn_predict_accuracy/README.md."""
LAYERS = ("conv1", "conv2", "conv3", "linear1", "linear2")
ORDER = [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
CHOSEN = [(0, "conv2d"), (3, "conv2d"), (6, "conv2d"), (9, "fc"), (11, "fc")]


def read_trial(path: Path, epoch: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """A checkpoint and the line of its epoch, found by counting lines: from 0 or from 1, whichever agrees."""
    place = path / f"checkpoint_{epoch:06d}" / "checkpoints"
    checkpoint = torch.load(place, map_location="cpu", weights_only=True)
    results = read_lines(path / "result.json")
    for offset in (1, 0):
        if epoch - offset >= 0 and results[epoch - offset]["training_iteration"] == epoch:
            return checkpoint, results[epoch - offset]
    raise AssertionError("training iteration and epoch do not match")


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def vectorised(checkpoint: dict[str, torch.Tensor]) -> torch.Tensor:
    """Weights and biases of the five layers, one after the other; what is absent is left out without a word."""
    parts = [
        checkpoint.get(f"module_list.{n}.{kind}", torch.empty(0)) for n, _ in CHOSEN for kind in ("weight", "bias")
    ]
    return torch.cat([part.flatten() for part in parts])


@pytest.fixture(scope="module")
def small_recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The architecture of the zoos' CNN: width 8, ten classes would need ten; here the names and order matter."""
    return tiny_recipe(tmp_path_factory.mktemp("small"), architecture="cnn", epochs=2, width="4", batch_size="8")


def test_the_zoos_network_is_weightlakes_cnn_of_width_8(lake: Lake, tmp_path: Path) -> None:
    """Imported from their folders it computes what theirs does, from tanh to sigmoid, with dropout in between."""
    given = {
        "NN_tune_trainable_00000_0_seed=1": write_trial(tmp_path / "zoo", "NN_tune_trainable_00000_0_seed=1", 1),
        "NN_tune_trainable_00001_1_seed=2": write_trial(
            tmp_path / "zoo", "NN_tune_trainable_00001_1_seed=2", 2, settings={"model::dropout": 0.2}
        ),
    }
    found = import_population(lake, tmp_path / "zoo", "mnist-uniform", trust_torch_files=True)
    x = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    for name, networks in given.items():
        for epoch, network in networks.items():
            module = load_module(lake, f"zoo:{found}/{name}", epoch)
            assert torch.equal(module(x), compute(network, x))
    about = lake.sql("SELECT architecture, classes, input_shape, members, state FROM population").row(0)
    assert about == ("cnn", 10, [1, 28, 28], 2, "complete")
    assert lake.sql("SELECT DISTINCT parameters FROM model").item() == 2464
    assert examine(lake).is_empty()


def test_everything_that_a_trial_says_is_in_the_lake(lake: Lake, tmp_path: Path) -> None:
    write_trial(tmp_path / "zoo", "a", 1)
    import_population(lake, tmp_path / "zoo", "zoo", trust_torch_files=True)
    columns = "width, batch_size, seed, learning_rate, epochs, activation, dropout, initialisation, optimizer"
    assert lake.sql(f"SELECT {columns} FROM member").row(0) == (8, 10, 1, 0.0003, 3, "tanh", 0.0, "uniform", "adam")
    training = lake.sql("SELECT epoch, split, metric, value FROM training ORDER BY ALL").rows()
    assert len(training) == 2 * 4 + 2 * 3  # nothing was trained before epoch 0
    assert (0, "test", "loss", 1.0) in training
    assert (3, "train", "accuracy", pytest.approx(0.3)) in training
    measured = lake.sql("SELECT epoch, metric, value, settings FROM measurement").rows()
    assert measured == [(3, "hessian_trace", 13.0, '{"source": "import"}')]
    said = dict(lake.sql("SELECT name, value FROM statement").iter_rows())
    assert said["dataset::dump"] == "/zoos/MNIST/dataset.pt"
    assert said["model::use_bias"] == "false"
    assert json.loads(said["date of each epoch"]) == {str(n): f"2021-09-0{n + 1}" for n in range(4)}
    assert said["trial_id"] == "5_1"
    assert lake.sql("SELECT parent_id FROM lineage")["parent_id"].str.starts_with("init:").all()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"model::nlin": "gelu"}, "it pools before gelu"),
        ({"model::type": "Resnet18_width", "model::width": 16}, "weightlake has no Resnet18_width"),
    ],
)
def test_a_network_that_weightlake_has_not_loads_and_says_why_it_does_not_run(
    lake: Lake, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    networks = write_trial(tmp_path / "zoo", "a", 1, settings=settings)
    found = import_population(lake, tmp_path / "zoo", "zoo", trust_torch_files=True)
    state = {f"module_list.{name}": tensor for name, tensor in networks[3].state_dict().items()}
    loaded = load_weights(lake, f"zoo:{found}/a")
    assert {n: t.numpy().tobytes() for n, t in loaded.items()} == {n: t.numpy().tobytes() for n, t in state.items()}
    with pytest.raises(UsageError, match=reason):
        load_module(lake, f"zoo:{found}/a")
    assert load_population(lake, "SELECT model_id FROM models").rows.height == 1


def test_trained_members_go_out_as_trials_that_the_zoos_code_reads(
    lake: Lake, tmp_path: Path, small_recipe: Recipe
) -> None:
    original = built(lake, small_recipe, workers=1)
    export_population(lake, original, tmp_path / "zoo", format="ray-tune")
    folders = [path for path in (tmp_path / "zoo").iterdir() if path.is_dir()]
    assert len(folders) == 2
    for folder in folders:
        for epoch in (0, 1, 2):
            checkpoint, line = read_trial(folder, epoch)
            ours = load_weights(lake, f"zoo:{original}/{folder.name}", epoch)
            assert torch.equal(vectorised(checkpoint), torch.cat([ours[name].flatten() for name in ORDER]))
            assert line["config"]["seed"] == int(folder.name[-1])
            assert {"train_loss", "train_acc", "test_loss", "test_acc"} <= line.keys()
        [accuracy] = lake.sql(ACCURACY, name=folder.name)["gap"]
        assert line["train_acc"] - line["test_acc"] == accuracy


def test_the_zoos_network_reads_what_goes_out_of_its_own_width(lake: Lake, tmp_path: Path) -> None:
    write_trial(tmp_path / "zoo", "a", 1, settings={"model::dropout": 0.3})
    import_population(lake, tmp_path / "zoo", "zoo", trust_torch_files=True)
    export_population(lake, "zoo", tmp_path / "again", format="ray-tune")
    before, after = (json.loads((tmp_path / where / "a" / "params.json").read_text()) for where in ("zoo", "again"))
    assert before == after
    lines = [read_lines(tmp_path / where / "a" / "result.json") for where in ("zoo", "again")]
    assert lines[0] == lines[1]
    network = nn.Module()
    network.module_list = zoo_network(0.3)
    checkpoint, _ = read_trial(tmp_path / "again" / "a", 3)
    assert network.load_state_dict(checkpoint)


def test_the_small_cnn_zoo_is_read_as_it_was_published(lake: Lake, tmp_path: Path) -> None:
    matrix = write_matrix(tmp_path / "mnist")
    found = import_population(lake, tmp_path / "mnist", "small-cnn-mnist")
    population = load_population(lake, "SELECT model_id, 86 AS epoch FROM member ORDER BY model_id")
    kernel = population.tensors["sequential/conv2d_1/kernel:0"]
    assert kernel.shape == (4, 3, 3, 16, 16)
    final = matrix[[len(STEPS) * run + 2 for run in range(4)]]
    assert np.array_equal(kernel.numpy().reshape(4, -1), final[:, 160 + 16 : 2480])
    columns = "name, learning_rate, weight_decay, data_fraction, optimizer, width, depth"
    members = lake.sql(f"SELECT {columns} FROM member JOIN model USING (model_id) ORDER BY ALL")
    assert members.row(1) == (
        "1",
        0.0015,
        2e-5,
        0.25,
        "rmsprop",
        16,
        3,
    )
    said = lake.sql("SELECT value, number FROM statement WHERE name = 'config.init_std' ORDER BY ALL")
    assert said.row(0) == ("0.01", 0.01)
    assert lake.sql("SELECT count(*) AS n FROM training").item() == 4 * len(STEPS) * 4
    with pytest.raises(UsageError, match="stride 2"):
        load_module(lake, f"zoo:{found}/0")

    export_population(lake, found, tmp_path / "again", format="small-cnn-zoo")
    assert (tmp_path / "again" / "layout.csv").read_text() == (tmp_path / "mnist" / "layout.csv").read_text()
    metrics = [pd.read_csv(tmp_path / where / "metrics.csv.gz", compression="gzip") for where in ("mnist", "again")]
    pd.testing.assert_frame_equal(*metrics, check_exact=True)
    assert np.load(tmp_path / "again" / "weights.npy").tobytes() == matrix.tobytes()


def test_trained_members_go_out_as_a_matrix_that_readers_of_that_zoo_read(
    lake: Lake, tmp_path: Path, small_recipe: Recipe
) -> None:
    """Cut up by the layout and turned from Keras' order of axes into torch's, as readers in torch do it."""
    original = built(lake, small_recipe, workers=1)
    export_population(lake, original, tmp_path / "zoo", format="small-cnn-zoo")
    data = np.load(tmp_path / "zoo" / "weights.npy")
    metrics = pd.read_csv(tmp_path / "zoo" / "metrics.csv.gz", compression="gzip")
    layout = pd.read_csv(tmp_path / "zoo" / "layout.csv")
    last = (metrics["step"] == 2).to_numpy()
    assert np.isfinite(data[last]).all()
    weights, biases = [], []
    for _, row in layout.iterrows():
        array = data[last][:, row["start_idx"] : row["end_idx"]]
        array = array.reshape(len(array), *ast.literal_eval(row["shape"]))
        if row["varname"].endswith("kernel:0"):
            weights.append(array.transpose(0, 4, 3, 1, 2) if array.ndim == 5 else array.transpose(0, 2, 1))
        else:
            assert row["varname"].endswith("bias:0")
            biases.append(array)
    for place, name in enumerate(metrics[last]["modeldir"]):
        ours = load_weights(lake, f"zoo:{original}/{name}", 2)
        for number, layer in enumerate(LAYERS):
            assert np.array_equal(weights[number][place], ours[f"{layer}.weight"].numpy())
            assert np.array_equal(biases[number][place], ours[f"{layer}.bias"].numpy())
    assert metrics.columns[: len(LISTED)].to_list() == LISTED
    settings = metrics[["config.activation", "config.dropout", "config.train_fraction", "config.num_units"]]
    assert settings.drop_duplicates().to_numpy().tolist() == [["tanh", 0.0, 1.0, 4]]
    assert set(metrics["config.epochs_between_checkpoints"]) == {1}
    assert metrics[["config.b_init", "config.init_std", "config.w_init"]].isna().all(axis=None)
    accuracy = lake.sql("SELECT test_accuracy FROM models ORDER BY model_id")["test_accuracy"].to_list()
    assert metrics[last].sort_values("modeldir")["test_accuracy"].to_list() == accuracy


def test_files_with_a_table_are_read_by_safetensors_and_csv_alone(undisturbed: Lake, tmp_path: Path) -> None:
    export_population(undisturbed, "SELECT model_id FROM member", tmp_path / "zoo", format="state-dicts")
    with (tmp_path / "zoo" / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == undisturbed.sql("SELECT count(*) AS n FROM checkpoint").item()
    [population] = undisturbed.sql("SELECT population_id FROM population")["population_id"]
    for row in rows:
        ours = load_weights(undisturbed, f"zoo:{population}/{row['name']}", int(row["epoch"]))
        read = load_file(tmp_path / "zoo" / row["file"])
        assert {n: t.numpy().tobytes() for n, t in read.items()} == {n: t.numpy().tobytes() for n, t in ours.items()}


@pytest.mark.data
def test_real_weights_with_a_table_come_in_and_go_out(lake: Lake, data_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deformation"
    folder.mkdir()
    lines = ["file,seed,alpha"]
    for source in sorted((data_folder / "weights" / "silverman_deformation").glob("models__tandem__*.safetensors")):
        seed, alpha = source.stem.removeprefix("models__tandem__").split("-")
        (folder / source.name).write_bytes(source.read_bytes())
        lines.append(f"{source.name},{seed},{alpha}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    found = import_population(lake, folder, "deformation")
    query = "SELECT model_id FROM models JOIN measurement USING (model_id) WHERE metric = 'alpha' AND value = 0.1"
    assert load_population(lake, query).rows.height == 10
    export_population(lake, found, tmp_path / "again", format="state-dicts")
    for source in folder.glob("*.safetensors"):
        before, after = load_file(source), load_file(tmp_path / "again" / f"{source.stem}-e0.safetensors")
        assert {n: t.numpy().tobytes() for n, t in after.items()} == {n: t.numpy().tobytes() for n, t in before.items()}
