"""Penalties of a lake's models: rows, resuming, what is not measured twice, refusals, pictures, the command."""

import json
import math
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.cluster.hierarchy import fcluster  # type: ignore[import-untyped]
from torch import Tensor, nn

from learners import (
    JointTraining,
    PenaltyMatrix,
    PenaltySettings,
    StitchRecipe,
    draw_penalties,
    join,
    report,
    stitch,
    stitch_penalties,
    trace,
)
from learners.reporting.stitching import stitching_section
from learners.stitching import measuring
from learners.stitching.contrast import Matrix, contrast, mean_of_pairs
from learners.stitching.joints import Joints, fit_joints
from learners.stitching.penalty import Penalty, penalties
from learners.stitching.penalty_chart import penalty_heat_map
from learners.stitching.tiles import Tile, tiles
from learners.stitching.training import StitchTraining
from schemas import DataError, Lake, UsageError
from tests.mined_models import add_model, repository
from tests.test_command_line import Run, run
from tests.tiny_population import built, tiny_recipe
from zoo.datasets import Dataset, load_dataset
from zoo.describe import describe
from zoo.load import load_module, load_weights
from zoo.population import Samples
from zoo.randomness import generator

EVERYBODY = "SELECT model_id FROM models ORDER BY model_id"
FEW = f"{EVERYBODY} LIMIT 3"
SMALL = PenaltySettings(fit_samples=30)


def test_a_try_on_few_samples_stands_beside_the_whole_measurement(copied: Lake) -> None:
    whole = stitch_penalties(copied, FEW, SMALL)
    quick = stitch_penalties(copied, FEW, replace(SMALL, held_out_samples=7))
    assert (whole.measured, quick.measured) == (9, 9)
    assert set(quick.rows["samples"]) == {7}
    assert all(samples > 7 for samples in whole.rows["samples"])
    again = stitch_penalties(copied, FEW, SMALL)
    assert (again.measured, again.rows.to_dicts()) == (0, whole.rows.to_dicts())


def test_every_pair_has_rows_and_they_are_what_one_stitched_network_costs(copied: Lake) -> None:
    found = stitch_penalties(copied, EVERYBODY, PenaltySettings())
    assert len(found.models) == 8
    assert found.measured == 64
    assert found.rows.height == 64 * 2
    rows = copied.sql("SELECT metric, count(*) AS n FROM pair_measurement GROUP BY ALL ORDER BY ALL").rows()
    assert rows == [("stitch_loss_penalty", 128), ("stitch_penalty", 128), ("stitched_error", 128)]
    one = found.rows.filter(front=found.models[0], end=found.models[7], cut="linear2").row(0, named=True)
    front, end = (load_module(copied, found.models[number]) for number in (0, 7))
    dataset = load_dataset(copied.sql("SELECT dataset FROM population")["dataset"][0], 0)
    joined = join(trace(front), 1, trace(end), 1, [dataset.train.x])
    error, own = ((module(dataset.test.x).argmax(1) != dataset.test.y).double().mean() for module in (joined, end))
    assert one["error"] == pytest.approx(float(error))
    assert one["penalty"] == pytest.approx(float(error - own))
    assert one["low"] <= one["penalty"] <= one["high"]
    settings = json.loads(one["settings"])
    assert settings.pop("front_weights") != settings.pop("end_weights")
    assert settings == {
        "joint": "least squares",
        "ridge": 0.0,
        "fit_samples": 2000,
        "front_cut": 1,
        "end_cut": 1,
        "end_cut_name": "linear2",
    }
    assert np.diag(found.matrix()).tolist() == [0.0] * 8


def test_measuring_twice_does_not_compute_twice(copied: Lake) -> None:
    first = stitch_penalties(copied, FEW, SMALL)
    again = stitch_penalties(copied, FEW, SMALL)
    assert (first.measured, again.measured) == (9, 0)
    assert again.rows.equals(first.rows)
    more = stitch_penalties(copied, f"{EVERYBODY} LIMIT 4", SMALL)
    assert more.measured == 16 - 9
    assert more.rows.filter(pl.col("front").is_in(first.models), pl.col("end").is_in(first.models)).equals(first.rows)
    other = stitch_penalties(copied, FEW, PenaltySettings(fit_samples=30, ridge=0.5))
    assert other.measured == 9
    trained = PenaltySettings(fit_samples=30, training=JointTraining(epochs=1))
    assert stitch_penalties(copied, FEW, trained).rows.group_by("joint").len().sort("joint").rows() == [
        ("least squares", 18),
        ("trained", 18),
    ]
    twice = "SELECT count(*) FROM pair_measurement GROUP BY first_id, second_id, metric, settings, split, seed"
    assert set(copied.sql(twice).to_series().to_list()) == {1}


def test_a_run_that_was_ended_goes_on_and_tiles_change_nothing(copied: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stitch_penalties(copied, EVERYBODY, SMALL)
    with copied.write() as transaction:
        transaction.sql("DELETE FROM pair_measurement")
    monkeypatch.setattr(measuring, "SUMS", 2 * 8 * 12**2)
    monkeypatch.setattr(measuring, "ENDS_AT_ONCE", 2)
    monkeypatch.setattr(measuring, "VALUES", 32)

    class Ended(Exception):
        pass

    def end(done: int, total: int | None, what: str) -> None:
        assert total == 64
        if done >= 20:
            raise Ended

    with pytest.raises(Ended):
        stitch_penalties(copied, EVERYBODY, SMALL, progress=end)
    rest = stitch_penalties(copied, EVERYBODY, SMALL)
    assert 0 < rest.measured <= 44
    for column in ("penalty", "loss_penalty", "error"):
        np.testing.assert_allclose(
            rest.matrix(column), whole.matrix(column), atol=3e-4
        )  # joints to 30 samples of float32


def test_a_pair_whose_sums_do_not_fit_together_is_measured_cut_by_cut(
    copied: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stitch_penalties(copied, FEW, SMALL)
    with copied.write() as transaction:
        transaction.sql("DELETE FROM pair_measurement")
    monkeypatch.setattr(measuring, "SUMS", 1)
    sums: list[int] = []

    def fitted(networks: Any, forms: Any, places: Any, *rest: Any) -> Any:
        sums.append(len(places))
        return fit_joints(networks, forms, places, *rest)

    monkeypatch.setattr(measuring, "fit_joints", fitted)
    found = stitch_penalties(copied, FEW, SMALL)
    assert sums == [1] * 9 * 2
    assert found.measured == 9
    np.testing.assert_allclose(found.matrix("loss_penalty"), whole.matrix("loss_penalty"), atol=3e-4)


def test_what_goes_through_at_once_has_room_for_outputs_beside_the_values_at_cuts(
    copied: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def seen(joints: Joints, held_out: Samples, at_once: int) -> list[Penalty]:
        sizes.append(at_once)
        return penalties(joints, held_out, at_once)

    monkeypatch.setattr(measuring, "penalties", seen)
    stitch_penalties(copied, FEW, PenaltySettings(fit_samples=20))
    whole = max(sizes)
    sizes.clear()
    models = copied.sql(FEW)["model_id"].to_list()
    width = copied.sql("SELECT sum(width) FROM member WHERE model_id IN (SELECT unnest($ids))", ids=models).item()
    cuts, outputs = 2 * int(width), 3 * len(models)  # two layers of that width, three classes
    monkeypatch.setattr(measuring, "VALUES", 4 * (cuts + outputs))
    stitch_penalties(copied, FEW, PenaltySettings(fit_samples=20, seed=1, held_out_samples=whole))
    assert sizes == [4]


def test_checkpoints_of_one_run_are_models_of_their_own(copied: Lake) -> None:
    query = f"SELECT model_id, epoch FROM checkpoint WHERE model_id = ({EVERYBODY} LIMIT 1) ORDER BY epoch"
    found = stitch_penalties(copied, query, SMALL)
    assert [name.partition(" ")[2] for name in found.models] == ["(epoch 0)", "(epoch 1)", "(epoch 3)"]
    assert found.rows.filter(front=found.models[0], end=found.models[2])["front_epoch"].to_list() == [0, 0]
    assert stitch_penalties(copied, query, SMALL).measured == 0


def test_a_model_whose_weights_were_replaced_is_measured_anew(copied: Lake) -> None:
    first = stitch_penalties(copied, FEW, SMALL)
    shard, row = copied.sql("SELECT shard, row FROM checkpoint WHERE model_id = $id AND final", id=first.models[1]).row(
        0
    )
    tensors = copied.weights.read(shard)
    tensors["linear2.weight"][row] *= 1.5
    copied.weights.write(shard, tensors)
    found = stitch_penalties(copied, FEW, SMALL)
    assert found.measured == 9 - 4  # all with that model on one side
    fresh = stitch_penalties(copied, FEW, replace(SMALL, ridge=1e-12))
    np.testing.assert_allclose(found.matrix("loss_penalty"), fresh.matrix("loss_penalty"), atol=3e-4)


def test_cuts_can_be_chosen(copied: Lake) -> None:
    found = stitch_penalties(copied, FEW, PenaltySettings(cuts=("linear2",), fit_samples=30))
    assert found.rows["cut"].unique().to_list() == ["linear2"]


@pytest.mark.parametrize(
    ("query", "settings", "reason"),
    [
        (f"{EVERYBODY} LIMIT 1", SMALL, "at least two models"),
        (f"({FEW}) UNION ALL ({FEW})", SMALL, "is selected twice; add DISTINCT"),
        ("SELECT 'zoo:none/a' AS model_id UNION ALL SELECT 'zoo:none/b'", SMALL, "zoo:none/a"),
        (FEW, PenaltySettings(cuts=("conv1",)), r"w3-b4-s0: there is no cut 'conv1'; this network has the cuts 0"),
        (FEW, PenaltySettings(held_out="train"), "held_out = 'train': expected one of test, validation"),
        (FEW, PenaltySettings(ridge=math.nan), "ridge = nan: ridge must be a finite number that is not negative"),
        (FEW, PenaltySettings(fit_samples=1), "fit_samples = 1: expected at least 2"),
        (FEW, PenaltySettings(training=JointTraining(epochs=0)), "epochs = 0: expected at least 1"),
        (FEW, PenaltySettings(training=JointTraining(learning_rate=-1)), "learning_rate = -1"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    undisturbed: Lake, query: str, settings: PenaltySettings, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        stitch_penalties(undisturbed, query, settings)
    assert "\n" not in str(raised.value)


def test_models_of_other_data_are_refused(copied: Lake, tmp_path: Path) -> None:
    built(copied, tiny_recipe(tmp_path, width="3", batch_size="4", epochs=1))
    with pytest.raises(UsageError, match=r"cannot be stitched: zoo:.* has dataset npz:.*; select one dataset"):
        stitch_penalties(copied, EVERYBODY, SMALL)


def test_other_architectures_are_joined_where_that_means_something(copied: Lake, images: Path) -> None:
    built(copied, tiny_recipe(images, architecture="cnn", width="4", batch_size="8", epochs=1))
    query = "SELECT min(model_id) AS model_id FROM models GROUP BY architecture, width ORDER BY ALL"
    found = stitch_penalties(copied, query, SMALL)
    assert found.rows.filter(pl.col("front") != pl.col("end")).height > 0
    assert "say nothing of places" in found.left_out["reason"][0]
    with pytest.raises(UsageError, match="cut = 'linear1' is another place in cnn and in mlp"):
        found.matrix(cut="linear1")
    linear1 = found.matrix(cut="linear1", architecture="cnn")
    ends = [name for name, column in zip(found.models, linear1.T, strict=True) if not np.isnan(column).all()]
    assert ends == copied.sql("SELECT min(model_id) AS id FROM models WHERE architecture = 'cnn'")["id"].to_list()
    same = found.summary().filter(cut="linear1")
    assert same["end_architecture"].to_list() == ["cnn", "mlp"]
    assert same["penalty"].to_list() == pytest.approx(
        [
            found.rows.filter(pl.col("front") != pl.col("end"), cut="linear1", end_architecture=kind)["penalty"].mean()
            for kind in ("cnn", "mlp")
        ]
    )
    shown = {figure.title: figure for figure in stitching_section(copied, None).figures}["Stitch penalties"].panels
    assert shown
    pairs = [row for each in shown for part in each.specification["datasets"].values() for row in part if "x" in row]
    named = {row[side].partition(" ")[0] for row in pairs for side in ("front", "end") if "penalty" in row}
    assert named == {"cnn", "mlp"}
    with pytest.raises(UsageError, match="architecture = 'vit': expected one of cnn, mlp"):
        found.matrix(architecture="vit")
    with pytest.raises(UsageError, match=r"cannot be joined to .* at conv1: 3 features say nothing of places"):
        stitch_penalties(copied, query, PenaltySettings(cuts=(0,)))


def test_damaged_weights_are_refused(copied: Lake) -> None:
    shard = copied.sql("SELECT shard FROM checkpoint WHERE final ORDER BY model_id")["shard"][0]
    tensors = copied.weights.read(shard)
    tensors["linear2.weight"][:] = math.nan
    copied.weights.write(shard, tensors)
    with pytest.raises(DataError, match=r"w3-b4-s0 gives values that are not finite; leave it out"):
        stitch_penalties(copied, FEW, SMALL)


def made(penalty: Matrix) -> PenaltyMatrix:
    models = tuple(f"m{number}" for number in range(len(penalty)))
    rows = [
        {"front": a, "end": b, "joint": "least squares", "cut": "c", "end_cut": 0, "penalty": penalty[i, j]}
        for i, a in enumerate(models)
        for j, b in enumerate(models)
    ]
    frame = pl.DataFrame(rows).with_columns(loss_penalty=pl.col("penalty"))
    return PenaltyMatrix(models, frame, 0, pl.DataFrame())


def blocks(
    source: np.random.Generator, effect: float
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], list[str]]:
    """Penalties of 8 models in two groups: each model has a level of its own, pairs across cost `effect` more."""
    groups = list("aaaabbbb")
    across = np.array([[a != b for b in groups] for a in groups])
    level = source.normal(0, 0.05, 8)
    return level[:, None] + level[None, :] + effect * across + source.normal(0, 0.01, (8, 8)) + 0.2, groups


def test_distances_and_dendrogram_find_the_groups() -> None:
    penalty, groups = blocks(np.random.default_rng(0), 0.1)
    matrix = made(penalty)
    distances = matrix.distances()
    assert (distances == distances.T).all()
    assert (np.diag(distances) == 0).all()
    found = fcluster(matrix.dendrogram(), 2, criterion="maxclust")
    assert len(set(zip(found, groups, strict=True))) == 2
    assert sorted(matrix.order()) == sorted(matrix.models)


def test_the_contrast_finds_what_is_there_and_nothing_else() -> None:
    penalty, groups = blocks(np.random.default_rng(0), 0.1)
    found = contrast(penalty, groups, shuffles=500)
    assert found.difference == pytest.approx(0.1, abs=0.02)
    assert found.p_value < 0.05
    assert (found.pairs_inside, found.pairs_across) == (24, 32)
    source = np.random.default_rng(1)
    values = [contrast(blocks(source, 0.0)[0], groups, shuffles=39, draws=2, seed=seed).p_value for seed in range(100)]
    assert sum(value <= 0.05 for value in values) <= 12  # 5 expected; 12 and more in one of 500 such tests
    with pytest.raises(UsageError, match="expected two groups"):
        contrast(penalty, ["a"] * 8)


def test_the_interval_of_a_contrast_covers_what_is_there() -> None:
    source, groups = np.random.default_rng(5), ["a"] * 4 + ["b"] * 4
    found = [contrast(blocks(source, 0.05)[0], groups, shuffles=1, draws=200) for _ in range(100)]
    covered = sum(each.low <= 0.05 <= each.high for each in found)
    assert covered >= 85  # 95 expected; a bootstrap of eight models covers less than it says


def test_a_contrast_within_strata_is_a_regression_with_a_constant_for_each() -> None:
    """What hangs on width alone is no difference between groups, though groups differ in their widths."""
    source = np.random.default_rng(3)
    width, groups = [1] * 6 + [2] * 6, ["a"] * 5 + ["b", "a"] + ["b"] * 5
    place = np.array(width, dtype=np.float64)
    penalty = source.normal(0, 0.01, (12, 12)) + 0.5 / (place[:, None] * place[None, :])
    found = contrast(penalty, groups, strata=width, shuffles=50, draws=200)
    front, end = np.nonzero(~np.eye(12, dtype=bool))
    across = np.array([groups[i] != groups[j] for i, j in zip(front, end, strict=True)], dtype=np.float64)
    constants = np.eye(4)[[2 * (width[i] - 1) + width[j] - 1 for i, j in zip(front, end, strict=True)]]
    fitted = np.linalg.lstsq(np.column_stack([constants, across]), penalty[front, end], rcond=None)[0]
    assert found.difference == pytest.approx(fitted[-1], abs=1e-12)
    assert found.low < 0 < found.high
    assert abs(contrast(penalty, groups, shuffles=1, draws=2).difference) > 2 * abs(found.difference)


def test_a_contrast_without_sides_is_a_regression_with_a_constant_for_each_front_and_end() -> None:
    """Where fronts of one group are bad and ends of the other are spoilt by them, no pair has to do with the other."""
    source = np.random.default_rng(6)
    groups = ["a"] * 8 + ["b"] * 3
    front_cost, end_cost = (source.normal(np.repeat([0.3, 0.0], [8, 3]) * sign, 0.02) for sign in (1, -0.5))
    penalty = front_cost[:, None] + end_cost[None, :] + source.normal(0, 0.001, (11, 11))
    found = contrast(penalty, groups, sides=True, shuffles=20, draws=100)
    front, end = np.nonzero(~np.eye(11, dtype=bool))
    across = np.array([groups[i] != groups[j] for i, j in zip(front, end, strict=True)], dtype=np.float64)
    columns = np.column_stack([np.eye(11)[front], np.eye(11)[end], across])
    fitted = np.linalg.lstsq(columns, penalty[front, end], rcond=None)[0]
    assert found.difference == pytest.approx(fitted[-1], abs=1e-6)
    assert found.low < 0 < found.high
    assert abs(found.difference) < 0.001
    assert abs(contrast(penalty, groups, shuffles=1, draws=2).difference) > 0.03


def test_models_of_one_cluster_are_drawn_together() -> None:
    """Copies of a model tell no more than the model."""
    penalty, groups = blocks(np.random.default_rng(4), 0.1)
    twice = penalty.repeat(2, axis=0).repeat(2, axis=1)
    for number in range(8):
        twice[2 * number : 2 * number + 2, 2 * number : 2 * number + 2] = np.nan
    doubled, cluster = [group for group in groups for _ in range(2)], [number // 2 for number in range(16)]
    once = contrast(penalty, groups, shuffles=200, draws=200)
    again = contrast(twice, doubled, clusters=cluster, shuffles=200, draws=200)
    assert (again.difference, again.low, again.high) == pytest.approx((once.difference, once.low, once.high))
    assert again.standard_error == pytest.approx(once.standard_error)


def test_the_error_of_a_mean_over_pairs_is_that_of_other_models() -> None:
    source = np.random.default_rng(2)
    draws = [mean_of_pairs(blocks(source, 0.0)[0]) for _ in range(300)]
    spread, claimed = np.std([mean for mean, _ in draws]), np.mean([error for _, error in draws])
    assert claimed == pytest.approx(spread, rel=0.2)  # the spread of 300 draws is itself known within 4 %


def test_the_report_and_a_file_show_the_matrix(copied: Lake, tmp_path: Path) -> None:
    found = stitch_penalties(copied, FEW, PenaltySettings(fit_samples=30, training=JointTraining(epochs=1)))
    svg = draw_penalties(found, tmp_path / "penalties.svg").read_text(encoding="utf-8")
    assert "w3-b4-s0" in svg
    assert "penalty" in svg
    assert draw_penalties(found, tmp_path / "penalties.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with pytest.raises(UsageError, match=r"gif: a drawing is written to a file that ends in \.svg"):
        draw_penalties(found, tmp_path / "penalties.gif")
    page = report(copied, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h4>Joints by least squares</h4>" in page
    assert "<h4>Joints by training</h4>" in page


def test_tiles_cover_each_wanted_pair_once() -> None:
    wanted = {0: [0, 1, 2, 3], 1: [0, 1, 2, 3], 2: [3], 3: []}
    found = tiles(wanted, lambda tile: tile.pairs <= 3)
    pairs = [(end, front) for tile in found for end in tile.ends for front in tile.fronts]
    assert sorted(pairs) == [(end, front) for end, fronts in wanted.items() for front in fronts]
    assert tiles({0: [0]}, lambda _: False) == [Tile((0,), (0,))]


@pytest.mark.usefixtures(run.__name__)
def test_the_command_measures_draws_and_does_not_measure_again(copied: Lake, run: Run, tmp_path: Path) -> None:
    options = ["stitch", "--lake", copied.path, "--select", FEW, "--penalty", "--fit-samples", "30"]
    first = run(*options, "--to", tmp_path / "heat.svg")
    assert first.code == 0, first.err
    assert "9 pairs of 3 models, 9 of them measured now" in first.err
    assert "linear1" in first.out
    assert (tmp_path / "heat.svg").read_text(encoding="utf-8").startswith("<svg")
    again = run(*options, "--json")
    assert "0 of them measured now, 9 known before, 0 impossible" in again.err
    assert [row["pairs"] for row in json.loads(again.out)] == [6, 6]
    assert "no standard error" not in again.err
    two = run(*options[:3], "--select", f"{EVERYBODY} LIMIT 2", *options[5:], "--json")
    assert [(row["pairs"], row["standard_error"]) for row in json.loads(two.out)] == [(2, None)] * 2
    assert "no standard error: with fewer than three models" in two.err
    wrong = run(*options, "--cut", "conv1")
    assert wrong.code == 2
    assert "there is no cut 'conv1'" in wrong.err
    assert run("stitch", "--lake", copied.path, "--select", FEW).code == 2
    nowhere = run(*options, "--export", tmp_path / "networks")
    assert (nowhere.code, "take --train" in nowhere.err) == (2, True)
    unknown = "SELECT 'zoo:none/a' AS model_id UNION SELECT 'zoo:none/b'"
    absent = run("stitch", "--lake", copied.path, "--select", unknown, "--penalty")
    assert (absent.code, "zoo:none/" in absent.err, "nobody here knows" in absent.err) == (2, True, False)


def test_networks_that_the_lake_knows_nothing_of_can_be_described_or_given(lake: Lake, tmp_path: Path) -> None:
    """Two perceptrons of a stranger's, in files without a word on how they are run."""
    data = load_dataset("digits", 0)

    def stranger(width: int) -> nn.Sequential:
        torch.manual_seed(width)
        layers = [nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(width, 10)).eval()

    modules = [stranger(width) for width in (5, 7)]
    for number, module in enumerate(modules):
        add_model(lake, f"local:{number}", repository(tmp_path / str(number), module.state_dict()))
    query = "SELECT model_id FROM model ORDER BY model_id"
    with pytest.raises(UsageError, match=r"how local:0 is built.*description \(--description\)"):
        stitch_penalties(lake, query, SMALL)
    with pytest.raises(UsageError, match="an architecture needs the data"):
        stitch_penalties(lake, query, SMALL, architecture=modules)
    with pytest.raises(
        UsageError, match=r"local:1 is built like none of what was given: 1\.bias is \[7\] in it, and \[5\]"
    ):
        stitch_penalties(lake, query, SMALL, architecture=stranger(5), data=data)
    found = stitch_penalties(lake, query, SMALL, architecture=[stranger(5), stranger(7)], data=data)
    assert found.measured == 4
    assert stitch_penalties(lake, query, SMALL, architecture=modules, data=data).measured == 0
    fitted = _fitted_on(data)
    row = found.rows.filter(front="local:0", end="local:1", cut="3").row(0, named=True)
    chains = [trace(module) for module in modules]
    joined = join(chains[0], row["front_cut"], chains[1], row["end_cut"], [fitted])
    error = (joined(data.test.x).argmax(1) != data.test.y).double().mean()
    assert row["error"] == pytest.approx(float(error), abs=2 / len(data.test))  # in sums of another order
    other = replace(data, train=Samples(data.train.x.flip(0), data.train.y.flip(0)))
    assert stitch_penalties(lake, query, SMALL, architecture=modules, data=other).measured == 4


def _fitted_on(data: Dataset) -> Tensor:
    drawn = torch.randperm(len(data.train), generator=generator("stitching fit", 0))[: SMALL.fit_samples]
    return data.train.x[drawn]


def test_one_description_serves_the_models_of_its_shapes(copied: Lake, tmp_path: Path) -> None:
    ids = copied.sql(FEW)["model_id"].to_list()[:2]
    known = stitch_penalties(copied, FEW + " OFFSET 0", SMALL)
    dataset = copied.sql("SELECT dataset FROM population")["dataset"][0]
    for number, model_id in enumerate(ids):
        add_model(copied, f"local:{number}", repository(tmp_path / str(number), load_weights(copied, model_id)))
    described = describe(copied, ids[0]).model_copy(update={"init": None})
    query = "SELECT model_id FROM model WHERE hub = 'local' ORDER BY model_id"
    found = stitch_penalties(copied, query, SMALL, description=described)
    assert described.dataset == dataset
    for column in ("penalty", "error"):
        np.testing.assert_allclose(found.matrix(column), known.matrix(column)[:2, :2], atol=1e-6)
    made = stitch(copied, query, StitchRecipe(fit_samples=30, training=StitchTraining(epochs=1)), description=described)
    assert set(made.anchors) == {"local:0", "local:1"}
    wrong = described.model_copy(update={"input_shape": (1, 1, prod(described.input_shape))})
    with pytest.raises(UsageError, match=r"local:0 is described as a network for samples of shape \[1, 1, \d+\], and"):
        stitch_penalties(copied, query, SMALL, description=wrong)


def test_colours_of_a_gain_and_of_a_loss_are_equally_deep(copied: Lake) -> None:
    chart = penalty_heat_map(stitch_penalties(copied, FEW, SMALL)).to_dict()
    (domain,) = [part["encoding"]["color"]["scale"]["domain"] for part in chart["layer"] if "color" in part["encoding"]]
    assert domain[0] == -domain[1] < 0
