"""What members saw in training is what they are measured on; and what cannot be measured is a row with the reason."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

from learners import measure, phases_of_population
from learners.landscape.measuring.fingerprint import fingerprint
from learners.landscape.measuring.group import Group
from learners.landscape.measuring.metrics import METRICS
from miners import mine
from schemas import Lake, UsageError, open_lake
from tests.test_measuring import ALL, LIGHT, Mute
from tests.tiny_population import built, tiny_recipe
from zoo import from_arrays
from zoo.building import build
from zoo.datasets import Dataset, load_dataset
from zoo.describe import describe
from zoo.exchange.exporting import export_population
from zoo.exchange.importing import import_population
from zoo.load import load_module
from zoo.population import Samples
from zoo.recipe import parse_recipe
from zoo.train import noisy_labels, used_samples


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Members that saw half of the data or all of them, with true labels or a third of them wrong; two batch sizes."""
    folder = tmp_path_factory.mktemp("varied")
    lake = open_lake(folder / "lake")
    recipe = tiny_recipe(folder, width="3", batch_size="[8, 16]", epochs=2)
    fields = recipe.model_dump()
    fields["grid"] |= {"label_noise": (0.0, 0.34), "data_fraction": (0.5, 1.0)}
    built(lake, type(recipe).model_validate(fields), workers=1)
    return lake


@pytest.fixture
def varied_copy(varied: Lake, tmp_path: Path) -> Lake:
    shutil.copytree(varied.path, tmp_path / "copied")
    return open_lake(tmp_path / "copied")


def seen_by(lake: Lake, model_id: str) -> Samples:
    """What a member was trained on, by the trainer's own functions."""
    row = lake.sql("FROM member WHERE model_id = $id", id=model_id).row(0, named=True)
    described = describe(lake, model_id)
    data = load_dataset(described.dataset, described.split_seed)
    train = used_samples(data.train, row["data_fraction"] or 1.0)
    return Samples(train.x, noisy_labels(train.y, data.classes, row["label_noise"], row["seed"]))


def test_members_are_measured_on_what_they_were_trained_on(varied_copy: Lake) -> None:
    lake = varied_copy
    measure(lake, ALL, ["loss", "error", "hessian_trace", "generalisation_gap"], settings={"probes": 4, "steps": 4})
    values = lake.sql("PIVOT (SELECT model_id, metric, value FROM measurement) ON metric USING any_value(value)")
    assert values.height == 16
    for row in values.iter_rows(named=True):
        train, module = seen_by(lake, row["model_id"]), load_module(lake, row["model_id"])
        logits = module(train.x).detach()
        error = 100 * float((logits.argmax(dim=1) != train.y).double().mean())
        assert row["loss"] == pytest.approx(float(cross_entropy(logits, train.y)), rel=1e-5)
        assert row["error"] == pytest.approx(error)
        described = describe(lake, row["model_id"])
        test = load_dataset(described.dataset, described.split_seed).test
        wrong = 100 * float((module(test.x).detach().argmax(dim=1) != test.y).double().mean())
        assert row["generalisation_gap"] == pytest.approx(wrong - error)
    assert measure(lake, ALL, ["loss"])["known"].item() == 16
    settings = lake.sql("SELECT DISTINCT settings FROM measurement WHERE metric = 'loss'")["settings"].to_list()
    said = [(json.loads(text).get("data_fraction"), json.loads(text).get("labels")) for text in settings]
    assert sorted(map(str, said)) == sorted(
        map(str, [(None, None), (0.5, None), (None, "as trained"), (0.5, "as trained")])
    )


def test_pairs_are_measured_on_the_labels_of_both(varied_copy: Lake) -> None:
    lake = varied_copy
    measure(lake, ALL, ["mode_connectivity", "linear_barrier"], settings={"epochs": 1, "runs": 1, "points": 3})
    query = """
        SELECT first_id, second_id, value, standard_error, settings->>'$.place' AS place FROM pair_measurement
        WHERE metric = $metric AND value IS NOT NULL
    """
    ends = lake.sql(query, metric="curve_error").filter(pl.col("place") == "0.0")
    assert ends.height == 8
    for first, second, value, _, _ in ends.iter_rows():
        module, both = load_module(lake, first), (seen_by(lake, first), seen_by(lake, second))
        wrong = [float((module(train.x).detach().argmax(dim=1) != train.y).double().mean()) for train in both]
        assert value == pytest.approx(100 * np.mean(wrong))
    barriers = lake.sql(query, metric="linear_barrier")
    assert barriers["standard_error"].null_count() == 0
    lines = lake.sql(query, metric="line_error")
    assert lines["standard_error"].null_count() == 0


def test_rows_name_the_share_of_the_data_only_where_it_was_used(varied_copy: Lake) -> None:
    """Of members with half of the data similarity is that on samples of all of them, and its rows say nothing else."""
    lake, light = varied_copy, {"samples": 40, "batch": 20, "draws": 3}
    measure(lake, ALL, ["cka", "disagreement", "l2_distance", "linear_barrier", "ece", "loss"], settings=light)
    query = """
        SELECT metric, bool_or(settings->>'$.data_fraction' = '0.5') AS said FROM (
            SELECT metric, settings FROM measurement UNION ALL SELECT metric, settings FROM pair_measurement
        ) GROUP BY metric
    """
    said = {metric: bool(found) for metric, found in lake.sql(query).iter_rows()}
    assert {name for name, found in said.items() if found} == {"loss", "error", *LINE}
    assert {"cka", "biased_cka", "disagreement", "jensen_shannon", "l2_distance", "ece", "temperature"} <= said.keys()
    halves = "SELECT model_id FROM member WHERE data_fraction = 0.5 AND label_noise = 0 AND batch_size = 8 ORDER BY ALL"
    first, second = lake.sql(halves)["model_id"].to_list()
    described = describe(lake, first)
    data = load_dataset(described.dataset, described.split_seed)
    drawn = Group([first], load_module(lake, first), {}, data, 0).drawn(40)
    assert len(data.train) > 2 * len(seen_by(lake, first)) - 2
    outputs = [load_module(lake, name)(drawn.x).detach() for name in (first, second)]
    differ = float((outputs[0].argmax(dim=1) != outputs[1].argmax(dim=1)).double().mean())
    pair = "SELECT value FROM pair_measurement WHERE metric = 'disagreement' AND first_id = $first"
    assert lake.sql(pair, first=first).item() == pytest.approx(differ)


LINE = ("linear_barrier", "line_error", "line_loss")


def test_a_third_axis_is_not_pooled(varied_copy: Lake) -> None:
    lake, quick = varied_copy, {"epochs": 1, "runs": 1, "points": 3, "probes": 4, "steps": 4}
    with pytest.raises(UsageError, match=r"varies data_fraction beside label_noise.*--at data_fraction=1"):
        phases_of_population(lake, "tiny", settings=quick)
    assert lake.sql("SELECT count(*) FROM measurement").item() == 0  # said before the work
    with pytest.raises(UsageError, match=r"expected one of: 0.5, 1.0"):
        phases_of_population(lake, "tiny", settings=quick, at={"data_fraction": 0.3})
    with pytest.raises(UsageError, match="did you mean 'data_fraction'"):
        phases_of_population(lake, "tiny", settings=quick, at={"data_fractions": 0.5})
    half = phases_of_population(lake, "tiny", settings=quick, at={"data_fraction": "0.5"})
    whole = phases_of_population(lake, "tiny", settings=quick, at={"data_fraction": 1.0})
    phases_of_population(lake, "tiny", settings=quick, at={"data_fraction": 1.0})
    assert (half.axes, half.held) == (("label_noise", "batch_size"), {"data_fraction": 0.5})
    assert set(half.table["members"]) == set(whole.table["members"]) == {2}
    rows = lake.sql("SELECT held, load, temperature, train_loss, test_accuracy FROM phases ORDER BY ALL")
    assert rows.height == 8
    for held, load, temperature, loss, accuracy in rows.iter_rows():
        fraction = json.loads(held)["data_fraction"]
        query = """
            SELECT avg(test_accuracy), list(model_id) FROM models JOIN member USING (model_id)
            WHERE member.label_noise = $load AND member.batch_size = $temperature AND member.data_fraction = $fraction
        """
        wanted, names = lake.sql(query, load=load, temperature=temperature, fraction=fraction).row(0)
        assert accuracy == pytest.approx(wanted)
        losses = []
        for name in names:
            train = seen_by(lake, name)
            losses.append(float(cross_entropy(load_module(lake, name)(train.x).detach(), train.y)))
        assert loss == pytest.approx(np.mean(losses), rel=1e-5)


def spoiled(lake: Lake, model_id: str, value: float) -> None:
    """Overwrite all weights of a member in its shard."""
    query = "SELECT shard, row FROM checkpoint WHERE model_id = $id AND final"
    shard, row = lake.sql(query, id=model_id).row(0)
    path = lake.weights.folder / shard
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    for tensor in tensors.values():
        tensor[row] = value
    save_file(tensors, path)


OF_OUTPUTS = [
    *("loss", "error", "generalisation_gap", "temperature", "ece", "nc4", "hessian_trace", "hessian_eigenvalue"),
    *("loss_line", "cka", "disagreement", "jensen_shannon", "mode_connectivity", "linear_barrier", "el2n", "grand"),
]


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_one_diverged_member_ends_no_family_and_has_no_values(copied: Lake, value: float) -> None:
    """By turns weights that are no numbers, and such of which outputs are none."""
    ids = copied.sql(ALL)["model_id"].to_list()
    spoiled(copied, ids[0], value)
    measure(copied, ALL, list(METRICS) if np.isnan(value) else OF_OUTPUTS, settings=LIGHT)
    single = copied.sql("SELECT metric, value, reason FROM measurement WHERE model_id = $id", id=ids[0])
    of_weights = {"l2_distance", "cosine_distance", "aligned_l2_distance", "aligned_cosine_distance"}
    of_parts = {"line_loss", "line_error", "layer_cka", "layer_biased_cka"}  # the other end, the first layer
    has = {name for name, number, _ in single.iter_rows() if number is not None}
    assert has <= {name for name in METRICS if name.startswith("learning_curve")}, has
    assert single.filter(pl.col("value").is_null())["reason"].null_count() == 0
    pairs = copied.sql("SELECT metric, value FROM pair_measurement WHERE first_id = $id OR second_id = $id", id=ids[0])
    has = {name for name, number in pairs.iter_rows() if number is not None}
    assert has <= (set() if np.isnan(value) else of_weights | of_parts), has
    others = copied.sql("SELECT metric, count(value) FROM measurement WHERE model_id = $id GROUP BY ALL", id=ids[7])
    assert dict(others.iter_rows())["loss"] == 1
    assert {"hessian_trace", "ece", "temperature", "loss_line"} <= {n for n, count in others.iter_rows() if count}
    scores = copied.sql("SELECT DISTINCT metric, models FROM example_measurement WHERE value IS NOT NULL").rows()
    assert sorted(scores) == [("el2n", 7), ("grand", 7)]


def test_phases_are_given_in_spite_of_a_diverged_member(copied: Lake) -> None:
    spoiled(copied, copied.sql(ALL)["model_id"][0], float("nan"))
    found = phases_of_population(copied, "tiny", settings={"epochs": 1, "runs": 1, "points": 3, "probes": 4})
    assert found.table["train_loss"].null_count() == 0
    assert found.table["mode_connectivity"].null_count() == 1  # its cell has one pair, of which it is part


PINN = """
name = "waves"
architecture = "pinn"
dataset = "convection"
epochs = 2
optimizer = "adam"
[grid]
width = 3
batch_size = 500
seeds = 2
learning_rate = 0.01
convection = [1.0, 30.0]
"""


def test_networks_of_an_equation_have_their_own_loss_curvature_and_distances(lake: Lake) -> None:
    build(lake, parse_recipe(PINN.encode(), "waves.toml"), device="cpu", workers=1)
    names = ["loss", "hessian_trace", "hessian_top_eigenvalue", "hessian_smallest_eigenvalue", "aligned_l2_distance"]
    quick = {"samples": 50, "trace_tolerance": 0.3}
    done = measure(lake, ALL, [*names, "l2_distance", "error", "mode_connectivity", "loss_line"], settings=quick)
    counts = {name: (measured, dead) for name, measured, _, dead in done.iter_rows()}
    assert counts == {
        **dict.fromkeys(names[:4], (4, 0)),
        **dict.fromkeys(["aligned_l2_distance", "l2_distance"], (2, 0)),
        **dict.fromkeys(["error", "loss_line"], (0, 4)),
        "mode_connectivity": (0, 2),
    }
    reasons = lake.sql("SELECT DISTINCT reason FROM measurement WHERE value IS NULL")["reason"].to_list()
    assert sorted(reasons) == [
        "error needs classes, and a physics-informed network has none",
        "loss_line of physics-informed networks is not computed: it is offered for losses of classes alone",
    ]
    trained = "SELECT model_id, value FROM training WHERE split = 'validation' AND metric = 'loss' AND epoch = 2"
    losses = dict(lake.sql("SELECT model_id, value FROM measurement WHERE metric = 'loss'").iter_rows())
    for model_id, value in lake.sql(trained).iter_rows():
        assert losses[model_id] == pytest.approx(value, rel=0.3)  # other places, the same equation
    aligned = "PIVOT (SELECT first_id, metric, value FROM pair_measurement) ON metric USING any_value(value)"
    rows = lake.sql(aligned)
    assert (rows["aligned_l2_distance"] < rows["l2_distance"] + 1e-6).all()
    for model_id in lake.sql(ALL)["model_id"].to_list():
        check_curvature(lake, model_id)


def check_curvature(lake: Lake, model_id: str) -> None:
    """Against the Hessian that torch's own function gives of the loss written out."""
    module = load_module(lake, model_id).double()
    described = describe(lake, model_id)
    data = load_dataset(described.dataset, described.split_seed)
    drawn = Group([model_id], module, {}, data, 0).drawn(50).x.double()
    coefficient = lake.sql("SELECT convection FROM member WHERE model_id = $id", id=model_id).item()
    named = dict(module.named_parameters())
    shapes = [tensor.shape for tensor in named.values()]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = torch.split(flat, [shape.numel() for shape in shapes])
        state = {name: part.view(shape) for name, part, shape in zip(named, parts, shapes, strict=True)}

        def u(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = torch.func.functional_call(module, state, (torch.stack([x, t], dim=1),))
            return out[:, 0]

        x, t, start, edge = (part.clone().requires_grad_() for part in drawn.unbind(dim=1))
        in_x, in_t = torch.autograd.grad(u(x, t).sum(), (x, t), create_graph=True)
        zero = torch.zeros_like(start)
        initial = u(start, zero) - start.sin()
        around = u(zero, edge) - u(zero + 2 * torch.pi, edge)
        mean: torch.Tensor = ((in_t + coefficient * in_x) ** 2 + initial**2 + around**2).mean()
        return mean

    flat = torch.cat([tensor.detach().flatten() for tensor in named.values()])
    exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))  # type: ignore[no-untyped-call] # torch's
    values = dict(lake.sql("SELECT metric, value FROM measurement WHERE model_id = $id", id=model_id).iter_rows())
    assert values["hessian_top_eigenvalue"] == pytest.approx(float(exact[-1]), rel=2e-3)
    assert values["hessian_smallest_eigenvalue"] == pytest.approx(
        float(exact[0]), rel=5e-3, abs=1e-4 * float(exact[-1])
    )


def noisy_copy(varied: Lake, lake: Lake, folder: Path) -> str:
    """The members with noise or half of the data, exported and imported again; gives the query that selects them."""
    query = "SELECT model_id FROM member WHERE (label_noise > 0 OR data_fraction < 1) AND batch_size = 8"
    export_population(varied, query, folder / "zoo", format="state-dicts")
    found = import_population(
        lake, folder / "zoo", "again", dataset=varied.sql("SELECT DISTINCT dataset FROM population").item()
    )
    return f"SELECT model_id FROM member WHERE population_id = '{found}'"


def test_an_imported_member_that_was_trained_by_weightlake_is_measured_as_trained(
    varied: Lake, lake: Lake, tmp_path: Path
) -> None:
    query = noisy_copy(varied, lake, tmp_path)
    measure(lake, query, ["loss"])
    rows = lake.sql("SELECT model_id, value, settings FROM measurement WHERE metric = 'loss' AND value IS NOT NULL")
    ours = rows.filter(pl.col("settings").str.contains("landscape"))
    assert ours.height == 6
    for model_id, value, _ in ours.iter_rows():
        train = seen_by(lake, model_id)
        assert value == pytest.approx(
            float(cross_entropy(load_module(lake, model_id)(train.x).detach(), train.y)), rel=1e-5
        )


def test_rows_of_members_that_another_program_trained_on_noise_say_so(varied: Lake, lake: Lake, tmp_path: Path) -> None:
    query = noisy_copy(varied, lake, tmp_path)
    with lake.write() as transaction:  # as of a foreign zoo: its labels are not known here
        transaction.sql("UPDATE population SET recipe = json_object('imported', recipe -> '$.imported')")
    measure(lake, query, ["loss", "disagreement"])
    told = "SELECT model_id, value, settings->>'$.trained_on' AS told FROM measurement WHERE metric = 'loss' AND {}"
    rows = lake.sql(told.format("settings->>'$.landscape' IS NOT NULL"))
    assert rows.height == 6
    for model_id, value, said in rows.iter_rows():
        assert "not known here" in said
        described = describe(lake, model_id)
        train = load_dataset(described.dataset, described.split_seed).train
        assert value == pytest.approx(
            float(cross_entropy(load_module(lake, model_id)(train.x).detach(), train.y)), rel=1e-5
        )
    pairs = lake.sql("SELECT settings FROM pair_measurement WHERE metric = 'disagreement'")["settings"].to_list()
    assert pairs
    assert not any("trained_on" in text for text in pairs)


class Scaled(torch.nn.Sequential):
    """A network with a factor of which its text says nothing."""

    factor = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.factor * super().forward(x)  # type: ignore[no-untyped-call] # torch's
        return out


def layers(inputs: int = 64) -> list[torch.nn.Module]:
    return [torch.nn.Flatten(), torch.nn.Linear(inputs, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3)]


@pytest.fixture
def mined(lake: Lake, tmp_path: Path) -> tuple[Lake, Dataset]:
    """Two models of a folder, and data that fit them."""
    for number in range(2):
        network = torch.nn.Sequential(*layers())
        torch.manual_seed(number)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
        folder = tmp_path / "hub" / "ada" / f"net{number}"
        folder.mkdir(parents=True)
        save_file(network.state_dict(), folder / "model.safetensors")
    mine(lake, "local", folder=tmp_path / "hub")
    images: Any = np.random.default_rng(0).random((90, 8, 8), dtype=np.float32)
    return lake, from_arrays("mine", 0, [(images, np.arange(90) % 3)])


def test_networks_of_one_text_that_compute_something_else_share_no_values(mined: tuple[Lake, Dataset]) -> None:
    lake, data = mined
    query = "SELECT model_id FROM model ORDER BY ALL"
    plain, scaled = Scaled(*layers()), Scaled(*layers())
    scaled.factor = 3.0
    assert repr(plain) == repr(scaled)
    for network in (plain, scaled):
        assert measure(lake, query, ["loss"], architecture=network, data=data)["measured"].item() == 2
    again = Scaled(*layers())
    assert measure(lake, query, ["loss"], architecture=again, data=data)["known"].item() == 2
    values = lake.sql("SELECT value FROM measurement WHERE metric = 'loss' AND model_id LIKE '%net0'")["value"]
    assert len(set(values)) == 2


def test_networks_with_batch_normalisation_are_measured(lake: Lake, tmp_path: Path) -> None:
    built(lake, tiny_recipe(tmp_path, architecture="resnet18", width="2", batch_size="8", epochs=1), workers=1)
    metrics = ["loss", "l2_distance", "hessian_trace", "mode_connectivity", "linear_barrier", "cka", "nc1"]
    measure(lake, ALL, metrics, settings={name: LIGHT[name] for name in LIGHT if name != "count"})
    found = lake.sql(
        "SELECT metric, value, reason FROM measurement UNION ALL SELECT metric, value, reason FROM pair_measurement"
    ).filter(pl.col("value").is_null())
    assert found.is_empty(), found.rows()
    for model_id in lake.sql(ALL)["model_id"]:
        described = describe(lake, model_id)
        train = load_dataset(described.dataset, described.split_seed).train
        with torch.no_grad():
            loss = cross_entropy(load_module(lake, model_id).eval()(train.x), train.y).item()
        measured = lake.sql(
            "SELECT value FROM measurement WHERE metric = 'loss' AND model_id = $id", id=model_id
        ).item()
        assert measured == pytest.approx(loss, rel=1e-5)


def test_what_tells_networks_apart() -> None:
    x = torch.rand(8, 1, 8, 8)
    base = fingerprint(torch.nn.Sequential(*layers()), x)
    assert fingerprint(torch.nn.Sequential(*layers()), x) == base  # other values
    assert fingerprint(torch.nn.Sequential(*layers()).train(), x) == base
    clipped = [torch.nn.Flatten(), torch.nn.Linear(64, 4), torch.nn.ReLU6(), torch.nn.Linear(4, 3)]
    assert fingerprint(torch.nn.Sequential(*clipped), x) != base

    def made(function: Any) -> torch.nn.Module:
        class Own(torch.nn.Sequential):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = function(super().forward(x))  # type: ignore[no-untyped-call] # torch's
                return out

        return Own(*layers())

    sine, cosine = fingerprint(made(torch.sin), x), fingerprint(made(torch.cos), x)
    assert sine != cosine
    assert sine == fingerprint(made(torch.sin), x)
    assert fingerprint(made(torch.relu), x) != fingerprint(made(torch.nn.functional.relu6), x)
    assert fingerprint(torch.nn.Sequential(*layers(63)), x) != base  # does not run, and is told apart all the same


class Picky(torch.nn.Sequential):
    """A network that fails on its data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyError("pixel_values")


class Narrow(torch.nn.Sequential):
    """A network with fewer outputs than there are classes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = super().forward(x)[:, :2]  # type: ignore[no-untyped-call] # torch's
        return out


@pytest.mark.parametrize(
    ("kind", "names", "says"),
    [
        (Picky, list(METRICS), "does not run on its data: KeyError"),
        (Narrow, ["loss", "cka", "hessian_trace", "l2_distance", "el2n"], r"gives outputs \[2, 2\] for 2 samples"),
    ],
)
def test_a_network_that_does_not_fit_its_data_is_a_reason(
    mined: tuple[Lake, Dataset], kind: type[torch.nn.Sequential], names: list[str], says: str
) -> None:
    lake, data = mined
    query = "SELECT model_id FROM model"
    done = measure(lake, query, names, architecture=kind(*layers()), data=data)
    fine = {"l2_distance", "cosine_distance"}
    assert set(done.filter(pl.col("measured") > 0)["metric"]) == fine & set(names)
    rows = lake.sql("SELECT metric, reason FROM measurement UNION ALL SELECT metric, reason FROM pair_measurement")
    dead = rows.filter(~pl.col("metric").is_in(fine) & ~pl.col("metric").str.starts_with("learning"))
    assert dead["reason"].str.contains(says).all()
    assert lake.sql("SELECT DISTINCT reason FROM example_measurement")["reason"].str.contains(says).all()


def test_a_network_without_gradients_has_reasons_and_all_that_needs_none(mined: tuple[Lake, Dataset]) -> None:
    lake, data = mined
    done = measure(
        lake, "SELECT model_id FROM model", list(METRICS), architecture=Mute(*layers()), data=data, settings=LIGHT
    )
    measured = set(done.filter(pl.col("measured") > 0)["metric"])
    assert {"loss", "error", "linear_barrier", "cka", "ece", "loss_line"} <= measured
    assert not measured & {"hessian_trace", "mode_connectivity", "curve_loss", "negative_share", "layer_hessian_trace"}
    reason = lake.sql("SELECT DISTINCT reason FROM pair_measurement WHERE metric = 'mode_connectivity'").item()
    assert "cannot be differentiated" in reason
